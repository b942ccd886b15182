//! The bytes of units that were sent, read again.

use crate::engine::backlog::damaged;
use crate::engine::backlog::leaf_bytes::load_tile;
use crate::engine::core::Core;
use crate::engine::error::SubmitError;
use crate::merkle::AlignedRange;
use crate::policy::ready::{Loaded, mask_of};
use crate::protocol::{ChallengeToken, data_digest};
use crate::store::TreeNumber;
use crate::store::rows::TreeRow;

/// Reads the bytes of a unit again. If they differ from those that were sent, the client is not
/// to blame for a wrong answer: the unit is withdrawn, and kept back until the server has
/// looked at it.
pub(in crate::engine) fn sent_again(
    core: &Core,
    token: &ChallengeToken,
    (tree, row): (TreeNumber, &TreeRow),
    range: &AlignedRange,
) -> Result<Loaded, SubmitError> {
    let data = load_leaves(core, (tree, row), range)?;
    if data_digest(&data.bytes) != token.data_digest {
        let what = format!("leaves {} to {} are not what was sent", range.start(), range.end() - 1);
        return Err(damaged::keep_back(core, (tree, row), range, Some(&data), &what));
    }
    Ok(data)
}

/// Returns the bytes of a unit. It is withdrawn and kept back if their source cannot be read.
pub(in crate::engine) fn load_leaves(
    core: &Core,
    (tree, row): (TreeNumber, &TreeRow),
    range: &AlignedRange,
) -> Result<Loaded, SubmitError> {
    let read = load_tile(&*core.store, &*core.store.read()?, tree, row, range.tile(), mask_of(range));
    read.map_err(|error| damaged::unreadable(core, tree, range, error))
}
