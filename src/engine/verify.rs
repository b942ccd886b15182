//! Comparing an answer with what the server knows (strategy `Precomputed`), in constant time.

use crate::hash::{Checksum, hash_batch, hash_parent, sha3_512};
use crate::merkle::{AlignedRange, GROUP_LEAVES, GROUP_ORDER, Shape, fold};
use crate::policy::lease::Claim;
use crate::policy::ready::{Loaded, mask_of};
use crate::protocol::{ChallengeToken, Malformed, WorkResult, WorkUnitOperation, data_digest};
use crate::store::records::GroupRow;
use crate::store::{Reader, StoreError, TreeId};

use super::core::Core;
use super::error::SubmitError;
use super::event::Event;
use super::inspect::Inspected;
use super::interior::{ReadyNode, stored_node};
use super::issue::synthetic_range;
use super::load::{LoadError, load_tile};

/// The right answer to one unit.
pub(super) struct Expected {
    leaves: Vec<Checksum>,
    top: Checksum,
    fold_levels: u8,
    operation: WorkUnitOperation,
    pub(super) nodes: u64,
}

impl Expected {
    /// Leaf hashes the answer must list.
    pub(super) fn leaf_count(&self) -> usize {
        if self.operation == WorkUnitOperation::SubtreeHash { self.leaves.len() } else { 0 }
    }

    pub(super) fn operation(&self) -> WorkUnitOperation {
        self.operation
    }
}

impl Core {
    /// The result must name the token's unit and the token, if it names any.
    pub(super) fn check_names(&self, inspected: &Inspected, result: &WorkResult) -> Result<(), SubmitError> {
        #[cfg(feature = "testing")]
        if self.config.makes(super::testing::Mistake::UnitFromBody) {
            return Ok(());
        }
        if result.work_unit_id != inspected.opened.id {
            let found = result.work_unit_id.to_string();
            return Err(SubmitError::Malformed(Malformed::new("workUnitId", "the id in the token", found)));
        }
        if result.challenge_token != inspected.text {
            return Err(SubmitError::Malformed(Malformed::new("challengeToken", "the token in the header", "another")));
        }
        Ok(())
    }

    pub(super) fn expected(&self, token: &ChallengeToken, claim: Claim) -> Result<Expected, SubmitError> {
        match claim {
            Claim::Leaves { tree, range } => {
                let reader = self.store.read()?;
                if reader.tree(tree)?.is_none() {
                    return Err(SubmitError::Withdrawn);
                }
                let first = range.start() / GROUP_LEAVES;
                let count = range.end().div_ceil(GROUP_LEAVES) - first;
                let groups = reader.groups(tree, first, count as usize)?;
                let skip = (range.start() % GROUP_LEAVES) as usize;
                let take = (range.end() - range.start()) as usize;
                let leaves: Vec<Checksum> =
                    groups.iter().flat_map(|group| &group.leaves).skip(skip).take(take).copied().collect();
                if leaves.len() != take {
                    return Err(SubmitError::Withdrawn);
                }
                let top = stored_top(&range, &groups, &leaves).ok_or(SubmitError::Withdrawn)?;
                let single = range.order() == 0;
                let operation = if single { WorkUnitOperation::LeafHash } else { WorkUnitOperation::SubtreeHash };
                Ok(Expected { leaves, top, fold_levels: range.fold_levels(), operation, nodes: range.node_count() })
            }
            Claim::Interior { tree, level, index } => {
                let node =
                    self.interior_node(&self.store.read()?, tree, level, index)?.ok_or(SubmitError::Withdrawn)?;
                let top = hash_parent(&node.left, node.right.as_ref());
                let operation = WorkUnitOperation::InteriorHash;
                Ok(Expected { leaves: Vec::new(), top, fold_levels: 0, operation, nodes: 1 })
            }
            Claim::Synthetic => {
                let made_up = self.synthetic_leaves(token);
                let slices: Vec<&[u8]> = made_up.iter().map(|leaf| leaf.as_slice()).collect();
                let leaves = hash_batch(&slices);
                let fold_levels = token.order.min(4);
                let top = fold(&leaves, fold_levels).ok_or(SubmitError::Withdrawn)?;
                let single = leaves.len() == 1;
                let operation = if single { WorkUnitOperation::LeafHash } else { WorkUnitOperation::SubtreeHash };
                let nodes = synthetic_range(token.order).map_or(1, |range| range.node_count());
                Ok(Expected { leaves, top, fold_levels, operation, nodes })
            }
        }
    }

