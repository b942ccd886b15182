//! The words of judging an answer.

use crate::hash::Checksum;
use crate::merkle::fold;
use crate::policy::quorum::Voter;
use crate::protocol::{Malformed, WorkResult};
use crate::store::SettleKind;
use crate::store::rows::HashWork;

use crate::engine::error::SubmitError;
use crate::engine::event::Event;

/// An answer found right: its effect on the store, and its work.
pub(in crate::engine) struct Judged {
    pub(in crate::engine) kind: SettleKind,
    pub(in crate::engine) nodes: u64,
    pub(in crate::engine) leaves: u64,
    pub(in crate::engine) accepted: HashWork,
    pub(in crate::engine) audit: HashWork,
    pub(in crate::engine) referee: HashWork,
    pub(in crate::engine) follows: Follows,
}

/// Changes in memory that an answer causes once it is durable.
#[derive(Debug, Default)]
pub(in crate::engine) struct Follows {
    /// Clients with votes that it proved wrong, and their networks.
    pub(in crate::engine) liars: Vec<Voter>,
    /// Damaged blocks it found.
    pub(in crate::engine) damaged: Vec<Event>,
}

/// Folds the parents again from a client's leaf hashes: a result with a top that does not fit them
/// is malformed.
pub(in crate::engine) fn check_fold(result: &WorkResult, leaves: &[Checksum], levels: u8) -> Result<(), SubmitError> {
    if fold(leaves, levels) == Some(result.result_hash) {
        return Ok(());
    }
    Err(SubmitError::Malformed(Malformed::new("resultHash", "the fold of leafHashes", "another hash")))
}
