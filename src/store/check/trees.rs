//! Each tree by itself: its row, hashes, lengths, tiles, and interior nodes.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::checker::{Checker, Files, provenance, tile_row};
use super::data::{ChunkReader, Layout};
use super::report::CheckPhase;
use crate::hash::Checksum;
use crate::merkle::{
    GROUP_LEAVES, GROUP_ORDER, Level, LevelFolder, Shape, StreamingRoot, TILE_LEAVES, TILE_ORDER, fold,
};
use crate::store::error::StoreError;
use crate::store::port::{BlockView, View, more_if};
use crate::store::rows::{
    DataPlace, GroupRow, LeafState, ProvenanceRow, RowError, Strategy, TileRow, TreeRow, TreeState,
};
use crate::store::rules::fits::readable;
use crate::store::schema::{Hashes, Interior, Lengths, Tiles, Trees};

/// A walk along the groups of one tree.
struct GroupWalk<'v, B> {
    /// Levels between leaves and the top of a group.
    levels: u8,
    /// The number that the next group must have.
    next: u64,
    tops: StreamingRoot,
    layout: Layout,
    /// Not there without block data.
    chunks: Option<ChunkReader<'v, B>>,
    /// The tree has checksums that are still needed.
    summed: bool,
}

impl Checker<'_> {
    /// All trees, and the totals that are sums over them.
    pub(super) fn trees(&mut self, files: Files<'_, impl View, impl BlockView>) -> Result<(), StoreError> {
        self.begin();
        let Files { state, blocks } = files;
        let of = state.len(Hashes)?;
        let (mut finished, mut complete, mut pending) = (0, 0, 0_u64);
        state.each(Trees, .., |tree, row| {
            self.report.trees += 1;
            let Some(row) = self.decoded(tree, row) else {
                return Ok(ControlFlow::Continue(()));
            };
            if row.state != TreeState::Ingesting {
                finished += 1;
                let damaged = provenance(state, tree).map_or(0, |row| row.damaged);
                pending = pending.saturating_add(row.leaves.saturating_sub(row.done).saturating_sub(damaged));
            }
            complete += u64::from(row.state == TreeState::Complete);
            self.report.leaves = self.report.leaves.saturating_add(row.leaves);
            self.pointers(state, tree, &row)?;
            self.state_fits(tree, &row);
            self.groups(files, tree, &row, of)?;
            self.tiles(state, tree, &row)?;
            self.interior(state, tree, &row)?;
            self.sources(blocks, tree, &row)?;
            self.dropped(blocks, tree, &row)?;
            Ok(ControlFlow::Continue(()))
        })?;
        let totals = self.head.totals;
        self.expect_equal("trees", totals.trees, finished);
        self.expect_equal("complete", totals.complete, complete);
        self.expect_equal("pending", totals.pending, pending);
        Ok(())
    }

    fn state_fits(&mut self, tree: u64, row: &TreeRow) {
        let all = row.done == row.leaves;
        let fits = match row.state {
            TreeState::Ingesting => row.done <= row.leaves,
            TreeState::Active => row.done < row.leaves,
            TreeState::Folding | TreeState::Assembling | TreeState::Complete => all,
            TreeState::Inconsistent => false,
        };
        if !fits {
            let (state, done, leaves) = (row.state, row.done, row.leaves);
            self.find(format!("trees-0 row {tree}: it is {state:?} with {done} of {leaves} leaves done"));
        }
        if row.data == DataPlace::Dropped && row.state != TreeState::Complete {
            self.find(format!("trees-0 row {tree}: it is {:?}, but its data was dropped", row.state));
        }
        if row.state != TreeState::Ingesting && Shape::new(row.leaves).is_err() {
            self.find(format!("trees-0 row {tree}: {} leaves do not form a tree", row.leaves));
        }
    }

    /// Groups in order, each folding to its top, the tops to the root; lengths, and bytes of
    /// pending leaves.
    fn groups(
        &mut self,
        files: Files<'_, impl View, impl BlockView>,
        tree: u64,
        row: &TreeRow,
        of: u64,
    ) -> Result<(), StoreError> {
        let Files { state, blocks } = files;
        let last_key = (tree, u64::MAX);
        let listed = state.any(Lengths, (tree, 0)..=last_key)?;
        let whole = row.state != TreeState::Ingesting;
        if whole && !listed && row.block_len == 0 {
            self.find(format!("trees-0 row {tree}: no block length, and no rows in lengths-0"));
        }
        let height = Shape::new(row.leaves).map_or(0, Shape::height);
        let mut walk = GroupWalk {
            levels: if whole { GROUP_ORDER.min(height) } else { GROUP_ORDER },
            next: 0,
            tops: StreamingRoot::new(),
            layout: Layout::new(listed),
            chunks: blocks.map(ChunkReader::new),
            summed: files.is_summed(tree, row)?,
        };
        let mut cut_short = false;
        state.each(Hashes, (tree, 0)..=last_key, |key, group| {
            self.step(CheckPhase::Trees, of);
            cut_short = !self.group(state, (tree, row), key.1, group, &mut walk)?;
            Ok(more_if(!cut_short))
        })?;
        if cut_short {
            return Ok(());
        }
        let GroupWalk { next, tops, layout, .. } = walk;
        if next != row.groups || next != row.leaves.div_ceil(GROUP_LEAVES) {
            self.find(format!("hashes-0 lacks row {:?}: the tree has {} groups", (tree, next), row.groups));
            return Ok(());
        }
        self.sums_left_over(blocks, tree, row)?;
        let rooted = row.strategy.knows_answers() || row.state == TreeState::Complete;
        if whole && rooted && tops.finish() != Some(row.root) {
            self.find(format!("trees-0 row {tree}: its leaves do not fold to its root"));
        }
        if whole && layout.known && layout.bytes != row.total_bytes {
            let (sum, total) = (layout.bytes, row.total_bytes);
            self.find(format!("trees-0 row {tree}: its leaves have {sum} bytes, the row says {total}"));
        }
        if let Some(key) = state.first_key(Lengths, (tree, next)..=last_key)? {
            self.find(format!("lengths-0 row {key:?}: the tree has {next} groups"));
        }
        Ok(())
    }

    /// One group. False if those behind it cannot be checked.
    fn group(
        &mut self,
        state: &impl View,
        (tree, row): (u64, &TreeRow),
        number: u64,
        group: Result<GroupRow, RowError>,
        walk: &mut GroupWalk<'_, impl BlockView>,
    ) -> Result<bool, StoreError> {
        if number != walk.next {
            self.find(format!("hashes-0 lacks row {:?}", (tree, walk.next)));
            return Ok(false);
        }
        walk.next += 1;
        self.report.groups += 1;
        let key = (tree, number);
        let Some(group) = self.decoded(key, group) else {
            return Ok(false);
        };
        let leaves = row.leaves.saturating_sub(number.saturating_mul(GROUP_LEAVES)).min(GROUP_LEAVES);
        if group.leaves.len() as u64 != leaves {
            self.find(format!("hashes-0 row {key:?}: {} leaves instead of {leaves}", group.leaves.len()));
            return Ok(false);
        }
        let known = row.strategy.knows_answers() || group_is_done(state, key, leaves)?;
        let top = if known { fold(&group.leaves, walk.levels) } else { Some(Checksum::ZERO) };
        if top != Some(group.top) {
            self.find(format!("hashes-0 row {key:?}: its leaves do not fold to its top"));
        }
        walk.tops.push(group.top);
        self.group_leaves(state, (tree, row), number, &group.leaves, walk)?;
        Ok(true)
    }

    /// Lengths of the leaves of one group, and the bytes of those that are pending.
    fn group_leaves(
        &mut self,
        state: &impl View,
        (tree, row): (u64, &TreeRow),
        group: u64,
        hashes: &[Checksum],
        walk: &mut GroupWalk<'_, impl BlockView>,
    ) -> Result<(), StoreError> {
        let Some(place) = walk.layout.group(self, state, (tree, row), group, hashes.len() as u64)? else {
            return Ok(());
        };
        let first = group * GROUP_LEAVES;
        let tile = tile_row(state, (tree, first / TILE_LEAVES))?;
        let slot = first % TILE_LEAVES;
        let pending: Vec<bool> =
            (0..hashes.len() as u64).map(|leaf| tile.state(slot + leaf) == LeafState::Pending).collect();
        for (leaf, (length, pending)) in (first..).zip(place.lengths().iter().zip(&pending)) {
            if *pending && *length > row.send_cap {
                self.find(format!("tiles-0: leaf {leaf} of tree {tree} has {length} bytes and cannot be pending"));
            }
        }
        let Some(chunks) = &mut walk.chunks else { return Ok(()) };
        // In other trees it is unknown whether the bytes are right.
        let precomputed = row.strategy == Strategy::Precomputed && row.data == DataPlace::Copied;
        if precomputed && row.state != TreeState::Complete && pending.contains(&true) {
            self.pending_bytes((tree, row), group, &place, &pending, hashes, chunks)?;
        }
        if walk.summed {
            self.group_sums((tree, row), group, &place, &tile, chunks)?;
        }
        Ok(())
    }

    /// Done leaves are as many as the row says, and none is beyond the last; those of each
    /// provenance are as many as are counted.
    fn tiles(&mut self, state: &impl View, tree: u64, row: &TreeRow) -> Result<(), StoreError> {
        let mut done = 0;
        let mut found = ProvenanceRow::default();
        state.each(Tiles, (tree, 0)..=(tree, u64::MAX), |key, tile| {
            self.report.tiles += 1;
            let Some(tile) = self.decoded(key, tile) else {
                return Ok(ControlFlow::Continue(()));
            };
            let leaves = row.leaves.saturating_sub(key.1.saturating_mul(TILE_LEAVES)).min(TILE_LEAVES);
            let verified = done_mask(&tile);
            if u64::from(verified) >> leaves != 0 {
                self.find(format!("tiles-0 row {key:?}: a leaf beyond the last is done"));
            }
            done += u64::from(verified.count_ones());
            for kind in LeafState::ALL {
                if let Some(count) = found.count_mut(kind) {
                    *count += u64::from(tile.mask(TILE_LEAVES, |state| state == kind).count_ones());
                }
            }
            self.tile_trust(state, (tree, row), key.1, &tile)?;
            Ok(ControlFlow::Continue(()))
        })?;
        let counted = provenance(state, tree).unwrap_or_default();
        if counted != found {
            self.find(format!("provenance-0 row {tree}: it is {counted:?}, tiles-0 has {found:?}"));
        }
        if done != row.done {
            self.find(format!("trees-0 row {tree}: {} leaves done, tiles-0 has {done}", row.done));
        }
        Ok(())
    }

    /// Interior nodes sent by clients are what the hashes fold to.
    fn interior(&mut self, state: &impl View, tree: u64, row: &TreeRow) -> Result<(), StoreError> {
        let (from, to) = ((tree, 0, 0), (tree, u8::MAX, u64::MAX));
        let mut rows = 0;
        let mut levels = BTreeSet::new();
        let Ok(shape) = Shape::new(row.leaves) else {
            return Ok(());
        };
        let end = shape.height().saturating_sub(TILE_ORDER);
        state.each(Interior, from..=to, |key, node| {
            let (_, level, index) = key;
            rows += 1;
            if self.decoded(key, node).is_none() {
                return Ok(ControlFlow::Continue(()));
            }
            if level >= end || index >= shape.nodes_at(Level(level)) {
                self.find(format!("interior-0 row {key:?}: the tree has no such node"));
            } else {
                levels.insert(level);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.report.interior += rows;
        let dropping = row.state == TreeState::Complete;
        if rows > row.interior_done || (rows < row.interior_done && !dropping) {
            self.find(format!("trees-0 row {tree}: {} interior nodes, interior-0 has {rows}", row.interior_done));
        }
        if rows > 0 && shape.groups() == group_rows(state, tree)? {
            levels.into_iter().try_for_each(|level| self.interior_level(state, tree, shape, level))?;
        }
        Ok(())
    }

    fn interior_level(&mut self, state: &impl View, tree: u64, shape: Shape, level: u8) -> Result<(), StoreError> {
        let from = Level(shape.height().saturating_sub(GROUP_ORDER));
        let Ok(mut folder) = LevelFolder::new(shape, from, Level(level)) else {
            return Ok(());
        };
        let mut nodes = 0;
        let mut whole = true;
        state.each(Hashes, (tree, 0)..=(tree, u64::MAX), |_, group| {
            // A row that does not decode is a finding already.
            let Ok(group) = group else {
                whole = false;
                return Ok(ControlFlow::Break(()));
            };
            if let Some(node) = folder.push(group.top) {
                self.interior_node(state, (tree, level, nodes), &node)?;
                nodes += 1;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if whole && let Ok(Some(node)) = folder.finish() {
            self.interior_node(state, (tree, level, nodes), &node)?;
        }
        Ok(())
    }

    fn interior_node(&mut self, state: &impl View, key: (u64, u8, u64), node: &Checksum) -> Result<(), StoreError> {
        // As is one of these.
        let stored = readable(state.get(Interior, &key))?.flatten();
        if stored.is_some_and(|found| found.0 != *node) {
            self.find(format!("interior-0 row {key:?}: not the hash of its children"));
        }
        Ok(())
    }
}

/// Whether all leaves of a group are done: its hashes came from clients.
fn group_is_done(state: &impl View, (tree, group): (u64, u64), leaves: u64) -> Result<bool, StoreError> {
    let first = group * GROUP_LEAVES;
    let tile = tile_row(state, (tree, first / TILE_LEAVES))?;
    Ok((0..leaves).all(|leaf| tile.state(first % TILE_LEAVES + leaf).is_done()))
}

fn group_rows(state: &impl View, tree: u64) -> Result<u64, StoreError> {
    let mut rows = 0;
    state.each_stored(Hashes, (tree, 0)..=(tree, u64::MAX), |_, _| {
        rows += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(rows)
}

/// One bit for each done leaf of a tile.
pub(super) fn done_mask(tile: &TileRow) -> u32 {
    tile.mask(TILE_LEAVES, LeafState::is_done)
}
