//! Compares an answer with hashes the server knows, in constant time: its own (strategy
//! `Precomputed`) or the blocks' addresses (`KnownAddress`). [`sample`](super::sample) and
//! [`votes`](super::votes) judge answers to units whose hashes the server does not know.

use crate::hash::{Checksum, hash_batch, hash_parent, sha3_512};
use crate::merkle::{AlignedRange, GROUP_LEAVES, GROUP_ORDER, TILE_LEAVES, fold};
use crate::policy::lease::Claim;
use crate::policy::ready::Loaded;
use crate::protocol::{ChallengeToken, Malformed, WorkResult, WorkUnitOperation, data_digest};
use crate::store::rows::{GroupRow, HashReason, HashWork, HashesFrom, Strategy, TreeRow};
use crate::store::{Reader, SettleKind, StoreError, TreeNumber};

use super::sample::{self, Unit};
use super::token::Inspected;
use super::verdict::{Follows, Judged, check_fold};
use crate::engine::answers::again;
use crate::engine::answers::votes;
use crate::engine::backlog::damaged;
use crate::engine::backlog::interior::interior_node;
use crate::engine::backlog::leaf_bytes::{leaf_bytes, leaf_lengths};
use crate::engine::backlog::synthetic;
use crate::engine::core::Core;
use crate::engine::error::SubmitError;
use crate::engine::event::Event;
use crate::engine::issue::{synthetic_range, synthetic_work};
use crate::engine::tree_id::TreeId;
use crate::engine::work::{parents_work, unit_work};

/// The right answer to one unit.
pub(in crate::engine) struct Expected {
    leaves: Vec<Checksum>,
    top: Checksum,
    fold_levels: u8,
    operation: WorkUnitOperation,
    pub(in crate::engine) nodes: u64,
    /// Whether an interior node has two children.
    pair: bool,
}

/// Blocks that do not hash to their address, found by a correct answer.
#[derive(Default)]
struct Damage {
    /// One bit for each damaged leaf, within the tile.
    mask: u32,
    referee: HashWork,
    events: Vec<Event>,
}

impl Damage {
    fn is_at(&self, leaf: u64) -> bool {
        self.mask & (1 << (leaf % TILE_LEAVES)) != 0
    }
}

impl Expected {
    /// Number of leaf hashes the answer must list.
    pub(in crate::engine) fn leaf_count(&self) -> usize {
        if self.operation == WorkUnitOperation::SubtreeHash { self.leaves.len() } else { 0 }
    }

    pub(in crate::engine) fn operation(&self) -> WorkUnitOperation {
        self.operation
    }
}

/// Judges a result that names the right unit and token.
pub(in crate::engine) fn verify(
    core: &Core,
    inspected: &Inspected,
    result: &WorkResult,
    claim: Claim,
) -> Result<Judged, SubmitError> {
    let Claim::Leaves { tree, range } = claim else {
        let expected = expected(core, &inspected.opened, claim)?;
        return verify_stored(core, inspected, result, claim, expected, None);
    };
    // One snapshot for all rows of the unit, gone before anything is hashed.
    let reader = core.store.read()?;
    let row = reader.tree(tree)?.ok_or(SubmitError::Withdrawn)?;
    let lengths = leaf_lengths(&*reader, tree, &row, &range);
    match row.strategy {
        Strategy::SampledAudit { k } => {
            drop(reader);
            sample::verify_sample(core, inspected, result, Unit { tree, row: &row, range, lengths }, k)
        }
        Strategy::Redundant { quorum } => {
            let group = reader.quorum(tree, range.start());
            drop(reader);
            votes::verify_vote(core, inspected, result, Unit { tree, row: &row, range, lengths }, (quorum, group))
        }
        _ => {
            let expected = expected_leaves(&*reader, tree, &range)?;
            drop(reader);
            verify_stored(core, inspected, result, claim, expected, Some((&row, lengths)))
        }
    }
}

