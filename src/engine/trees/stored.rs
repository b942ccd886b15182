//! Stored trees: found by name, read group by group, validated, and their nodes.

use crate::engine::core::Core;
use crate::engine::error::TreeError;
use crate::hash::{Checksum, hash_parent};
use crate::merkle::{
    GROUP_LEAVES, GROUP_ORDER, InclusionProof, LeafIndex, Level, LevelFolder, Position, ProveError, Shape,
    StreamingRoot, fold, fold_level, prove,
};
use crate::store::rows::{TreeRow, TreeState};
use crate::store::{StoreError, TreeNumber};

/// Groups read at once.
const PAGE_GROUPS: usize = 512;

pub(in crate::engine) fn named(core: &Core, name: &str) -> Result<(TreeNumber, TreeRow), TreeError> {
    core.store.read()?.tree_named(name)?.ok_or_else(|| TreeError::Unknown(name.to_owned()))
}

pub(in crate::engine) fn complete(core: &Core, name: &str) -> Result<(TreeNumber, TreeRow), TreeError> {
    let (tree, row) = named(core, name)?;
    if row.state != TreeState::Complete {
        let damaged = core.store.read()?.provenance(tree)?.damaged;
        let pending = row.leaves.saturating_sub(row.done + damaged);
        let TreeRow { name, state, leaves, .. } = row;
        return Err(TreeError::NotComplete { name, state, pending, leaves, damaged });
    }
    Ok((tree, row))
}

/// Inclusion proof of one leaf of a tree that is complete.
pub(in crate::engine) fn prove_leaf(
    core: &Core,
    tree: TreeNumber,
    row: &TreeRow,
    leaf: LeafIndex,
) -> Result<InclusionProof, TreeError> {
    let range = || TreeError::LeafRange { name: row.name.clone(), leaf: leaf.0, leaves: row.leaves };
    let shape = Shape::new(row.leaves).map_err(|_| range())?;
    if leaf.0 >= row.leaves {
        return Err(range());
    }
    prove(shape, leaf, |at| node(core, tree, shape, at)).map_err(|error| match error {
        ProveError::Node { source, .. } => TreeError::Store(source),
        _ => range(),
    })
}

/// Calls `each` with the groups of a tree in order, a page at a time.
pub(in crate::engine) fn each_group(
    core: &Core,
    tree: TreeNumber,
    row: &TreeRow,
    mut each: impl FnMut(u64, &crate::store::rows::GroupRow) -> Result<(), TreeError>,
) -> Result<(), TreeError> {
    let groups = row.leaves.div_ceil(GROUP_LEAVES);
    let mut next = 0;
    while next < groups {
        let page = core.store.read()?.groups(tree, next, PAGE_GROUPS)?;
        if page.is_empty() {
            return Err(StoreError::Contradiction { what: format!("tree {tree} lacks group {next}") }.into());
        }
        for group in &page {
            each(next, group)?;
            next += 1;
        }
    }
    Ok(())
}

/// Folds all leaves, checks each group's top, and the root where it is known. Returns the
/// parents hashed, and the root.
pub(in crate::engine) fn validate_row(
    core: &Core,
    tree: TreeNumber,
    row: &TreeRow,
) -> Result<(u64, Checksum), TreeError> {
    let contradiction = |what: &str| StoreError::Contradiction { what: format!("tree {tree}: {what}") };
    let shape = Shape::new(row.leaves).map_err(|_| contradiction("it has no leaves"))?;
    let inconsistent = |at| TreeError::Inconsistent { name: row.name.clone(), at };
    let level = shape.group_level();
    let levels = GROUP_ORDER.min(shape.height());
    let mut root = StreamingRoot::new();
    let mut last = None;
    each_group(core, tree, row, |index, group| {
        if fold(&group.leaves, levels) != Some(group.top) {
            return Err(inconsistent(Position { level, index }));
        }
        if group.leaves.len() as u64 == GROUP_LEAVES {
            root.push_subtree(GROUP_ORDER, group.top).map_err(|_| inconsistent(Position { level, index }))?;
        } else {
            last = Some((index, group.top));
        }
        Ok(())
    })?;
    let found = match last {
        Some((index, top)) => {
            let range = shape.group_range(index).map_err(|_| contradiction("a group is out of range"))?;
            root.finish_with(range, top).ok()
        }
        None => root.finish(),
    };
    let known = row.strategy.knows_answers() || row.state == TreeState::Complete;
    let root = found.filter(|found| !known || *found == row.root);
    let root = root.ok_or_else(|| inconsistent(Position { level: Level(0), index: 0 }))?;
    validate_interior(core, tree, row, shape)?;
    Ok((shape.node_count() - shape.leaves(), root))
}

