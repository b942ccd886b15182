//! What upkeep and sweeps report.

use crate::store::StoreError;

use crate::engine::error::WriteError;

/// The counts of one round of upkeep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpkeepReport {
    /// Units that became ready.
    pub refilled: usize,
    /// Trees that became complete.
    pub completed: usize,
    /// Rows of block data and of forgotten trees removed.
    pub removed: usize,
    /// Earlier answers visited of clients caught in a lie, and tiles hashed because of them.
    pub doubts: usize,
}

/// Why upkeep failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpkeepError {
    /// A read failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A write failed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl UpkeepError {
    /// Whether the same call may succeed a moment later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Write(error) => error.is_retryable(),
        }
    }
}

/// The counts of one sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweepReport {
    /// Leases whose token expired unanswered; their work is pending again.
    pub expired: usize,
    /// Ready units taken back because of their age. They become ready again.
    pub aged: usize,
    /// Quorums that were not complete in time. The server hashed their leaves.
    pub refereed: usize,
    /// Consumed tokens removed, long past their expiry.
    pub consumed_pruned: u64,
    /// Ledger entries sealed.
    pub sealed: u64,
    /// Idle client rows removed.
    pub clients_pruned: u64,
    /// Clients forgotten because their difficulty is the default.
    pub standings_pruned: usize,
    /// There is more to do. Call again soon.
    pub more: bool,
}
