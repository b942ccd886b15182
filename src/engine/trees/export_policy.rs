//! Export policies: the requirements on the leaves of a tree before it is exported.

use std::fmt;
use std::str::FromStr;

use crate::engine::error::TreeError;

/// The requirements on the leaves of a tree before it is exported.
///
/// ```
/// use pouw::ExportPolicy;
/// assert_eq!("strict".parse(), Ok(ExportPolicy::Strict));
/// let sampled = ExportPolicy::Statistical { epsilon: 0.01, delta: 1e-6 };
/// assert_eq!("statistical:0.01:0.000001".parse(), Ok(sampled));
/// assert!("statistical:0:0.1".parse::<ExportPolicy>().is_err());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub enum ExportPolicy {
    /// Every leaf is verified or known: the server hashes the others.
    #[default]
    Strict,
    /// The server hashes a random sample of the leaves known from clients only. If a part of
    /// `epsilon` or more of them were wrong, the sample would contain one with a probability of at
    /// least `1 - delta`.
    Statistical {
        /// Part of wrong leaves that must be found, above 0 and below 1.
        epsilon: f64,
        /// Probability of missing it, above 0 and below 1.
        delta: f64,
    },
    /// No verification, except for leaves of clients caught lying, which are hashed before any
    /// export.
    Attested,
}

impl ExportPolicy {
    pub(in crate::engine) fn check(self) -> Result<(), TreeError> {
        let Self::Statistical { epsilon, delta } = self else { return Ok(()) };
        for (field, value) in [("epsilon", epsilon), ("delta", delta)] {
            if !(value > 0.0 && value < 1.0) {
                return Err(TreeError::Policy { field, value: value.to_string() });
            }
        }
        Ok(())
    }
}

impl fmt::Display for ExportPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strict => f.write_str("strict"),
            Self::Statistical { epsilon, delta } => write!(f, "statistical:{epsilon}:{delta}"),
            Self::Attested => f.write_str("attested"),
        }
    }
}

/// The text is not an export policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown export policy {0:?}; expected `strict`, `attested` or `statistical:EPSILON:DELTA` (both above 0 and below 1)"
)]
#[non_exhaustive]
pub struct UnknownPolicy(pub String);

impl FromStr for ExportPolicy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let statistical = |rest: &str| {
            let (epsilon, delta) = rest.split_once(':')?;
            Some(Self::Statistical { epsilon: epsilon.parse().ok()?, delta: delta.parse().ok()? })
        };
        let found = match text {
            "strict" => Some(Self::Strict),
            "attested" => Some(Self::Attested),
            _ => text.strip_prefix("statistical:").and_then(statistical),
        };
        found.filter(|policy| policy.check().is_ok()).ok_or_else(|| UnknownPolicy(text.to_owned()))
    }
}
