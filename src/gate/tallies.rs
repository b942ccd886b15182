//! The gate's counters.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::protocol::Reason;

/// A counter for increments by many threads, spread over [`STRIPES`] cache lines.
#[derive(Debug, Default)]
pub(in crate::gate) struct Striped([Line; STRIPES]);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line(AtomicU64);

const STRIPES: usize = 8;

thread_local! {
    static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
}

static NEXT_STRIPE: AtomicUsize = AtomicUsize::new(0);

impl Striped {
    pub(in crate::gate) fn bump(&self) {
        let stripe = STRIPE.with(|own| {
            if own.get() == usize::MAX {
                own.set(NEXT_STRIPE.fetch_add(1, Ordering::Relaxed) % STRIPES);
            }
            own.get()
        });
        self.0[stripe % STRIPES].0.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::gate) fn sum(&self) -> u64 {
        self.0.iter().map(|line| line.0.load(Ordering::Relaxed)).sum()
    }
}

/// Counts since the gate was made.
#[derive(Debug, Default)]
pub(in crate::gate) struct Tallies {
    pub(in crate::gate) requests: Striped,
    pub(in crate::gate) exempt_routes: AtomicU64,
    pub(in crate::gate) limited: AtomicU64,
    pub(in crate::gate) shadowed: AtomicU64,
    pub(in crate::gate) issued: [AtomicU64; 3],
    pub(in crate::gate) resent: AtomicU64,
    pub(in crate::gate) completed: AtomicU64,
    pub(in crate::gate) passes: AtomicU64,
    pub(in crate::gate) passed: AtomicU64,
    pub(in crate::gate) awarded: AtomicU64,
    pub(in crate::gate) hashes: AtomicU64,
    pub(in crate::gate) bytes_sent: AtomicU64,
    pub(in crate::gate) alerts: AtomicU64,
    pub(in crate::gate) refused: [AtomicU64; Reason::ALL.len()],
}

impl Tallies {
    pub(in crate::gate) fn refused(&self, reason: Reason) {
        if let Some(at) = Reason::ALL.iter().position(|known| *known == reason) {
            self.refused[at].fetch_add(1, Ordering::Relaxed);
        }
    }
}
