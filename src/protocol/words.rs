//! The words of the protocol: tiers, operations, reasons.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use super::malformed::{Malformed, excerpt};

/// The amount of work in a challenge (paper, 5.3), in ascending order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DifficultyTier {
    /// One leaf: one hash.
    #[default]
    Low,
    /// An aligned range of 4 or 8 leaves: 7 or 15 hashes.
    Medium,
    /// A tile or half of one, 32 or 16 leaves: 63 or 31 hashes.
    High,
}

impl DifficultyTier {
    /// Every tier, easiest first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Medium, Self::High];

    /// Returns the next harder tier; `High` stays `High`.
    #[must_use]
    pub const fn harder(self) -> Self {
        match self {
            Self::Low => Self::Medium,
            Self::Medium | Self::High => Self::High,
        }
    }

    /// Returns the next easier tier; `Low` stays `Low`.
    #[must_use]
    pub const fn softer(self) -> Self {
        match self {
            Self::High => Self::Medium,
            Self::Medium | Self::Low => Self::Low,
        }
    }

    /// Returns the word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// The operation of a unit (paper, 4.4 and 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkUnitOperation {
    /// `SHA3-512(inputData)`, where the data is one leaf.
    LeafHash,
    /// Each leaf of an aligned range, then its parents up to one node.
    SubtreeHash,
    /// `SHA3-512(inputData)`, where the data is one or two child hashes of 64 bytes.
    InteriorHash,
}

impl WorkUnitOperation {
    /// Every operation.
    pub const ALL: [Self; 3] = [Self::LeafHash, Self::SubtreeHash, Self::InteriorHash];

    /// Returns the word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LeafHash => "leaf_hash",
            Self::SubtreeHash => "subtree_hash",
            Self::InteriorHash => "interior_hash",
        }
    }
}

/// The reason for a refusal: the `reason` member of its problem document, and a label of counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Over the limit; the refusal has a unit of work.
    WorkRequired,
    /// Over the limit; no unit can be made.
    NoWork,
    /// Over the limit; the breaker is open.
    Degraded,
    /// Over the limit; the client's reputation exempts it from work.
    Exempt,
    /// Over the limit; a request of this kind cannot bring an answer.
    CannotAnswer,
    /// Over the limit; a byte budget is used up.
    Budget,
    /// Over the limit; the ceiling on paid admissions is reached.
    Ceiling,
    /// Over the limit; the tracking table is full.
    Crowded,
    /// The answer arrived before the floor and was not read.
    TooEarly,
    /// The answer is well formed and wrong.
    WrongResult,
    /// The token is expired, of another store, or sealed with an unknown key. Handled as if no
    /// token had been sent.
    TokenExpired,
    /// The server withdrew the token. Handled as if no token had been sent, without a second floor.
    Withdrawn,
    /// The answer cannot be processed now; send it again later.
    TryAgain,
    /// The token's MAC or purpose is wrong.
    TokenInvalid,
    /// The token was issued to another client. Handled as if no token had been sent.
    ClientMismatch,
    /// The token was issued under another policy.
    PolicyMismatch,
    /// The token was used before.
    TokenReplayed,
    /// The token or the result is invalid; the detail names the member.
    Malformed,
    /// The body that should have a result exceeds the buffer limit.
    TooLarge,
    /// The shared window cannot be read, and the configured fallback is to deny.
    Unavailable,
    /// The server is not set up correctly, and was asked to refuse requests that show it.
    Misconfigured,
}

impl Reason {
    /// Every reason, in the order of the table of responses.
    pub const ALL: [Self; 21] = [
        Self::WorkRequired,
        Self::NoWork,
        Self::Degraded,
        Self::Exempt,
        Self::CannotAnswer,
        Self::Budget,
        Self::Ceiling,
        Self::Crowded,
        Self::TooEarly,
        Self::WrongResult,
        Self::TokenExpired,
        Self::Withdrawn,
        Self::TryAgain,
        Self::TokenInvalid,
        Self::ClientMismatch,
        Self::PolicyMismatch,
        Self::TokenReplayed,
        Self::Malformed,
        Self::TooLarge,
        Self::Unavailable,
        Self::Misconfigured,
    ];

    /// Returns the word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WorkRequired => "work_required",
            Self::NoWork => "no_work",
            Self::Degraded => "degraded",
            Self::Exempt => "exempt",
            Self::CannotAnswer => "cannot_answer",
            Self::Budget => "budget",
            Self::Ceiling => "ceiling",
            Self::Crowded => "crowded",
            Self::TooEarly => "too_early",
            Self::WrongResult => "wrong_result",
            Self::TokenExpired => "token_expired",
            Self::Withdrawn => "withdrawn",
            Self::TryAgain => "try_again",
            Self::TokenInvalid => "token_invalid",
            Self::ClientMismatch => "client_mismatch",
            Self::PolicyMismatch => "policy_mismatch",
            Self::TokenReplayed => "token_replayed",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Unavailable => "unavailable",
            Self::Misconfigured => "misconfigured",
        }
    }
}

/// Implements `Display`, and a `FromStr` that accepts exactly the words on the wire.
macro_rules! word_list {
    ($name:ident, $member:literal, $expected:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = Malformed;

            /// Reads a word on the wire; case sensitive.
            fn from_str(text: &str) -> Result<Self, Malformed> {
                Self::ALL
                    .into_iter()
                    .find(|word| word.as_str() == text)
                    .ok_or_else(|| Malformed::new($member, $expected, excerpt(text)))
            }
        }
    };
}

word_list!(DifficultyTier, "difficulty", "low, medium or high");
word_list!(WorkUnitOperation, "operation", "leaf_hash, subtree_hash or interior_hash");
word_list!(Reason, "reason", "a reason of the table of responses");

impl Malformed {
    /// Returns the wire reason: always [`Reason::Malformed`].
    pub const fn reason(&self) -> Reason {
        Reason::Malformed
    }
}
