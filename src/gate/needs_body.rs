//! A request with a token, and with a body that may contain the result.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use crate::protocol::{Malformed, Reason};

use super::answer::OpenedToken;
use super::buffers::Buffered;
use super::facts::{BodyRead, Facts, Head, ResultText};
use super::step::{Step, Verdict};
use super::{Gate, body, page, reading, respond};

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
    gate: Gate,
    facts: Facts,
    token: Box<OpenedToken>,
    buffered: Buffered,
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
            BodyRead::Whole(bytes) => {
                body::find_result(bytes).unwrap_or_else(|broken| Some(ResultText::Broken(broken)))
            }
            BodyRead::Incomplete => {
                let expected = format!("all of it within {} ms", timeout.as_millis());
                Some(ResultText::Unfinished(Malformed::new("body", expected, "less")))
            }
            BodyRead::TooLarge => {
                gate.inner.counters.requests.bump();
                let refused = gate.refused(&facts, Reason::TooLarge, respond::detail(Reason::TooLarge));
                return Verdict::Decided(gate.dressed(&facts, refused));
            }
            BodyRead::NoRoom => {
                gate.inner.counters.requests.bump();
                return Verdict::Decided(gate.dressed(&facts, gate.try_again(&facts)));
            }
        };
        if let Some(presented) = &mut facts.answer {
            presented.result = result;
        }
        Verdict::Judge(gate.pending(facts, Some(token), Some(buffered)))
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

impl Gate {
    /// Decides whether to read a body. It is read only if the token is valid so far and its
    /// challenge is not known to be over, one body at a time for each challenge, and only while
    /// there is room.
    pub(super) fn ask_for_body(&self, head: &dyn Head, facts: Facts) -> Step {
        let inner = &*self.inner;
        let limit_bytes = inner.settings.body_limit_bytes;
        let navigation = facts.navigation;
        let decided = |decision| {
            inner.counters.requests.bump();
            Step::Decided(page::dress(decision, navigation, &inner.settings.challenge_page))
        };
        if reading::content_length(head).is_some_and(|length| length > limit_bytes as u64) {
            return decided(self.refused(&facts, Reason::TooLarge, respond::detail(Reason::TooLarge)));
        }
        let opened = facts.answer.as_ref().map(|presented| self.open_token(&facts, &presented.token));
        let token = match opened {
            Some(Ok(token)) => token,
            Some(Err(error)) => return decided(self.unanswered(&facts, None, &error)),
            None => {
                inner.counters.requests.bump();
                return Step::Decided(self.without_token(&facts));
            }
        };
        if token.is_over(self) {
            // It is too late for any body. The store knows whether the token was used or withdrawn.
            return Step::Judge(self.pending(facts, Some(token), None));
        }
        match inner.buffers.begin(token.id()) {
            Some(buffered) => {
                let timeout = inner.settings.body_timeout;
                Step::Body(NeedsBody { limit_bytes, timeout, gate: self.clone(), facts, token, buffered })
            }
            None => decided(self.try_again(&facts)),
        }
    }
}
