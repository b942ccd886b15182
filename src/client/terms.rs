//! The most a caller is willing to pay.

use std::time::Duration;

use crate::protocol::limits::{MAX_FOLD_LEVELS, MAX_UNIT_DATA_BYTES, MAX_UNIT_LEAVES};
use crate::protocol::subtree_nodes;

/// The most that getting past a limit may cost. By default anything the protocol allows, within a
/// minute.
///
/// ```
/// use std::time::Duration;
/// use pouw::client::Terms;
///
/// let terms = Terms::default().deadline(Duration::from_secs(10)).max_bytes(64 << 10);
/// assert!(!terms.wait_when_limited);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terms {
    /// Time for everything from the first sending on, redirects included; default 60 s. If the
    /// server's wait would exceed it, the request fails at once. The first sending itself is never
    /// cut off, so requests under the limit behave as they do without this client.
    pub deadline: Duration,
    /// Most bytes of data in a unit; default 2 MiB, the protocol's maximum.
    pub max_bytes: u64,
    /// Most hashes in a unit; default 98, the protocol's maximum.
    pub max_hashes: u64,
    /// Longest single wait the server may demand; by default only the deadline limits it.
    pub max_wait: Duration,
    /// Whether to wait out a 429 that has no work, for the seconds in its `Retry-After`; default
    /// false. If false, the 429 is returned. It is also returned if `Retry-After` is a date (clocks
    /// are never compared), if the wait is too long, and after eight waits.
    pub wait_when_limited: bool,
}

impl Terms {
    /// Sets [`Terms::deadline`].
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets [`Terms::max_bytes`].
    #[must_use]
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets [`Terms::max_hashes`].
    #[must_use]
    pub const fn max_hashes(mut self, hashes: u64) -> Self {
        self.max_hashes = hashes;
        self
    }

    /// Sets [`Terms::max_wait`].
    #[must_use]
    pub const fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// Sets [`Terms::wait_when_limited`].
    #[must_use]
    pub const fn wait_when_limited(mut self, wait: bool) -> Self {
        self.wait_when_limited = wait;
        self
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(60),
            max_bytes: MAX_UNIT_DATA_BYTES as u64,
            max_hashes: subtree_nodes(MAX_UNIT_LEAVES as u64, MAX_FOLD_LEVELS),
            max_wait: Duration::MAX,
            wait_when_limited: false,
        }
    }
}
