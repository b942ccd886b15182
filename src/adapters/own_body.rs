//! The body of the gate's own responses.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::gate::Flight;

/// Maximum size of a frame.
const FRAME_BYTES: usize = 16 << 10;

/// The error for a client that took longer than `write_timeout` to read one of the gate's
/// responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client did not read the response within write_timeout; its connection is closed")]
pub struct SlowReader;

/// A body in frames of bounded size. A server takes the frames long before a slow client has read
/// them, so the bytes stay booked as in flight until the server has dropped the last frame.
#[derive(Debug)]
pub(super) struct OwnBody {
    rest: Bytes,
    until: Option<Instant>,
}

impl OwnBody {
    pub(super) fn new(body: Vec<u8>, flight: Option<Flight>, timeout: Duration) -> Self {
        let rest = match flight {
            Some(flight) => Bytes::from_owner(Booked { body, _flight: flight }),
            None => Bytes::from(body),
        };
        Self { rest, until: Instant::now().checked_add(timeout) }
    }

    pub(super) fn len(&self) -> u64 {
        self.rest.len() as u64
    }

    pub(super) fn next(&mut self) -> Option<Result<Bytes, SlowReader>> {
        if self.rest.is_empty() {
            return None;
        }
        if self.until.is_some_and(|until| Instant::now() > until) {
            self.rest = Bytes::new();
            return Some(Err(SlowReader));
        }
        Some(Ok(self.rest.split_to(FRAME_BYTES.min(self.rest.len()))))
    }
}

/// A body that stays in the budget of bytes in flight as long as any slice of it exists.
struct Booked {
    body: Vec<u8>,
    _flight: Flight,
}

impl AsRef<[u8]> for Booked {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}
