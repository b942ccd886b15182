//! Reads of trees: listings, missing leaves, roots, validation, commitments, proofs.

use crate::hash::{Checksum, hash_parent};
use crate::merkle::{
    Commitment, GROUP_LEAVES, GROUP_ORDER, InclusionProof, LeafIndex, Level, LevelFolder, Position, ProveError, Shape,
    StreamingRoot, fold, fold_level, prove,
};
use crate::store::records::{DataPlace, Exposure, LeafState, ProvenanceRow, Strategy, TreeRow, TreeState};
use crate::store::{Command, Outcome, StoreError, TreeNumber};

use super::commitment::commitment;
use super::provenance::Provenances;
use crate::engine::core::Core;
use crate::engine::error::TreeError;
use crate::engine::handle::PouwEngine;
use crate::engine::tree_id::TreeId;
use crate::engine::writer::job::Fate;

/// The current state of one tree.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeInfo {
    /// Number inside this store; never used twice.
    pub id: TreeId,
    /// Name given at ingest.
    pub name: String,
    /// Leaves.
    pub leaves: u64,
    /// Leaves not done yet, and not damaged.
    pub pending: u64,
    /// How the answers of its units are verified.
    pub strategy: Strategy,
    /// Its leaves by provenance.
    pub provenance: Provenances,
    /// Levels below the root.
    pub height: u8,
    /// Nodes in all.
    pub nodes: u64,
    /// Length of every leaf but the last, bytes; 0 for mixed lengths.
    pub block_len: u64,
    /// Bytes in all leaves.
    pub total_bytes: u64,
    /// Its state.
    pub state: TreeState,
    /// Why its data may be sent to clients.
    pub exposure: Exposure,
    /// Where its block data is.
    pub data: DataPlace,
    /// Root, once complete.
    pub root: Option<Checksum>,
    /// Commitment to publish, once complete.
    pub commitment: Option<Checksum>,
}

/// Groups read at once.
const PAGE_GROUPS: usize = 512;

impl PouwEngine {
    /// Returns the tree of this name.
    ///
    /// # Errors
    /// [`TreeError::Unknown`] if no tree has this name; [`TreeError::Store`] if the store cannot be
    /// read.
    pub fn tree(&self, name: &str) -> Result<TreeInfo, TreeError> {
        let core = self.core();
        let (id, row) = core.named(name)?;
        Ok(info(id, row, core.store.read()?.provenance_or_counted(id)?))
    }

    /// Returns up to `limit` trees numbered above `after`, by number.
    ///
    /// # Errors
    /// [`TreeError::Store`] if the store cannot be read.
    pub fn trees(&self, after: Option<TreeId>, limit: usize) -> Result<Vec<TreeInfo>, TreeError> {
        let reader = self.core().store.read()?;
        let rows = reader.trees(after.map(TreeId::get), limit)?.into_iter();
        rows.map(|(id, row)| Ok(info(id, row, reader.provenance_or_counted(id)?))).collect()
    }

    /// Returns up to `limit` partly built trees numbered above `after`: some leaves done, some
    /// pending. One of the reads of the paper's assembler, for a host that assembles trees itself.
    ///
    /// # Errors
    /// [`TreeError::Store`] if the store cannot be read.
    pub fn partial_trees(&self, after: Option<TreeId>, limit: usize) -> Result<Vec<TreeInfo>, TreeError> {
        let partial = |tree: &TreeInfo| tree.state == TreeState::Active && tree.pending < tree.leaves;
        let (mut out, mut after) = (Vec::new(), after);
        while out.len() < limit {
            let page = self.trees(after, 256)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            out.extend(page.into_iter().filter(partial).take(limit - out.len()));
        }
        Ok(out)
    }

    /// Returns up to `limit` leaves of the tree that are not done, from `from` on. One of the reads
    /// of the paper's assembler.
    ///
    /// # Errors
    /// [`TreeError::Unknown`] if no tree has this name; [`TreeError::Store`] if the store cannot be
    /// read.
    pub fn remaining_nodes(&self, name: &str, from: LeafIndex, limit: usize) -> Result<Vec<Position>, TreeError> {
        let (tree, row) = self.core().named(name)?;
        let Ok(shape) = Shape::new(row.leaves) else {
            return Ok(Vec::new());
        };
        let reader = self.core().store.read()?;
        let mut out = Vec::new();
        let mut leaf = from.0;
        while leaf < row.leaves && out.len() < limit {
            let tile = leaf / crate::merkle::TILE_LEAVES;
            let state = reader.tile(tree, tile)?;
            let end = row.leaves.min((tile + 1) * crate::merkle::TILE_LEAVES);
            for index in leaf..end {
                if state.state(index % crate::merkle::TILE_LEAVES) == LeafState::Pending && out.len() < limit {
                    out.push(Position { level: shape.leaf_level(), index });
                }
            }
            leaf = end;
        }
        Ok(out)
    }

