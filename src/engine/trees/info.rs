//! Reads of trees: listings, missing leaves, roots, validation, commitments, proofs.

use crate::hash::Checksum;
use crate::merkle::{Commitment, InclusionProof, LeafIndex, Position, Shape};
use crate::store::rows::{DataPlace, Exposure, LeafState, ProvenanceRow, Strategy, TreeRow, TreeState};
use crate::store::{Command, Outcome, TreeNumber};

use super::commitment::commitment;
use super::provenance::Provenances;
use crate::engine::error::TreeError;
use crate::engine::handle::PouwEngine;
use crate::engine::tree_id::TreeId;
use crate::engine::trees::stored;
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

impl PouwEngine {
    /// Returns the tree of this name.
    ///
    /// # Errors
    /// [`TreeError::Unknown`] if no tree has this name; [`TreeError::Store`] if the store cannot be
    /// read.
    pub fn tree(&self, name: &str) -> Result<TreeInfo, TreeError> {
        let core = self.core();
        let (id, row) = stored::named(core, name)?;
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
        let (tree, row) = stored::named(self.core(), name)?;
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
        let (_, row) = stored::complete(self.core(), name)?;
        Ok(row.root)
    }

    /// Returns the commitment to publish for a complete tree: leaves, lengths and root.
    ///
    /// # Errors
    /// As [`root`](Self::root).
    pub fn commitment(&self, name: &str) -> Result<Commitment, TreeError> {
        let (_, row) = stored::complete(self.core(), name)?;
        Ok(commitment(&row))
    }

    /// Checks every parent of a complete tree against its children, up to the stored root. One of
    /// the calls of the paper's assembler, for a host that wants a check of its own before it
    /// publishes.
    ///
    /// # Errors
    /// [`TreeError::Inconsistent`] names the first position that does not fit.
    pub fn validate(&self, name: &str) -> Result<(), TreeError> {
        let (tree, row) = stored::complete(self.core(), name)?;
        stored::validate_row(self.core(), tree, &row).map(|_| ())
    }

    /// Returns the hash of one leaf of a complete tree.
    ///
    /// # Errors
    /// As [`root`](Self::root); [`TreeError::LeafRange`].
    pub fn leaf(&self, name: &str, leaf: LeafIndex) -> Result<Checksum, TreeError> {
        let core = self.core();
        let (tree, row) = stored::complete(core, name)?;
        let range = || TreeError::LeafRange { name: name.to_owned(), leaf: leaf.0, leaves: row.leaves };
        let shape = Shape::new(row.leaves).map_err(|_| range())?;
        if leaf.0 >= row.leaves {
            return Err(range());
        }
        Ok(stored::node(core, tree, shape, Position { level: shape.leaf_level(), index: leaf.0 })?)
    }

    /// Returns the inclusion proof of one leaf of a complete tree.
    ///
    /// # Errors
    /// As [`leaf`](Self::leaf).
    pub fn prove(&self, name: &str, leaf: LeafIndex) -> Result<InclusionProof, TreeError> {
        let core = self.core();
        let (tree, row) = stored::complete(core, name)?;
        let proof = stored::prove_leaf(core, tree, &row, leaf)?;
        stored::is_unchanged(core, tree, &row)?;
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
        let (tree, _) = stored::named(core, name)?;
        let memory = core.clone();
        let forget = vec![Command::Forget { tree }];
        let outcomes = {
            let _alone = core.turns.both_files.read();
            core.writer.write_bulk_then(forget, move |fate| {
                if matches!(fate, Fate::Stored(_)) {
                    memory.queue.lock().drop_tree(tree);
                    memory.events.forget(tree);
                }
            })?
        };
        core.background.wake();
        match outcomes.first() {
            Some(Outcome::Done { .. }) => Ok(()),
            _ => Err(TreeError::Unknown(name.to_owned())),
        }
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
        root: complete.then_some(row.root),
        commitment: if complete { commitment(&row).digest().ok() } else { None },
        name: row.name,
    }
}
