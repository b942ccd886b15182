//! Client difficulty: rows written behind, in slices.

use crate::protocol::ClientDigest;
use crate::store::rows::StandingRow;

/// No precondition: a row replaces the one there, `None` removes it.
#[derive(Debug, Clone)]
pub struct PutStandings {
    /// Keyed digests of clients, and where they stand.
    pub rows: Vec<(ClientDigest, Option<StandingRow>)>,
}