    /// Returns the root of a complete tree.
    ///
    /// # Errors
    /// [`TreeError::Unknown`], [`TreeError::NotComplete`]; [`TreeError::Store`] if the store cannot
    /// be read.
    pub fn root(&self, name: &str) -> Result<Checksum, TreeError> {
        let (_, row) = self.core().complete(name)?;
        Ok(Checksum::from_bytes(row.root))
    }

    /// Returns the commitment to publish for a complete tree: leaves, lengths and root.
    ///
    /// # Errors
    /// As [`root`](Self::root).
    pub fn commitment(&self, name: &str) -> Result<Commitment, TreeError> {
        let (_, row) = self.core().complete(name)?;
        Ok(commitment(&row))
    }

    /// Checks every parent of a complete tree against its children, up to the stored root. One of
    /// the calls of the paper's assembler, for a host that wants a check of its own before it
    /// publishes.
    ///
    /// # Errors
    /// [`TreeError::Inconsistent`] names the first position that does not fit.
    pub fn validate(&self, name: &str) -> Result<(), TreeError> {
        let (tree, row) = self.core().complete(name)?;
        self.core().validate_row(tree, &row).map(|_| ())
    }

    /// Returns the hash of one leaf of a complete tree.
    ///
    /// # Errors
    /// As [`root`](Self::root); [`TreeError::LeafRange`].
    pub fn leaf(&self, name: &str, leaf: LeafIndex) -> Result<Checksum, TreeError> {
        let core = self.core();
        let (tree, row) = core.complete(name)?;
        let range = || TreeError::LeafRange { name: name.to_owned(), leaf: leaf.0, leaves: row.leaves };
        let shape = Shape::new(row.leaves).map_err(|_| range())?;
        if leaf.0 >= row.leaves {
            return Err(range());
        }
        Ok(core.node(tree, shape, Position { level: shape.leaf_level(), index: leaf.0 })?)
    }

    /// Returns the inclusion proof of one leaf of a complete tree.
    ///
    /// # Errors
    /// As [`leaf`](Self::leaf).
    pub fn prove(&self, name: &str, leaf: LeafIndex) -> Result<InclusionProof, TreeError> {
        let core = self.core();
        let (tree, row) = core.complete(name)?;
        let proof = core.prove_leaf(tree, &row, leaf)?;
        core.is_unchanged(tree, &row)?;
        Ok(proof)
    }

    /// Removes a tree: its name and handle at once, its rows in bounded steps. Tokens for its units
    /// are withdrawn; paid credits stay. If the tree is being ingested, this waits for the piece
    /// that is being written, and the ingest ends with
    /// [`IngestError::Forgotten`](crate::engine::ingest::IngestError::Forgotten).
    ///
    /// # Errors
    /// [`TreeError::Unknown`]; [`TreeError::Write`] if it is not stored.
    pub fn forget(&self, name: &str) -> Result<(), TreeError> {
        let core = self.core();
        let (tree, _) = core.named(name)?;
        let memory = core.clone();
        let forget = vec![Command::Forget { tree }];
        let outcomes = {
            let _alone = core.both_files.read();
            core.write_bulk_then(forget, move |fate| {
                if matches!(fate, Fate::Stored(_)) {
                    memory.queue.lock().drop_tree(tree);
                    memory.events.forget(tree);
                }
            })?
        };
        core.wake();
        match outcomes.first() {
            Some(Outcome::Done { .. }) => Ok(()),
            _ => Err(TreeError::Unknown(name.to_owned())),
        }
    }
}

impl Core {
    pub(in crate::engine) fn named(&self, name: &str) -> Result<(TreeNumber, TreeRow), TreeError> {
        self.store.read()?.tree_named(name)?.ok_or_else(|| TreeError::Unknown(name.to_owned()))
    }

    pub(in crate::engine) fn complete(&self, name: &str) -> Result<(TreeNumber, TreeRow), TreeError> {
        let (tree, row) = self.named(name)?;
        if row.state != TreeState::Complete {
            let damaged = self.store.read()?.provenance(tree)?.damaged;
            let pending = row.leaves.saturating_sub(row.done + damaged);
            let TreeRow { name, state, leaves, .. } = row;
            return Err(TreeError::NotComplete { name, state, pending, leaves, damaged });
        }
        Ok((tree, row))
    }