/// Interior nodes that clients had sent must be those that the leaves fold to.
fn validate_interior(core: &Core, tree: TreeNumber, row: &TreeRow, shape: Shape) -> Result<(), TreeError> {
    if row.interior_done == 0 {
        return Ok(());
    }
    let from = shape.group_level();
    for to in 0..crate::engine::backlog::interior::tile_level(shape).unwrap_or(0) {
        let Ok(mut folder) = LevelFolder::new(shape, from, Level(to)) else {
            continue;
        };
        let mut index = 0;
        let mut check = |node: Checksum| -> Result<(), TreeError> {
            let stored = core.store.read()?.interior(tree, to, index)?;
            if stored.is_some_and(|stored| stored != node) {
                let at = Position { level: Level(to), index };
                return Err(TreeError::Inconsistent { name: row.name.clone(), at });
            }
            index += 1;
            Ok(())
        };
        each_group(core, tree, row, |_, group| folder.push(group.top).map_or(Ok(()), &mut check))?;
        if let Ok(Some(node)) = folder.finish() {
            check(node)?;
        }
    }
    Ok(())
}

/// Returns one node of a complete tree: stored, or folded from stored hashes.
pub(super) fn node(core: &Core, tree: TreeNumber, shape: Shape, at: Position) -> Result<Checksum, StoreError> {
    let level = shape.group_level();
    let reader = core.store.read()?;
    if at.level < level {
        let above = level.0 - at.level.0;
        let end = shape.groups().min((at.index + 1) << above);
        return fold_groups(core, tree, at.index << above, end, above);
    }
    let depth = shape.height() - at.level.0;
    let first_leaf = at.index << depth;
    let group = reader.group(tree, first_leaf / GROUP_LEAVES)?;
    let mut nodes = group.leaves;
    for _ in 0..depth {
        nodes = fold_level(&nodes);
    }
    let index = ((first_leaf % GROUP_LEAVES) >> depth) as usize;
    nodes.get(index).copied().ok_or_else(|| StoreError::Contradiction { what: format!("tree {tree} lacks a node") })
}

/// The node `levels` above the tops of groups `[first, end)`, in O(log n) memory.
fn fold_groups(core: &Core, tree: TreeNumber, first: u64, end: u64, levels: u8) -> Result<Checksum, StoreError> {
    let lacks = |group: u64| StoreError::Contradiction { what: format!("tree {tree} lacks group {group}") };
    let mut tops = StreamingRoot::new();
    let mut next = first;
    while next < end {
        let page = core.store.read()?.groups(tree, next, PAGE_GROUPS.min((end - next) as usize))?;
        if page.is_empty() {
            return Err(lacks(next));
        }
        next += page.len() as u64;
        page.iter().for_each(|group| tops.push(group.top));
    }
    let folded = Shape::new(end.saturating_sub(first)).map_err(|_| lacks(first))?.height();
    let node = tops.finish().ok_or_else(|| lacks(first))?;
    // A ragged end has only children for some levels: hash them on, one at a time.
    Ok((folded..levels).fold(node, |node, _| hash_parent(&node, None)))
}

/// A tree with leaves below verified may be corrected at any time, also while it is written
/// out.
pub(in crate::engine) fn is_unchanged(core: &Core, tree: TreeNumber, row: &TreeRow) -> Result<(), TreeError> {
    let now = core.store.read()?.tree(tree)?;
    let same = now.is_none_or(|now| now.state == row.state && now.root == row.root);
    if same { Ok(()) } else { Err(TreeError::Corrected(row.name.clone())) }
}