/// Judges a result against the stored answer, or one computed from stored hashes.
fn verify_stored(
    core: &Core,
    inspected: &Inspected,
    result: &WorkResult,
    claim: Claim,
    expected: Expected,
    of_leaves: Option<(&TreeRow, Result<Vec<u64>, StoreError>)>,
) -> Result<Judged, SubmitError> {
    let token = &inspected.opened;
    result.check_shape(expected.leaf_count(), expected.operation()).map_err(SubmitError::Malformed)?;
    let nodes = expected.nodes;
    let damage = compare(core, result, token, claim, &expected, of_leaves.as_ref().map(|(row, _)| *row))?;
    let (kind, leaves, accepted) = match claim {
        Claim::Leaves { tree, range } => {
            let (row, lengths) = of_leaves.ok_or(SubmitError::Withdrawn)?;
            core.clients.count_server(row.strategy.index(), HashReason::Folding, stored_top_work(&range));
            let good = (range.start()..).zip(lengths?).filter(|(leaf, _)| !damage.is_at(*leaf));
            let accepted = unit_work(&range, good.map(|(_, length)| length));
            (SettleKind::Leaves { tree, range, damaged: damage.mask }, range.len(), accepted)
        }
        Claim::Interior { tree, level, index } => {
            let hash = result.result_hash;
            let bytes = if expected.pair { 128 } else { 64 };
            (SettleKind::Interior { tree, level, index, hash }, 1, HashWork::of([bytes]))
        }
        Claim::Synthetic => (SettleKind::Synthetic, 1 << token.order.min(4), synthetic_work(token.order)),
    };
    let Damage { referee, events, .. } = damage;
    let follows = Follows { damaged: events, ..Follows::default() };
    Ok(Judged { kind, nodes, leaves, accepted, audit: HashWork::default(), referee, follows })
}

/// Checks that the result names the token's unit, and the token `named` if there is one to compare.
pub(in crate::engine) fn check_names(
    core: &Core,
    token: &ChallengeToken,
    named: Option<&str>,
    result: &WorkResult,
) -> Result<(), SubmitError> {
    #[cfg(not(feature = "testing"))]
    let _ = core;
    #[cfg(feature = "testing")]
    if core.config.makes(crate::engine::mistake::Mistake::UnitFromBody) {
        return Ok(());
    }
    if result.work_unit_id != token.id {
        let found = result.work_unit_id.to_string();
        return Err(SubmitError::Malformed(Malformed::new("workUnitId", "the id in the token", found)));
    }
    if named.is_some_and(|named| named != result.challenge_token) {
        return Err(SubmitError::Malformed(Malformed::new("challengeToken", "the token in the header", "another")));
    }
    Ok(())
}

/// The stored hashes of a unit's leaves, and of the node above them.
fn expected_leaves(reader: &dyn Reader, tree: TreeNumber, range: &AlignedRange) -> Result<Expected, SubmitError> {
    let first = range.start() / GROUP_LEAVES;
    let count = range.end().div_ceil(GROUP_LEAVES) - first;
    let groups = reader.groups(tree, first, count as usize)?;
    let skip = (range.start() % GROUP_LEAVES) as usize;
    let take = (range.end() - range.start()) as usize;
    let leaves: Vec<Checksum> = groups.iter().flat_map(|group| &group.leaves).skip(skip).take(take).copied().collect();
    if leaves.len() != take {
        // A row of them is missing, which this reports.
        reader.group(tree, first + groups.len() as u64)?;
        return Err(SubmitError::Withdrawn);
    }
    let top = stored_top(range, &groups, &leaves).ok_or(SubmitError::Withdrawn)?;
    let single = range.order() == 0;
    let operation = if single { WorkUnitOperation::LeafHash } else { WorkUnitOperation::SubtreeHash };
    Ok(Expected { leaves, top, fold_levels: range.fold_levels(), operation, nodes: range.node_count(), pair: false })
}

/// The same of work that is not of leaves.
fn expected(core: &Core, token: &ChallengeToken, claim: Claim) -> Result<Expected, SubmitError> {
    match claim {
        Claim::Leaves { tree, range } => expected_leaves(&*core.store.read()?, tree, &range),
        Claim::Interior { tree, level, index } => {
            let node = interior_node(&*core.store.read()?, tree, level, index)?.ok_or(SubmitError::Withdrawn)?;
            if data_digest(&node.bytes()) != token.data_digest {
                // A leaf below was corrected since: its children have changed.
                return Err(SubmitError::Withdrawn);
            }
            let top = hash_parent(&node.left, node.right.as_ref());
            let operation = WorkUnitOperation::InteriorHash;
            let pair = node.right.is_some();
            Ok(Expected { leaves: Vec::new(), top, fold_levels: 0, operation, nodes: 1, pair })
        }
        Claim::Synthetic => {
            let made_up = synthetic::synthetic_leaves(core, token);
            let slices: Vec<&[u8]> = made_up.iter().map(|leaf| leaf.as_slice()).collect();
            let leaves = hash_batch(&slices);
            let fold_levels = token.order.min(4);
            let top = fold(&leaves, fold_levels).ok_or(SubmitError::Withdrawn)?;
            let single = leaves.len() == 1;
            let operation = if single { WorkUnitOperation::LeafHash } else { WorkUnitOperation::SubtreeHash };
            let nodes = synthetic_range(token.order).map_or(1, |range| range.node_count());
            Ok(Expected { leaves, top, fold_levels, operation, nodes, pair: false })
        }
    }
}

