//! Each tree by itself: its row, hashes, lengths, tiles, and interior nodes.

use redb::ReadableTableMetadata;

use super::checker::Checker;
use super::data::{ChunkReader, Layout};
use super::report::CheckPhase;
use crate::hash::Checksum;
use crate::merkle::{
    GROUP_LEAVES, GROUP_ORDER, Level, LevelFolder, Shape, StreamingRoot, TILE_LEAVES, TILE_ORDER, fold,
};
use crate::store::error::StoreError;
use crate::store::redb::errors::DbResult;
use crate::store::rows::{DataPlace, LeafState, NodeRow, ProvenanceRow, Strategy, TileRow, TreeRow, TreeState};
use crate::store::schema::{Hashes, Interior, Tiles, Trees};
use crate::store::table::Table;

impl Checker<'_> {
    /// All trees, and the totals that are sums over them.
    pub(super) fn trees(&mut self) -> Result<(), StoreError> {
        self.begin();
        let of = self.state.hashes.len().db()?;
        let (mut finished, mut complete, mut pending) = (0, 0, 0_u64);
        for entry in self.state.trees.range::<u64>(..).db()? {
            let (key, raw) = entry.db()?;
            let tree = key.value();
            self.report.trees += 1;
            let decoded = Trees::decode(&tree, raw.value());
            let Some(row) = self.decoded(tree, decoded) else {
                continue;
            };
            if row.state != TreeState::Ingesting {
                finished += 1;
                let damaged = self.state.provenance(tree).map_or(0, |row| row.damaged);
                pending = pending.saturating_add(row.leaves.saturating_sub(row.done).saturating_sub(damaged));
            }
            complete += u64::from(row.state == TreeState::Complete);
            self.report.leaves = self.report.leaves.saturating_add(row.leaves);
            self.pointers(tree, &row)?;
            self.state_fits(tree, &row);
            self.groups(tree, &row, of)?;
            self.tiles(tree, &row)?;
            self.interior(tree, &row)?;
            self.sources(tree, &row)?;
            self.dropped(tree, &row)?;
        }
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
    fn groups(&mut self, tree: u64, row: &TreeRow, of: u64) -> Result<(), StoreError> {
        let last_key = (tree, u64::MAX);
        let listed = self.state.lengths.range((tree, 0)..=last_key).db()?.next().is_some();
        let whole = row.state != TreeState::Ingesting;
        if whole && !listed && row.block_len == 0 {
            self.find(format!("trees-0 row {tree}: no block length, and no rows in lengths-0"));
        }
        let height = Shape::new(row.leaves).map_or(0, Shape::height);
        let levels = if whole { GROUP_ORDER.min(height) } else { GROUP_ORDER };
        let mut tops = StreamingRoot::new();
        let mut layout = Layout::new(listed);
        let mut chunks = ChunkReader::default();
        let summed = self.is_summed(tree, row)?;
        let mut next = 0_u64;
        for entry in self.state.hashes.range((tree, 0)..=last_key).db()? {
            let (key, raw) = entry.db()?;
            let key = key.value();
            self.step(CheckPhase::Trees, of);
            if key.1 != next {
                self.find(format!("hashes-0 lacks row {:?}", (tree, next)));
                return Ok(());
            }
            next += 1;
            self.report.groups += 1;
            let decoded = Hashes::decode(&key, raw.value());
            let Some(group) = self.decoded(key, decoded) else {
                return Ok(());
            };
            let leaves = row.leaves.saturating_sub(key.1.saturating_mul(GROUP_LEAVES)).min(GROUP_LEAVES);
            if group.leaves.len() as u64 != leaves {
                self.find(format!("hashes-0 row {key:?}: {} leaves instead of {leaves}", group.leaves.len()));
                return Ok(());
            }
            let known = row.strategy.knows_answers() || self.group_is_done((tree, row), key.1, leaves)?;
            let top = if known { fold(&group.leaves, levels) } else { Some(Checksum::ZERO) };
            if top != Some(group.top) {
                self.find(format!("hashes-0 row {key:?}: its leaves do not fold to its top"));
            }
            tops.push(group.top);
            self.group_leaves((tree, row), key.1, &group.leaves, &mut layout, (&mut chunks, summed))?;
        }
        if next != row.groups || next != row.leaves.div_ceil(GROUP_LEAVES) {
            self.find(format!("hashes-0 lacks row {:?}: the tree has {} groups", (tree, next), row.groups));
            return Ok(());
        }
        self.sums_left_over(tree, row)?;
        let rooted = row.strategy.knows_answers() || row.state == TreeState::Complete;
        if whole && rooted && tops.finish() != Some(row.root) {
            self.find(format!("trees-0 row {tree}: its leaves do not fold to its root"));
        }
        if whole && layout.known && layout.bytes != row.total_bytes {
            let (sum, total) = (layout.bytes, row.total_bytes);
            self.find(format!("trees-0 row {tree}: its leaves have {sum} bytes, the row says {total}"));
        }
        if let Some(entry) = self.state.lengths.range((tree, next)..=last_key).db()?.next() {
            let key = entry.db()?.0.value();
            self.find(format!("lengths-0 row {key:?}: the tree has {next} groups"));
        }
        Ok(())
    }

    /// Whether all leaves of a group are done: its hashes came from clients.
    fn group_is_done(&self, (tree, _): (u64, &TreeRow), group: u64, leaves: u64) -> Result<bool, StoreError> {
        let first = group * GROUP_LEAVES;
        let tile = self.state.tile((tree, first / TILE_LEAVES))?;
        Ok((0..leaves).all(|leaf| tile.state(first % TILE_LEAVES + leaf).is_done()))
    }

    /// Lengths of the leaves of one group, and the bytes of those that are pending.
    fn group_leaves(
        &mut self,
        (tree, row): (u64, &TreeRow),
        group: u64,
        hashes: &[Checksum],
        layout: &mut Layout,
        (chunks, summed): (&mut ChunkReader, bool),
    ) -> Result<(), StoreError> {
        let Some(place) = layout.group(self, tree, row, group, hashes.len() as u64)? else {
            return Ok(());
        };
        let first = group * GROUP_LEAVES;
        let tile = self.state.tile((tree, first / TILE_LEAVES))?;
        let slot = first % TILE_LEAVES;
        let pending: Vec<bool> =
            (0..hashes.len() as u64).map(|leaf| tile.state(slot + leaf) == LeafState::Pending).collect();
        for (leaf, (length, pending)) in (first..).zip(place.lengths().iter().zip(&pending)) {
            if *pending && *length > row.send_cap {
                self.find(format!("tiles-0: leaf {leaf} of tree {tree} has {length} bytes and cannot be pending"));
            }
        }
        // In other trees it is unknown whether the bytes are right.
        let precomputed = row.strategy == Strategy::Precomputed && row.data == DataPlace::Copied;
        if precomputed && row.state != TreeState::Complete && pending.contains(&true) {
            self.pending_bytes((tree, row), group, &place, &pending, hashes, chunks)?;
        }
        if summed {
            self.group_sums((tree, row), group, &place, &tile, chunks)?;
        }
        Ok(())
    }

    /// Done leaves are as many as the row says, and none is beyond the last; those of each
    /// provenance are as many as are counted.
    fn tiles(&mut self, tree: u64, row: &TreeRow) -> Result<(), StoreError> {
        let mut done = 0;
        let mut provenance = ProvenanceRow::default();
        for entry in self.state.tiles.range((tree, 0)..=(tree, u64::MAX)).db()? {
            let (key, raw) = entry.db()?;
            let key = key.value();
            self.report.tiles += 1;
            let decoded = Tiles::decode(&key, raw.value());
            let Some(tile) = self.decoded(key, decoded) else {
                continue;
            };
            let leaves = row.leaves.saturating_sub(key.1.saturating_mul(TILE_LEAVES)).min(TILE_LEAVES);
            let verified = done_mask(&tile);
            if u64::from(verified) >> leaves != 0 {
                self.find(format!("tiles-0 row {key:?}: a leaf beyond the last is done"));
            }
            done += u64::from(verified.count_ones());
            for state in LeafState::ALL {
                if let Some(count) = provenance.count_mut(state) {
                    *count += u64::from(tile.mask(TILE_LEAVES, |found| found == state).count_ones());
                }
            }
            self.tile_trust((tree, row), key.1, &tile)?;
        }
        let counted = self.state.provenance(tree).unwrap_or_default();
        if counted != provenance {
            self.find(format!("provenance-0 row {tree}: it is {counted:?}, tiles-0 has {provenance:?}"));
        }
        if done != row.done {
            self.find(format!("trees-0 row {tree}: {} leaves done, tiles-0 has {done}", row.done));
        }
        Ok(())
    }

    /// Interior nodes sent by clients are what the hashes fold to.
    fn interior(&mut self, tree: u64, row: &TreeRow) -> Result<(), StoreError> {
        let (from, to) = ((tree, 0, 0), (tree, u8::MAX, u64::MAX));
        let mut rows = 0;
        let mut levels = std::collections::BTreeSet::new();
        let Ok(shape) = Shape::new(row.leaves) else {
            return Ok(());
        };
        let end = shape.height().saturating_sub(TILE_ORDER);
        for entry in self.state.interior.range(from..=to).db()? {
            let (key, raw) = entry.db()?;
            let key = key.value();
            let (_, level, index) = key;
            rows += 1;
            if self.decoded(key, Interior::decode(&key, raw.value())).is_none() {
                continue;
            }
            if level >= end || index >= shape.nodes_at(Level(level)) {
                self.find(format!("interior-0 row {:?}: the tree has no such node", (tree, level, index)));
            } else {
                levels.insert(level);
            }
        }
        self.report.interior += rows;
        let dropping = row.state == TreeState::Complete;
        if rows > row.interior_done || (rows < row.interior_done && !dropping) {
            self.find(format!("trees-0 row {tree}: {} interior nodes, interior-0 has {rows}", row.interior_done));
        }
        if rows > 0 && shape.groups() == self.group_rows(tree)? {
            levels.into_iter().try_for_each(|level| self.interior_level(tree, shape, level))?;
        }
        Ok(())
    }

    fn group_rows(&self, tree: u64) -> Result<u64, StoreError> {
        Ok(self.state.hashes.range((tree, 0)..=(tree, u64::MAX)).db()?.count() as u64)
    }

    fn interior_level(&mut self, tree: u64, shape: Shape, level: u8) -> Result<(), StoreError> {
        let from = Level(shape.height().saturating_sub(GROUP_ORDER));
        let Ok(mut folder) = LevelFolder::new(shape, from, Level(level)) else {
            return Ok(());
        };
        let mut nodes = 0;
        for entry in self.state.hashes.range((tree, 0)..=(tree, u64::MAX)).db()? {
            let (key, raw) = entry.db()?;
            // A row that does not decode is a finding already.
            let Ok(group) = Hashes::decode(&key.value(), raw.value()) else {
                return Ok(());
            };
            if let Some(node) = folder.push(group.top) {
                self.interior_node((tree, level, nodes), &node)?;
                nodes += 1;
            }
        }
        if let Ok(Some(node)) = folder.finish() {
            self.interior_node((tree, level, nodes), &node)?;
        }
        Ok(())
    }

    fn interior_node(&mut self, key: (u64, u8, u64), node: &Checksum) -> Result<(), StoreError> {
        let stored = self.state.interior.get(key).db()?;
        // As is one of these.
        let other = |found: NodeRow| found.0 != *node;
        if stored.is_some_and(|raw| Interior::decode(&key, raw.value()).is_ok_and(other)) {
            self.find(format!("interior-0 row {key:?}: not the hash of its children"));
        }
        Ok(())
    }
}

/// One bit for each done leaf of a tile.
pub(super) fn done_mask(tile: &TileRow) -> u32 {
    tile.mask(TILE_LEAVES, LeafState::is_done)
}
