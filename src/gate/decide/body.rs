//! A request with a token, and with a body that may contain the result.

use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::gate::memory::buffers::Buffered;
use crate::gate::reply::problem::detail;
use crate::gate::request::facts::Facts;
use crate::gate::request::presented::ResultText;
use crate::gate::request::result_in_body::find_result;
use crate::gate::state::Gate;
use crate::protocol::{Malformed, Reason};

use super::pending::{Pending, Verdict};
use super::token::OpenedToken;

/// The outcome of buffering a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyRead<'a> {
    /// The body arrived completely.
    Whole(&'a [u8]),
    /// It is longer than the limit.
    TooLarge,
    /// There is no room for more of it, as [`NeedsBody::arrived`]
    /// reported.
    NoRoom,
    /// It did not arrive in time, or the connection broke.
    Incomplete,
}

/// Bytes requested from a reader at once.
const READ_BYTES: usize = 8 << 10;

/// A request whose body the gate has to read. While this exists, no other body is read for the same
/// challenge. Dropping it abandons the request, without any effect on the client.
#[derive(Debug)]
#[must_use]
pub struct NeedsBody {
    /// Maximum size of the body in bytes.
    pub limit_bytes: usize,
    /// Maximum time for the whole body to arrive; after that, report [`BodyRead::Incomplete`].
    pub timeout: Duration,
    pub(super) gate: Gate,
    pub(super) facts: Facts,
    pub(super) token: Arc<OpenedToken>,
    pub(super) buffered: Buffered,
}

impl NeedsBody {
    /// Reserves room for `bytes` of the body, which is the total so far, before they are stored.
    ///
    /// # Errors
    /// There is no room: stop reading, and pass the error to [`complete`](Self::complete).
    pub fn arrived(&mut self, bytes: usize) -> Result<(), BodyRead<'static>> {
        if bytes > self.limit_bytes {
            return Err(BodyRead::TooLarge);
        }
        if self.buffered.reserve(bytes as u64) { Ok(()) } else { Err(BodyRead::NoRoom) }
    }

    /// Continues with the outcome of reading. A request without its complete body is never let
    /// through.
    pub fn complete(mut self, body: BodyRead<'_>) -> Verdict {
        let body = match body {
            // A caller that has the whole body at once may not have reserved room before.
            BodyRead::Whole(bytes) => self.arrived(bytes.len()).err().unwrap_or(body),
            cut => cut,
        };
        let Self { gate, mut facts, timeout, token, buffered, .. } = self;
        let result = match body {
            BodyRead::Whole(bytes) => find_result(bytes).unwrap_or_else(|broken| Some(ResultText::Broken(broken))),
            BodyRead::Incomplete => {
                let expected = format!("all of it within {} ms", timeout.as_millis());
                Some(ResultText::Unfinished(Malformed::new("body", expected, "less")))
            }
            BodyRead::TooLarge => {
                gate.inner.tallies.requests.bump();
                let refused = gate.refused(&facts, Reason::TooLarge, detail(Reason::TooLarge));
                return Verdict::Decided(gate.dressed(&facts, refused));
            }
            BodyRead::NoRoom => {
                gate.inner.tallies.requests.bump();
                return Verdict::Decided(gate.dressed(&facts, gate.try_again(&facts)));
            }
        };
        if let Some(presented) = &mut facts.answer {
            presented.result = result;
        }
        Verdict::Judge(Pending::new(&gate, facts, Some(token), Some(buffered)))
    }

    /// Reads the body on this thread into `body`, which is emptied first, and continues with the
    /// outcome. This is for a host without an async runtime. The time is checked after each read,
    /// so the socket needs a timeout of its own for a client that sends nothing.
    pub fn read(mut self, from: &mut dyn Read, body: &mut Vec<u8>) -> Verdict {
        body.clear();
        match self.read_all(from, body) {
            Ok(()) => self.complete(BodyRead::Whole(body)),
            Err(cut) => self.complete(cut),
        }
    }

    fn read_all(&mut self, from: &mut dyn Read, body: &mut Vec<u8>) -> Result<(), BodyRead<'static>> {
        let (started, timeout) = (Instant::now(), self.timeout);
        let mut piece = [0; READ_BYTES];
        loop {
            let length = match from.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Err(BodyRead::Incomplete),
            };
            if started.elapsed() > timeout {
                return Err(BodyRead::Incomplete);
            }
            self.arrived(body.len() + length)?;
            body.extend_from_slice(piece.get(..length).unwrap_or_default());
        }
    }
}
