//! Bytes of challenges that were passed to a connection and are not sent yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The sum of challenge bytes in flight, and its bound.
#[derive(Debug)]
pub(in crate::gate) struct Runway {
    bytes: AtomicU64,
    bound: u64,
}

/// A part of those bytes; dropping it gives them back.
#[derive(Debug)]
#[must_use]
pub struct Flight {
    runway: Arc<Runway>,
    bytes: u64,
}

impl Runway {
    pub(in crate::gate) fn new(bound: u64) -> Arc<Self> {
        Arc::new(Self { bytes: AtomicU64::new(0), bound })
    }

    /// Books `bytes`; `None` if that is more than there is room for.
    pub(in crate::gate) fn book(self: &Arc<Self>, bytes: u64) -> Option<Flight> {
        let booked = self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
            now.checked_add(bytes).filter(|sum| *sum <= self.bound)
        });
        booked.is_ok().then(|| Flight { runway: self.clone(), bytes })
    }

    pub(in crate::gate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }
}

impl Flight {
    /// Books the bytes missing to `bytes`; returns whether there was room. It never gives any back.
    pub(in crate::gate) fn grow(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let Some(mut added) = self.runway.book(more) else {
            return false;
        };
        self.bytes += std::mem::take(&mut added.bytes);
        true
    }

    /// Gives back all but `bytes`, once the true size is known.
    pub(in crate::gate) fn shrink(&mut self, bytes: u64) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes -= less;
        self.runway.bytes.fetch_sub(less, Ordering::AcqRel);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.runway.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}
