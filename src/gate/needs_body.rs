//! A request that presents a token, with a body that its result may be in.

use crate::protocol::{Malformed, Reason};

use super::decision::Decision;
use super::facts::{BodyRead, Facts};
use super::flight::Flight;
use super::pending::Pending;
use super::{Gate, body, respond};

/// A request whose body has to be seen.
#[derive(Debug)]
#[must_use]
pub struct NeedsBody {
    /// Buffer at most this many bytes; if there are more, say so with [`BodyRead::TooLarge`].
    pub limit_bytes: usize,
    /// Wait at most this long for all of it; after that say [`BodyRead::Incomplete`].
    pub timeout_ms: u64,
    pub(super) gate: Gate,
    pub(super) facts: Facts,
    pub(super) booked: Flight,
}

impl NeedsBody {
    /// Goes on with what became of the body.
    pub fn complete(self, body: BodyRead<'_>) -> Decision {
        let Self { gate, mut facts, timeout_ms, booked, .. } = self;
        let found = match body {
            BodyRead::Whole(bytes) => body::find_result(bytes),
            BodyRead::TooLarge => {
                gate.inner.counters.requests.bump();
                return gate.refused(&facts, Reason::TooLarge, respond::detail(Reason::TooLarge));
            }
            BodyRead::Incomplete => {
                let expected = format!("all of it within {timeout_ms} ms");
                Err(Malformed::new("body", expected, "less"))
            }
        };
        match found {
            Ok(result) => {
                if let Some(presented) = &mut facts.answer {
                    presented.result = result;
                }
                match gate.decide(facts) {
                    Decision::Pending(pending) => Decision::Pending(Pending { booked: Some(booked), ..pending }),
                    decided => decided,
                }
            }
            Err(malformed) => {
                gate.inner.counters.requests.bump();
                gate.malformed(&facts, None, &malformed)
            }
        }
    }
}