/// Compares every hash, whichever differs, so that the time taken reveals nothing.
fn compare(
    core: &Core,
    result: &WorkResult,
    token: &ChallengeToken,
    claim: Claim,
    expected: &Expected,
    row: Option<&TreeRow>,
) -> Result<Damage, SubmitError> {
    let mut wrong = Vec::new();
    if expected.operation == WorkUnitOperation::SubtreeHash {
        for (index, (given, right)) in result.leaf_hashes.iter().zip(&expected.leaves).enumerate() {
            if given != right {
                wrong.push(index);
            }
        }
    }
    // A stored top that the stored leaves do not fold to is damage of ours; no client is to
    // blame.
    let top_wrong =
        result.result_hash != expected.top && fold(&expected.leaves, expected.fold_levels) != Some(result.result_hash);
    if wrong.is_empty() && !top_wrong {
        return Ok(Damage::default());
    }
    let what = wrong.first().map_or_else(|| "resultHash".to_owned(), |index| format!("leafHashes[{index}]"));
    if let (Claim::Leaves { tree, range }, Some(row)) = (claim, row) {
        if expected.leaves.len() == 1 {
            wrong = vec![0];
        }
        let data = again::sent_again(core, token, (tree, row), &range)?;
        if row.strategy.hashes() == HashesFrom::Addresses && !wrong.is_empty() {
            return look_for_damage(core, result, (tree, row), &range, expected, &wrong, &data);
        }
        if let Some(index) = wrong.first() {
            own_hash_agrees(core, (tree, row), &range, expected, *index, &data)?;
        }
    }
    Err(SubmitError::WrongResult { what })
}

/// Hashes a leaf that differs, as a strike requires: if the bytes do not hash to the stored
/// answer, the client is not to blame, and the leaves of which that is true are damaged.
fn own_hash_agrees(
    core: &Core,
    (tree, row): (TreeNumber, &TreeRow),
    range: &AlignedRange,
    expected: &Expected,
    index: usize,
    data: &Loaded,
) -> Result<(), SubmitError> {
    match leaf_bytes(data, index) {
        Some(bytes) if expected.leaves.get(index).is_some_and(|right| *right == sha3_512(bytes)) => Ok(()),
        _ => {
            let what = format!("leaf {} does not hash to the stored answer", range.start() + index as u64);
            Err(damaged::keep_back(core, (tree, row), range, Some(data), &what))
        }
    }
}

/// Hashes the leaves on which an answer differs from the blocks' addresses, until it finds a
/// lie. If it finds none, those blocks are damaged, and the client is right.
fn look_for_damage(
    core: &Core,
    result: &WorkResult,
    (tree, row): (TreeNumber, &TreeRow),
    range: &AlignedRange,
    expected: &Expected,
    wrong: &[usize],
    data: &Loaded,
) -> Result<Damage, SubmitError> {
    let single = expected.leaves.len() == 1;
    let given: &[Checksum] = if single { std::slice::from_ref(&result.result_hash) } else { &result.leaf_hashes };
    check_fold(result, given, expected.fold_levels)?;
    let mut damage = Damage::default();
    for index in wrong {
        let bytes = leaf_bytes(data, *index).unwrap_or_default();
        damage.referee.add(HashWork::of([bytes.len() as u64]));
        if given.get(*index) != Some(&sha3_512(bytes)) {
            core.clients.count_server(row.strategy.index(), HashReason::Referee, damage.referee);
            let what = if single { "resultHash".to_owned() } else { format!("leafHashes[{index}]") };
            return Err(SubmitError::WrongResult { what });
        }
        let leaf = range.start() + *index as u64;
        damage.mask |= 1 << (leaf % TILE_LEAVES);
        let address = expected.leaves.get(*index).copied().unwrap_or(Checksum::ZERO);
        damage.events.push(Event::BlockDamaged { tree: TreeId::new(tree), name: row.name.clone(), leaf, address });
    }
    Ok(damage)
}

/// Returns the top of `range`: from the tops of its groups if it has whole ones, which saves
/// folding 31 parents for each answer; else folded from its leaves.
fn stored_top(range: &AlignedRange, groups: &[GroupRow], leaves: &[Checksum]) -> Option<Checksum> {
    match groups {
        _ if range.order() < GROUP_ORDER => fold(leaves, range.fold_levels()),
        [left, right] => Some(hash_parent(&left.top, Some(&right.top))),
        [only] if range.fold_levels() > GROUP_ORDER => Some(hash_parent(&only.top, None)),
        [only] => Some(only.top),
        _ => None,
    }
}

/// Returns the work of computing that top.
fn stored_top_work(range: &AlignedRange) -> HashWork {
    match range.order() {
        order if order < GROUP_ORDER => parents_work(range),
        _ if range.len() > GROUP_LEAVES => HashWork::of_parents(1, 0),
        _ => HashWork::of_parents(0, u64::from(range.fold_levels().saturating_sub(GROUP_ORDER))),
    }
}
