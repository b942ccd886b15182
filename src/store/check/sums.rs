//! The checksums of block data: one row for each group of a tree, and the bytes that are still
//! needed are those that came in.

use super::checker::{Checker, Files, row_or_why};
use super::data::{ChunkReader, GroupLayout, has_sums};
use crate::merkle::{GROUP_LEAVES, TILE_LEAVES};
use crate::store::error::StoreError;
use crate::store::port::{BlockView, View};
use crate::store::rows::{DataPlace, LeafState, SumRow, TileRow, TreeRow, TreeState, leaf_sum};
use crate::store::schema::{CHORE_DROP, Chores, Sums};

impl<V: View, B: BlockView> Files<'_, V, B> {
    /// Whether the tree has checksums, and data that is not being removed.
    pub(super) fn is_summed(&self, tree: u64, row: &TreeRow) -> Result<bool, StoreError> {
        let Some(blocks) = self.blocks else { return Ok(false) };
        let removed = row.data == DataPlace::Dropped || self.state.has(Chores, &(CHORE_DROP, tree))?;
        Ok(!removed && has_sums(blocks, tree)?)
    }
}

impl Checker<'_> {
    /// A group of a tree with checksums has its row, and the bytes of leaves without a hash of the
    /// server's own match it. Those of damaged leaves are known not to; files by reference are not
    /// read.
    pub(super) fn group_sums(
        &mut self,
        (tree, row): (u64, &TreeRow),
        group: u64,
        layout: &GroupLayout,
        states: &TileRow,
        chunks: &mut ChunkReader<'_, impl BlockView>,
    ) -> Result<(), StoreError> {
        let sums = self.sum_row(chunks.blocks, (tree, row), group, layout.lengths().len())?;
        let Some(sums) = sums.filter(|_| row.data == DataPlace::Copied) else { return Ok(()) };
        let first = group * GROUP_LEAVES;
        let (mut missing, mut wrong) = (Vec::new(), Vec::new());
        for ((leaf, (offset, len)), sum) in (first..).zip(layout.spans(row.send_cap)).zip(sums.leaves) {
            let state = states.state(leaf % TILE_LEAVES);
            if len > row.send_cap || !(state == LeafState::Pending || state.is_weak()) {
                continue;
            }
            match chunks.read(tree, offset, len)? {
                Some(bytes) if leaf_sum(tree, leaf, &bytes) == sum => {}
                Some(_) => wrong.push(leaf),
                None => missing.push((leaf, offset)),
            }
        }
        for (leaf, offset) in missing {
            self.find(format!("blocks-0 lacks the bytes of leaf {leaf} of tree {tree}, at {offset}"));
        }
        for leaf in wrong {
            let what = "are not those that were ingested; ingest the same content again";
            self.find(format!("blocks-0: the bytes of leaf {leaf} of tree {tree} {what}"));
        }
        Ok(())
    }

    fn sum_row(
        &mut self,
        blocks: &impl BlockView,
        (tree, owner): (u64, &TreeRow),
        group: u64,
        leaves: usize,
    ) -> Result<Option<SumRow>, StoreError> {
        let key = (tree, group);
        let Some(row) = row_or_why(blocks, Sums, &key)? else {
            // One that began before there were checksums gets them from its first group on, and
            // scrubbing adds them tree by tree.
            let adding = self.unsummed_from.is_some_and(|from| tree >= from);
            if owner.state != TreeState::Ingesting && !adding {
                self.find(format!("sums-0 lacks row {key:?}"));
            }
            return Ok(None);
        };
        let Some(row) = self.decoded(key, row) else { return Ok(None) };
        if row.leaves.len() != leaves {
            self.find(format!("sums-0 row {key:?}: {} checksums for {leaves} leaves", row.leaves.len()));
            return Ok(None);
        }
        Ok(Some(row))
    }

    /// No checksums are behind the last group. Those of a tree that is coming in are written before
    /// its groups are.
    pub(super) fn sums_left_over(
        &mut self,
        blocks: Option<&impl BlockView>,
        tree: u64,
        row: &TreeRow,
    ) -> Result<(), StoreError> {
        let groups = row.groups;
        let Some(blocks) = blocks else { return Ok(()) };
        if row.state == TreeState::Ingesting || row.data == DataPlace::Dropped {
            return Ok(());
        }
        if let Some(key) = blocks.first_key(Sums, (tree, groups)..=(tree, u64::MAX))? {
            self.find(format!("sums-0 row {key:?}: the tree has {groups} groups"));
        }
        Ok(())
    }
}
