//! What a caller is willing to pay.

use std::time::Duration;

use crate::protocol::limits::{MAX_FOLD_LEVELS, MAX_UNIT_DATA_BYTES, MAX_UNIT_LEAVES};
use crate::protocol::subtree_nodes;

/// What getting past a limit may cost. The default takes whatever the protocol allows, within a minute.
///
/// ```
/// use std::time::Duration;
/// use pouw::client::Terms;
/// let terms = Terms { deadline: Duration::from_secs(10), max_bytes: 64 << 10, ..Terms::default() };
/// assert!(!terms.wait_when_limited);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Time for everything, redirects included, from the first sending on; default 60 s. Where it would be passed by waiting, that is told
    /// at once. The first sending itself is not cut off, however long it takes: under the limit nothing changes.
    pub deadline: Duration,
    /// Most bytes of data in a unit; default 1 MiB, the most there can be.
    pub max_bytes: u64,
    /// Most hashes in a unit; default 98, the most there can be.
    pub max_hashes: u64,
    /// Longest wait that the server may ask for at once; by default only the deadline limits it.
    pub max_wait: Duration,
    /// Whether to wait out a 429 without work, as its `Retry-After` says in seconds; default no, it is handed back. Also
    /// handed back are a date (no clock is compared), a wait that is too long, and the ninth 429.
    pub wait_when_limited: bool,
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
