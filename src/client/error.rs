//! Why a request did not get through.

use std::time::Duration;

use crate::protocol::{Malformed, Reason, UnitError, WorkId};

use super::BoxError;

/// Why a request over its limit did not get through. What a server says without a challenge is no error: it is the
/// response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// There is not enough time. Nothing was hashed for it if that could be known before.
    #[error("{}", deadline_text(*.deadline, *.needed, receipt.as_ref()))]
    Deadline {
        /// The deadline of the terms.
        deadline: Duration,
        /// How long it would have taken from the start, where the server said so.
        needed: Option<Duration>,
        /// The answer that was sent before; it may have counted, as its receipt tells.
        receipt: Option<WorkId>,
    },
    /// The server asks for more than the terms allow. Nothing was hashed.
    #[error("more {what} than the terms allow, {asked} against {allowed}; allow more, or wait for a free slot")]
    TooExpensive {
        /// What there is too much of.
        what: Cost,
        /// What the server asks for.
        asked: u64,
        /// What the terms allow.
        allowed: u64,
    },
    /// The caller's own hook said no.
    #[error("the challenge {id} was declined by the caller")]
    Declined {
        /// The challenge.
        id: WorkId,
    },
    /// The server looked at the answer and refused it.
    #[error("the answer to {id} was refused with {status}, {reason}: {detail}")]
    Refused {
        /// Why.
        reason: Reason,
        /// The status code.
        status: u16,
        /// What the server says to a person: at most 300 characters of it, without control characters.
        detail: String,
        /// The challenge.
        id: WorkId,
    },
    /// The challenge is none that can be answered. Nothing was hashed.
    #[error("the server's challenge cannot be used: {0}")]
    InvalidUnit(#[from] InvalidUnit),
    /// The server wants more and more.
    #[error("gave up after {requests} requests: the server answers each with another 429{}", reason_text(*.reason))]
    GaveUp {
        /// Requests made.
        requests: u32,
        /// What the last 429 said.
        reason: Option<Reason>,
        /// The answer that the server could not settle; it may have counted, as its receipt tells.
        receipt: Option<WorkId>,
    },
    /// The connection broke after an answer was sent. It may have counted: ask for its receipt before paying again.
    #[error("the connection broke after the answer to {receipt} was sent: {source}; its receipt tells if it counted")]
    ConnectionLost {
        /// The challenge, whose id is that of its receipt.
        receipt: WorkId,
        /// What the carrier said.
        source: BoxError,
    },
    /// The request could not be sent, or its response not be read.
    #[error("{0}")]
    Transport(#[source] BoxError),
    /// The challenge is longer than any can be.
    #[error("the challenge has more than {limit_bytes} bytes; no unit is as long")]
    BodyTooLarge {
        /// What is read at most.
        limit_bytes: usize,
    },
}

impl ClientError {
    /// One word for programs. `deadline`, `too_expensive`, `declined`, `refused`, `invalid_unit`, `gave_up` and
    /// `connection_lost` are also the npm package's, whose readme lists its other ones; `transport` and `body_too_large`
    /// are only here.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Deadline { .. } => "deadline",
            Self::TooExpensive { .. } => "too_expensive",
            Self::Declined { .. } => "declined",
            Self::Refused { .. } => "refused",
            Self::InvalidUnit(_) => "invalid_unit",
            Self::GaveUp { .. } => "gave_up",
            Self::ConnectionLost { .. } => "connection_lost",
            Self::Transport(_) => "transport",
            Self::BodyTooLarge { .. } => "body_too_large",
        }
    }

    /// The challenge whose answer may have counted although there is no response.
    pub const fn receipt(&self) -> Option<WorkId> {
        match self {
            Self::Deadline { receipt, .. } | Self::GaveUp { receipt, .. } => *receipt,
            Self::ConnectionLost { receipt, .. } => Some(*receipt),
            // The same answer was taken before, when nobody heard of it.
            Self::Refused { reason: Reason::TokenReplayed, id, .. } => Some(*id),
            _ => None,
        }
    }
}

/// What is wrong with a challenge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUnit {
    /// A member is missing or not what it should be.
    #[error("`{}`: expected {}, found {}", .0.member(), .0.expected(), .0.found())]
    Unreadable(#[from] Malformed),
    /// The members do not add up.
    #[error(transparent)]
    Unsound(#[from] UnitError),
}

/// What a challenge costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cost {
    /// Bytes of data.
    Bytes,
    /// Hashes.
    Hashes,
    /// Milliseconds of waiting.
    WaitMs,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes of data",
            Self::Hashes => "hashes",
            Self::WaitMs => "ms of waiting",
        })
    }
}

fn deadline_text(deadline: Duration, needed: Option<Duration>, receipt: Option<&WorkId>) -> String {
    let mut text = match needed {
        Some(needed) => format!("it would take {} ms, and the deadline is {} ms", ceil(needed), ceil(deadline)),
        None => format!("the deadline of {} ms has passed", ceil(deadline)),
    };
    if let Some(receipt) = receipt {
        text.push_str(&format!("; the answer to {receipt} was sent, and its receipt tells if it counted"));
    }
    text
}

fn reason_text(reason: Option<Reason>) -> String {
    reason.map_or_else(String::new, |reason| format!(", the last time for {reason}"))
}

/// Whole milliseconds, rounded up, so that "takes more than allowed" is seen in the numbers.
fn ceil(time: Duration) -> u128 {
    time.as_nanos().div_ceil(1_000_000)
}
