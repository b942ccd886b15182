//! The requests of a caller and their results: a unit, and the answer to one.

use std::time::Duration;

use crate::protocol::{ClientDigest, DifficultyTier, MicroJoules, WorkId, WorkResult, WorkUnit};

/// A request for a unit of work. Made by [`IssueRequest::new`] and its builder methods.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use pouw::IssueRequest;
/// use pouw::protocol::DifficultyTier;
///
/// let request = IssueRequest::new(b"anna", DifficultyTier::High)
///     .network(b"192.0.2.0/24")
///     .floor(Duration::from_secs(5))
///     .bytes_max(64 << 10);
/// assert!(!request.synthetic, "real work only");
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct IssueRequest<'a> {
    /// Client key: bytes that identify the client. Only their keyed digest is kept.
    pub client: &'a [u8],
    /// The client's network prefix (a /24 or /48, say), as bytes. Two clients of one network never
    /// verify each other's work. Clients without a prefix count as one network.
    pub network: &'a [u8],
    /// Difficulty tier.
    pub tier: DifficultyTier,
    /// Digest of the policy the challenge is for. An answer must name the same.
    pub policy: u64,
    /// Time before an answer counts, rounded up to milliseconds; `None` takes the configured floor
    /// of the tier.
    pub floor: Option<Duration>,
    /// Whether to issue synthetic work when no real unit is ready.
    pub synthetic: bool,
    /// Bytes of data the unit may carry, beside the limit of its tier. Larger units are halved; if
    /// not even one leaf fits, the request fails with
    /// [`IssueError::TooBig`](super::IssueError::TooBig).
    pub bytes_max: Option<usize>,
}

impl<'a> IssueRequest<'a> {
    /// A request under the default policy and floor, for real work only.
    pub fn new(client: &'a [u8], tier: DifficultyTier) -> Self {
        Self { client, network: b"", tier, policy: 0, floor: None, synthetic: false, bytes_max: None }
    }

    /// Sets the client's network prefix.
    #[must_use]
    pub fn network(self, network: &'a [u8]) -> Self {
        Self { network, ..self }
    }

    /// Sets the digest of the policy.
    #[must_use]
    pub fn policy(self, policy: u64) -> Self {
        Self { policy, ..self }
    }

    /// Replaces the configured floor of the tier.
    #[must_use]
    pub fn floor(self, floor: Duration) -> Self {
        Self { floor: Some(floor), ..self }
    }

    /// Sets whether synthetic work is issued when no real unit is ready.
    #[must_use]
    pub fn synthetic(self, synthetic: bool) -> Self {
        Self { synthetic, ..self }
    }

    /// Limits the bytes of data the unit may carry.
    #[must_use]
    pub fn bytes_max(self, bytes: usize) -> Self {
        Self { bytes_max: Some(bytes), ..self }
    }
}

/// An [`IssueRequest`] of a client whose digest is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) client: ClientDigest,
    /// Whether the client is an address.
    pub(crate) by_address: bool,
    pub(crate) network: &'a [u8],
    pub(crate) tier: DifficultyTier,
    /// The tier whose size of units is issued: lower than `tier` for a client that can answer units
    /// of one leaf only.
    pub(crate) size: DifficultyTier,
    pub(crate) policy: u64,
    pub(crate) floor: Option<Duration>,
    pub(crate) synthetic: bool,
    pub(crate) bytes_max: Option<usize>,
}

impl<'a> Asked<'a> {
    /// The request, which comes from the client with this digest.
    pub(super) fn of(client: ClientDigest, request: &IssueRequest<'a>) -> Self {
        let IssueRequest { client: _, network, tier, policy, floor, synthetic, bytes_max } = *request;
        Self { client, by_address: false, network, tier, size: tier, policy, floor, synthetic, bytes_max }
    }
}

/// An issued unit.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Issued {
    /// The unit to send to the client. Its `challenge_token` goes into the header too.
    pub unit: WorkUnit,
    /// The unit is smaller than its tier asks for.
    pub shortfall: bool,
}

/// A client's answer. Made by [`Answer::new`] and its builder methods.
///
/// # Examples
///
/// ```
/// use pouw::protocol::WorkResult;
/// use pouw::{Accepted, Answer, PouwEngine, SubmitError};
///
/// fn judge(engine: &PouwEngine, client: &[u8], result: &WorkResult) -> Result<Accepted, SubmitError> {
///     engine.submit(&Answer::new(client, result).network(b"192.0.2.0/24"))
/// }
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Answer<'a> {
    /// Client key, the same as at issue.
    pub client: &'a [u8],
    /// Its network prefix, as at issue.
    pub network: &'a [u8],
    /// The token, from the header. It alone names the unit; nothing in the result does.
    pub token: &'a str,
    /// The computed hashes.
    pub result: &'a WorkResult,
    /// Digest of the policy of the route the answer came on.
    pub policy: u64,
}

impl<'a> Answer<'a> {
    /// An answer from an unknown network under the default policy, with the token the result
    /// carries.
    pub fn new(client: &'a [u8], result: &'a WorkResult) -> Self {
        Self { client, network: b"", token: &result.challenge_token, result, policy: 0 }
    }

    /// Sets the client's network prefix.
    #[must_use]
    pub fn network(self, network: &'a [u8]) -> Self {
        Self { network, ..self }
    }

    /// Sets the token, if it is not the one in the result.
    #[must_use]
    pub fn token(self, token: &'a str) -> Self {
        Self { token, ..self }
    }

    /// Sets the digest of the policy of the route.
    #[must_use]
    pub fn policy(self, policy: u64) -> Self {
        Self { policy, ..self }
    }
}

/// An accepted answer. Its effects are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted {
    /// Challenge id, also the receipt's.
    pub id: WorkId,
    /// Ledger entry; `None` for a vote, which gets one when its quorum is complete.
    pub seq: Option<u64>,
    /// Credit, now.
    pub award: MicroJoules,
    /// Credit when the quorum is complete.
    pub deferred: MicroJoules,
    /// Number of hashes in the unit.
    pub nodes: u64,
    /// With it all leaves of the tree are done.
    pub leaves_complete: bool,
}
