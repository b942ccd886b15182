//! Request bodies that are being buffered because a result may be in them: room for their bytes,
//! and one body at a time for each challenge, from before its first byte to the verdict.
//!
//! A body books [`FIRST_BYTES`] at once, and more as it arrives, so a body that never arrives holds
//! almost nothing. There are at most `buffered_bytes_max / FIRST_BYTES` (65 536 by default) bodies
//! at once. Above that, at the bound of bytes, or while another body is read for the same
//! challenge, a request is refused with `try_again`.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::protocol::WorkId;

use super::flight::{Flight, Runway};

/// Bytes booked for a body before any of it has arrived.
pub(in crate::gate) const FIRST_BYTES: u64 = 1 << 10;

/// All bodies being buffered.
#[derive(Debug)]
pub(in crate::gate) struct Buffers {
    room: Arc<Runway>,
    challenges: Mutex<HashSet<WorkId>>,
}

/// A body being buffered; dropping this frees its room.
#[derive(Debug)]
#[must_use]
pub(in crate::gate) struct Buffered {
    buffers: Arc<Buffers>,
    challenge: WorkId,
    booked: Flight,
}

impl Buffers {
    pub(in crate::gate) fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(Self { room: Runway::new(bytes_max), challenges: Mutex::default() })
    }

    /// Reserves room for a body with an answer to `challenge`; `None` if there is no room, or
    /// another body is being read for it.
    pub(in crate::gate) fn begin(self: &Arc<Self>, challenge: WorkId) -> Option<Buffered> {
        let booked = self.room.book(FIRST_BYTES)?;
        let is_first = self.challenges.lock().insert(challenge);
        is_first.then(|| Buffered { buffers: self.clone(), challenge, booked })
    }

    /// Returns the bytes booked.
    pub(in crate::gate) fn bytes(&self) -> u64 {
        self.room.bytes()
    }
}

impl Buffered {
    /// Reserves room for `bytes` of the body in total; returns whether there was room.
    pub(in crate::gate) fn reserve(&mut self, bytes: u64) -> bool {
        self.booked.grow(bytes)
    }
}

impl Drop for Buffered {
    fn drop(&mut self) {
        self.buffers.challenges.lock().remove(&self.challenge);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(at: u64) -> WorkId {
        WorkId::from_parts(at, [7; 10])
    }

    #[test]
    fn a_challenge_has_one_body_at_a_time_and_all_together_have_room_for_the_bytes_that_arrived() {
        let buffers = Buffers::new(4 * FIRST_BYTES);
        let mut first = buffers.begin(challenge(1)).unwrap();
        assert!(buffers.begin(challenge(1)).is_none() && buffers.bytes() == FIRST_BYTES);
        assert!(first.reserve(1) && first.reserve(FIRST_BYTES));
        assert_eq!(buffers.bytes(), FIRST_BYTES);
        assert!(first.reserve(2 * FIRST_BYTES));
        let others: Vec<Buffered> = (2..4).map(|at| buffers.begin(challenge(at)).unwrap()).collect();
        assert!(buffers.begin(challenge(4)).is_none() && !first.reserve(2 * FIRST_BYTES + 1));
        assert_eq!((buffers.bytes(), buffers.challenges.lock().len()), (4 * FIRST_BYTES, 3));
        drop(others);
        assert!(first.reserve(4 * FIRST_BYTES));
        drop(first);
        assert_eq!((buffers.bytes(), buffers.challenges.lock().len()), (0, 0));
        assert!(buffers.begin(challenge(1)).is_some());
    }
}
