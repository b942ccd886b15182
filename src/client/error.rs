//! Errors of the client.

use std::time::Duration;

use crate::protocol::{Malformed, Reason, UnitError, WorkId};

/// An error of the HTTP client that sends the requests.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request over its limit that did not get through. A 429 without a challenge is not an error: it
/// is returned as the response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The deadline is too short or has passed. If the server's minimum wait exceeds it, nothing
    /// was hashed.
    #[error("{}", deadline_text(*.deadline, *.needed, receipt.as_ref()))]
    Deadline {
        /// The deadline of the terms.
        deadline: Duration,
        /// The time needed since the start, if the server named it.
        needed: Option<Duration>,
        /// The answer sent before the deadline, if any. It may have counted; its receipt shows
        /// that.
        receipt: Option<WorkId>,
    },
    /// The challenge costs more than the terms allow. Nothing was hashed.
    #[error("the challenge takes {asked} {what}, but the terms allow {allowed}; allow more, or wait for a free slot")]
    TooExpensive {
        /// The cost that is too high.
        what: Cost,
        /// The amount the challenge takes.
        asked: u64,
        /// The most the terms allow.
        allowed: u64,
    },
    /// The caller's `confirm` hook returned `false`. Nothing was hashed.
    #[error("the `confirm` hook declined challenge {id}")]
    Declined {
        /// The challenge.
        id: WorkId,
    },
    /// The server checked the answer and refused it.
    #[error("the server refused the answer to {id} with {status} ({reason}): {detail}")]
    Refused {
        /// The server's reason.
        reason: Reason,
        /// The status code.
        status: u16,
        /// The server's explanation: at most 300 characters, without control characters.
        detail: String,
        /// The challenge.
        id: WorkId,
    },
    /// The challenge is invalid. Nothing was hashed.
    #[error("the server's challenge is invalid: {0}")]
    InvalidUnit(#[from] InvalidUnit),
    /// The server answered each attempt with another 429.
    #[error("gave up after {requests} requests, each answered with 429{}; try again later", reason_text(*.reason))]
    GaveUp {
        /// Requests made.
        requests: u32,
        /// The reason in the last 429, if it had one.
        reason: Option<Reason>,
        /// The answer that the server could not confirm, if any. It may have counted; its receipt
        /// shows that.
        receipt: Option<WorkId>,
    },
    /// The connection broke after an answer was sent. The answer may have counted: check its
    /// receipt before paying again.
    #[error("the connection broke after the answer to {receipt} was sent: {source}; check its receipt before retrying")]
    ConnectionLost {
        /// The id of the challenge and of its receipt.
        receipt: WorkId,
        /// The error of the HTTP client.
        source: BoxError,
    },
    /// The request could not be sent, or its response could not be read.
    #[error("{0}")]
    Transport(#[source] BoxError),
    /// The 429 is longer than any valid challenge.
    #[error("the challenge is longer than {limit_bytes} bytes, the most a valid one has")]
    BodyTooLarge {
        /// The most bytes read.
        limit_bytes: usize,
    },
}

impl ClientError {
    /// Returns a stable word for programs: the variant's name in snake case.
    ///
    /// The npm package uses the same words, except `transport` and `body_too_large`.
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

    /// Returns whether the same request may succeed later under the same terms, without paying
    /// twice.
    ///
    /// False if an answer may have counted (see [`ClientError::receipt`]). Whether the request
    /// itself can be repeated safely depends on its method, which this does not consider.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Transport(_) => true,
            Self::Deadline { receipt, .. } | Self::GaveUp { receipt, .. } => receipt.is_none(),
            Self::Refused { reason, .. } => matches!(reason, Reason::Unavailable),
            Self::TooExpensive { .. }
            | Self::Declined { .. }
            | Self::InvalidUnit(_)
            | Self::ConnectionLost { .. }
            | Self::BodyTooLarge { .. } => false,
        }
    }

    /// Returns the challenge whose answer may have counted although there is no response.
    pub const fn receipt(&self) -> Option<WorkId> {
        match self {
            Self::Deadline { receipt, .. } | Self::GaveUp { receipt, .. } => *receipt,
            Self::ConnectionLost { receipt, .. } => Some(*receipt),
            // The same answer counted before; its response was lost.
            Self::Refused { reason: Reason::TokenReplayed, id, .. } => Some(*id),
            _ => None,
        }
    }
}

/// The fault of an invalid challenge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUnit {
    /// A member is missing or has an invalid value.
    #[error(transparent)]
    Unreadable(#[from] Malformed),
    /// The members contradict each other.
    #[error(transparent)]
    Unsound(#[from] UnitError),
}

/// A cost of a challenge that [`Terms`](super::Terms) limit.
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
        Some(needed) => format!("the server demands {} ms, but the deadline is {} ms", ceil(needed), ceil(deadline)),
        None => format!("the deadline of {} ms has passed", ceil(deadline)),
    };
    if let Some(receipt) = receipt {
        text.push_str(&format!("; the answer to {receipt} was sent before: check its receipt before retrying"));
    }
    text
}

fn reason_text(reason: Option<Reason>) -> String {
    reason.map_or_else(String::new, |reason| format!(" (last reason: {reason})"))
}

/// Whole milliseconds, rounded up, so that the text shows which of two times is longer.
fn ceil(time: Duration) -> u128 {
    time.as_nanos().div_ceil(1_000_000)
}
