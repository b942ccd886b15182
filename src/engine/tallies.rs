//! Counters.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of this boot.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    pub(super) issued: [AtomicU64; 3],
    pub(super) shortfalls: [AtomicU64; 3],
    pub(super) synthetic_issued: AtomicU64,
    pub(super) interior_issued: AtomicU64,
    pub(super) withdrawn: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) bytes_issued: AtomicU64,
    pub(super) server_folds: AtomicU64,
    pub(super) commits_failed: AtomicU64,
    pub(super) commits_failed_in_row: AtomicU64,
}

impl Tallies {
    /// Counts a commit: `well` if it is durable, else the storage failed it. Only the writer calls
    /// this.
    pub(super) fn commit(&self, well: bool) {
        if well {
            self.commits_failed_in_row.store(0, Ordering::SeqCst);
        } else {
            self.commits_failed.fetch_add(1, Ordering::SeqCst);
            self.commits_failed_in_row.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Adds to a counter that nothing is ordered by.
pub(crate) fn bump(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
