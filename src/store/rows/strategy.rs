//! How the answers of a tree's units are verified: chosen when it is ingested, and never changed.

use super::codec::variants;
use std::fmt;
use std::str::FromStr;

/// How the answers of a tree's units are verified.
///
/// ```
/// use pouw::Strategy;
/// assert_eq!("audit:2".parse(), Ok(Strategy::SampledAudit { k: 2 }));
/// assert_eq!(Strategy::Redundant { quorum: 3 }.to_string(), "quorum:3");
/// assert!("quorum:1".parse::<Strategy>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strategy {
    /// Against answers the server computed at ingest.
    Precomputed,
    /// Against the blocks' addresses, which were known before.
    KnownAddress,
    /// The server hashes a sample of each answer.
    SampledAudit {
        /// Leaves hashed of each unit, 1 to 32.
        k: u8,
    },
    /// Distinct clients must return the same.
    Redundant {
        /// Clients, 2 to 8.
        quorum: u8,
    },
}

impl Strategy {
    /// The rule that [`is_valid`](Self::is_valid) checks.
    pub(crate) const RULE: &str = "expected audit:K with K from 1 to 32, or quorum:Q with Q from 2 to 8";

    /// The names of all strategies, each at its place. The account of usefulness has a row of
    /// numbers for each: one more is another format of that row.
    pub(crate) const NAMES: [&'static str; 4] = ["precomputed", "known-address", "audit", "quorum"];

    /// Its name, without its parameter: `precomputed`, `known-address`, `audit` or `quorum`.
    pub const fn as_str(self) -> &'static str {
        Self::NAMES[self.index()]
    }

    /// Place among the strategies, 0 to 3.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Precomputed => 0,
            Self::KnownAddress => 1,
            Self::SampledAudit { .. } => 2,
            Self::Redundant { .. } => 3,
        }
    }

    /// Where the leaf hashes of its trees come from.
    pub(crate) const fn hashes(self) -> HashesFrom {
        match self {
            Self::Precomputed => HashesFrom::Server,
            Self::KnownAddress => HashesFrom::Addresses,
            Self::SampledAudit { .. } | Self::Redundant { .. } => HashesFrom::Clients,
        }
    }

    /// Whether the right answer is stored at ingest. If not, the leaf hashes come from clients.
    pub(crate) fn knows_answers(self) -> bool {
        self.hashes() != HashesFrom::Clients
    }

    /// Whether its parameter is in range.
    pub(crate) fn is_valid(self) -> bool {
        match self {
            Self::Precomputed | Self::KnownAddress => true,
            Self::SampledAudit { k } => (1..=32).contains(&k),
            Self::Redundant { quorum } => (2..=8).contains(&quorum),
        }
    }
}

/// Where the leaf hashes of a tree come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HashesFrom {
    /// The server hashes every leaf at ingest.
    Server,
    /// They are the addresses given with the blocks.
    Addresses,
    /// Clients bring them later; until then they are zero.
    Clients,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Precomputed | Self::KnownAddress => f.write_str(self.as_str()),
            Self::SampledAudit { k: parameter } | Self::Redundant { quorum: parameter } => {
                write!(f, "{}:{parameter}", self.as_str())
            }
        }
    }
}

/// As [`Display`](fmt::Display) writes it.
impl serde::Serialize for Strategy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The text is not a strategy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown strategy {0:?}; expected `precomputed`, `known-address`, `audit:K` with K from 1 to 32, or `quorum:Q` with Q \
     from 2 to 8"
)]
#[non_exhaustive]
pub struct UnknownStrategy(pub String);

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(text: &str) -> Result<Self, UnknownStrategy> {
        let found = match text.split_once(':') {
            None if text == "precomputed" => Some(Self::Precomputed),
            None if text == "known-address" => Some(Self::KnownAddress),
            Some(("audit", k)) => k.parse().ok().map(|k| Self::SampledAudit { k }),
            Some(("quorum", quorum)) => quorum.parse().ok().map(|quorum| Self::Redundant { quorum }),
            _ => None,
        };
        found.filter(|strategy| strategy.is_valid()).ok_or_else(|| UnknownStrategy(text.to_owned()))
    }
}

variants!(Strategy { 0 => Precomputed, 1 => KnownAddress, 2 => SampledAudit { k }, 3 => Redundant { quorum } });