    /// Inclusion proof of one leaf of a tree that is complete.
    pub(in crate::engine) fn prove_leaf(
        &self,
        tree: TreeNumber,
        row: &TreeRow,
        leaf: LeafIndex,
    ) -> Result<InclusionProof, TreeError> {
        let range = || TreeError::LeafRange { name: row.name.clone(), leaf: leaf.0, leaves: row.leaves };
        let shape = Shape::new(row.leaves).map_err(|_| range())?;
        if leaf.0 >= row.leaves {
            return Err(range());
        }
        prove(shape, leaf, |at| self.node(tree, shape, at)).map_err(|error| match error {
            ProveError::Node { source, .. } => TreeError::Store(source),
            _ => range(),
        })
    }

    /// Calls `each` with the groups of a tree in order, a page at a time.
    pub(in crate::engine) fn each_group(
        &self,
        tree: TreeNumber,
        row: &TreeRow,
        mut each: impl FnMut(u64, &crate::store::records::GroupRow) -> Result<(), TreeError>,
    ) -> Result<(), TreeError> {
        let groups = row.leaves.div_ceil(GROUP_LEAVES);
        let mut next = 0;
        while next < groups {
            let page = self.store.read()?.groups(tree, next, PAGE_GROUPS)?;
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
        &self,
        tree: TreeNumber,
        row: &TreeRow,
    ) -> Result<(u64, Checksum), TreeError> {
        let contradiction = |what: &str| StoreError::Contradiction { what: format!("tree {tree}: {what}") };
        let shape = Shape::new(row.leaves).map_err(|_| contradiction("it has no leaves"))?;
        let inconsistent = |at| TreeError::Inconsistent { name: row.name.clone(), at };
        let level = Self::group_level(shape);
        let levels = GROUP_ORDER.min(shape.height());
        let mut root = StreamingRoot::new();
        let mut last = None;
        self.each_group(tree, row, |index, group| {
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
        let root = found.filter(|found| !known || *found == Checksum::from_bytes(row.root));
        let root = root.ok_or_else(|| inconsistent(Position { level: Level(0), index: 0 }))?;
        self.validate_interior(tree, row, shape)?;
        Ok((shape.node_count() - shape.leaves(), root))
    }

    /// Interior nodes that clients had sent must be those that the leaves fold to.
    fn validate_interior(&self, tree: TreeNumber, row: &TreeRow, shape: Shape) -> Result<(), TreeError> {
        if row.interior_done == 0 {
            return Ok(());
        }
        let from = Self::group_level(shape);
        for to in 0..crate::engine::backlog::interior::tile_level(shape).unwrap_or(0) {
            let Ok(mut folder) = LevelFolder::new(shape, from, Level(to)) else {
                continue;
            };
            let mut index = 0;
            let mut check = |node: Checksum| -> Result<(), TreeError> {
                let stored = self.store.read()?.interior(tree, to, index)?;
                if stored.is_some_and(|stored| Checksum::from_bytes(stored) != node) {
                    let at = Position { level: Level(to), index };
                    return Err(TreeError::Inconsistent { name: row.name.clone(), at });
                }
                index += 1;
                Ok(())
            };
            self.each_group(tree, row, |_, group| folder.push(group.top).map_or(Ok(()), &mut check))?;
            if let Ok(Some(node)) = folder.finish() {
                check(node)?;
            }
        }
        Ok(())
    }

    /// Returns one node of a complete tree: stored, or folded from stored hashes.
    fn node(&self, tree: TreeNumber, shape: Shape, at: Position) -> Result<Checksum, StoreError> {
        let level = Self::group_level(shape);
        let reader = self.store.read()?;
        if at.level < level {
            let above = level.0 - at.level.0;
            let end = shape.groups().min((at.index + 1) << above);
            return self.fold_groups(tree, at.index << above, end, above);
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
    fn fold_groups(&self, tree: TreeNumber, first: u64, end: u64, levels: u8) -> Result<Checksum, StoreError> {
        let lacks = |group: u64| StoreError::Contradiction { what: format!("tree {tree} lacks group {group}") };
        let mut tops = StreamingRoot::new();
        let mut next = first;
        while next < end {
            let page = self.store.read()?.groups(tree, next, PAGE_GROUPS.min((end - next) as usize))?;
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
}

fn info(id: TreeNumber, row: TreeRow, counts: ProvenanceRow) -> TreeInfo {
    let shape = Shape::new(row.leaves).ok();
    let complete = row.state == TreeState::Complete;
    TreeInfo {
        id: TreeId::new(id),
        leaves: row.leaves,
        pending: row.leaves.saturating_sub(row.done + counts.damaged),
        strategy: row.strategy,
        provenance: Provenances::of(row.done, &counts),
        height: shape.map_or(0, Shape::height),
        nodes: shape.map_or(0, Shape::node_count),
        block_len: row.block_len,
        total_bytes: row.total_bytes,
        state: row.state,
        exposure: row.exposure,
        data: row.data,
        root: complete.then(|| Checksum::from_bytes(row.root)),
        commitment: if complete { commitment(&row).digest().ok() } else { None },
        name: row.name,
    }
}