    /// An interior node with its children, from what is stored.
    pub(super) fn interior_node(
        &self,
        reader: &Reader,
        tree: TreeId,
        level: u8,
        index: u64,
    ) -> Result<Option<ReadyNode>, StoreError> {
        let Some(row) = reader.tree(tree)? else {
            return Ok(None);
        };
        let Ok(shape) = Shape::new(row.leaves) else {
            return Ok(None);
        };
        let Some(left) = stored_node(reader, tree, shape, level + 1, index * 2)? else {
            return Ok(None);
        };
        let has_right = index * 2 + 1 < shape.nodes_at(crate::merkle::Level(level + 1));
        let right = if has_right { stored_node(reader, tree, shape, level + 1, index * 2 + 1)? } else { None };
        if has_right && right.is_none() {
            return Ok(None);
        }
        Ok(Some(ReadyNode { tree, handle: row.handle, level, index, left, right }))
    }

    /// Every hash is compared, whichever differs, so that the time tells nothing.
    pub(super) fn compare(
        &self,
        result: &WorkResult,
        token: &ChallengeToken,
        claim: Claim,
        expected: &Expected,
    ) -> Result<(), SubmitError> {
        let mut first_wrong = None;
        if expected.operation == WorkUnitOperation::SubtreeHash {
            for (index, (given, right)) in result.leaf_hashes.iter().zip(&expected.leaves).enumerate() {
                if given != right && first_wrong.is_none() {
                    first_wrong = Some(index);
                }
            }
        }
        // A stored top that the stored leaves do not fold to is damage of ours and counts against nobody.
        let top_wrong = result.result_hash != expected.top
            && fold(&expected.leaves, expected.fold_levels) != Some(result.result_hash);
        let what = match first_wrong {
            None if !top_wrong => return Ok(()),
            None => "resultHash".to_owned(),
            Some(index) => format!("leafHashes[{index}]"),
        };
        if let Claim::Leaves { tree, range } = claim {
            let at = if expected.leaves.len() == 1 { Some(0) } else { first_wrong };
            self.judge_mismatch(token, tree, &range, at, expected)?;
        }
        Err(SubmitError::WrongResult { what })
    }

    /// A strike needs the server's own hash: if the bytes that stand there now are not those that were
    /// sent, or do not hash to the stored answer, the client is not to blame and the unit is withdrawn.
    fn judge_mismatch(
        &self,
        token: &ChallengeToken,
        tree: TreeId,
        range: &AlignedRange,
        at: Option<usize>,
        expected: &Expected,
    ) -> Result<(), SubmitError> {
        let reader = self.store.read()?;
        let row = reader.tree(tree)?.ok_or(SubmitError::Withdrawn)?;
        let changed = |what: String| {
            self.emit(Event::SourceChanged { tree, what });
            Err(SubmitError::Withdrawn)
        };
        let data = match load_tile(&self.store, &reader, tree, &row, range.tile(), mask_of(range)) {
            Ok(data) => data,
            Err(LoadError::Store(error)) => return Err(error.into()),
            Err(LoadError::Source(what)) => return changed(what),
        };
        if data_digest(&data.bytes) != token.data_digest {
            return changed(format!("leaves {} to {} are not what was sent", range.start(), range.end() - 1));
        }
        let Some(index) = at else { return Ok(()) };
        match leaf_bytes(&data, index) {
            Some(bytes) if expected.leaves.get(index).is_some_and(|right| *right == sha3_512(bytes)) => Ok(()),
            _ => changed(format!("leaf {} does not hash to the stored answer", range.start() + index as u64)),
        }
    }
}

/// The top of `range`: from the tops of its groups if it has whole ones, which saves folding 31 parents
/// for each answer; else folded from its leaves.
fn stored_top(range: &AlignedRange, groups: &[GroupRow], leaves: &[Checksum]) -> Option<Checksum> {
    match groups {
        _ if range.order() < GROUP_ORDER => fold(leaves, range.fold_levels()),
        [left, right] => Some(hash_parent(&left.top, Some(&right.top))),
        [only] if range.fold_levels() > GROUP_ORDER => Some(hash_parent(&only.top, None)),
        [only] => Some(only.top),
        _ => None,
    }
}

fn leaf_bytes(data: &Loaded, index: usize) -> Option<&[u8]> {
    let start = if index == 0 { 0 } else { *data.ends.get(index - 1)? };
    data.bytes.get(start..*data.ends.get(index)?)
}
