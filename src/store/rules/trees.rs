//! Trees from their first group to the last purged row.

use super::fits::readable;
use crate::hash::Checksum;
use crate::merkle::{GROUP_LEAVES, Shape, TILE_LEAVES};
use crate::store::command::outcome::{Outcome, Refused};
use crate::store::command::{AddGroups, BeginTree, FinishTree};
use crate::store::error::StoreError;
use crate::store::port::Txn;
use crate::store::rows::{DataPlace, HashReason, LeafState, TreeRow, TreeState};
use crate::store::schema::{
    CHORE_ASSEMBLE, CHORE_DROP, CHORE_FOLD, CHORE_PURGE, Chores, Damaged, Handles, Hashes, Interior, Lengths, Names,
    PRIORITY_FRESH, PRIORITY_PARTIAL, Ready, Tiles, Trees,
};

use super::batch::Batch;

const DONE: Outcome = Outcome::Done { rows: 1, more: false };

impl<R: Txn> Batch<'_, R> {
    pub(super) fn begin_tree(&mut self, begin: &BeginTree) -> Result<Outcome, StoreError> {
        if self.rows.has(Names, &begin.name)? {
            return Ok(Outcome::Refused(Refused::NameTaken(begin.name.clone())));
        }
        if self.rows.has(Handles, &begin.handle)? || self.tree(begin.tree)?.is_some() {
            return Err(StoreError::Contradiction { what: format!("tree {} is in use", begin.tree) });
        }
        if begin.tree < self.head.next_tree {
            return Err(StoreError::Contradiction { what: format!("tree number {} is spent", begin.tree) });
        }
        // A number passed over belonged to an ingest that failed, perhaps behind its block data.
        for skipped in self.head.next_tree..begin.tree {
            self.rows.put(Chores, &(CHORE_PURGE, skipped), &())?;
        }
        let order = self.head.next_order;
        self.head.next_order += 1;
        self.head.next_tree = begin.tree + 1;
        self.rows.put(Names, &begin.name, &begin.tree)?;
        self.rows.put(Handles, &begin.handle, &begin.tree)?;
        self.put_tree(
            begin.tree,
            TreeRow {
                name: begin.name.clone(),
                handle: begin.handle,
                leaves: 0,
                block_len: begin.block_len,
                total_bytes: 0,
                send_cap: begin.send_cap,
                data: begin.data,
                strategy: begin.strategy,
                exposure: begin.exposure,
                state: TreeState::Ingesting,
                done: 0,
                interior_done: 0,
                order,
                root: Checksum::ZERO,
                groups: 0,
            },
        );
        Ok(DONE)
    }

    pub(super) fn add_groups(&mut self, add: &AddGroups) -> Result<Outcome, StoreError> {
        let next = match self.ingesting(add.tree)? {
            Ok(row) => row.groups,
            Err(refused) => return Ok(Outcome::Refused(refused)),
        };
        if add.first_group != next {
            return Ok(Outcome::Refused(Refused::GroupOrder { expected: next, found: add.first_group }));
        }
        let mut leaves = 0;
        for (group, row) in (add.first_group..).zip(&add.groups) {
            let key = (add.tree, group);
            if let Some(stored) = self.rows.get(Hashes, &key)?
                && stored != *row
            {
                return Ok(Outcome::Refused(Refused::HashConflict(group)));
            }
            self.rows.put(Hashes, &key, row)?;
            leaves += row.leaves.len() as u64;
        }
        for (group, row) in (add.first_group..).zip(&add.lengths) {
            let key = (add.tree, group);
            self.rows.put(Lengths, &key, row)?;
        }
        for leaf in &add.oversized {
            let damaged = add.damaged.contains(leaf);
            let state = if damaged { LeafState::Damaged } else { LeafState::Verified };
            self.edit_tile(add.tree, leaf / TILE_LEAVES, |tile| tile.set(leaf % TILE_LEAVES, state))?;
            if damaged {
                self.rows.put(Damaged, &(add.tree, *leaf), &())?;
            }
        }
        let place = self.account_place(add.tree)?;
        self.account.count_server(place, HashReason::Ingest, add.work[0]);
        self.account.count_server(place, HashReason::Folding, add.work[1]);
        self.head.totals.oversized += add.oversized.len() as u64;
        if let Some(row) = self.tree(add.tree)? {
            row.groups += add.groups.len() as u64;
            row.leaves += leaves;
            row.done += (add.oversized.len() - add.damaged.len()) as u64;
        }
        self.tree_changed(add.tree);
        Ok(DONE)
    }

    pub(super) fn finish_tree(&mut self, finish: &FinishTree) -> Result<Outcome, StoreError> {
        // Its place in the queue is behind all there is: trees that came in while this ingest was
        // interrupted may have been opened since.
        let order = self.head.next_order;
        let damaged = self.provenance(finish.tree)?.damaged;
        let row = match self.ingesting(finish.tree)? {
            Ok(row) => row,
            Err(refused) => return Ok(Outcome::Refused(refused)),
        };
        let groups = finish.leaves.div_ceil(GROUP_LEAVES);
        if row.groups != groups || row.leaves != finish.leaves || Shape::new(finish.leaves).is_err() {
            return Ok(Outcome::Refused(Refused::GroupOrder { expected: groups, found: row.groups }));
        }
        row.block_len = finish.block_len;
        row.total_bytes = finish.total_bytes;
        row.root = finish.root;
        row.order = order;
        let done = row.done;
        row.state = if done >= finish.leaves { TreeState::Assembling } else { TreeState::Active };
        self.head.next_order += 1;
        self.head.totals.trees += 1;
        self.head.totals.pending += finish.leaves.saturating_sub(done + damaged);
        if done >= finish.leaves {
            self.rows.put(Chores, &(CHORE_ASSEMBLE, finish.tree), &())?;
        } else {
            let priority = if done > 0 { PRIORITY_PARTIAL } else { PRIORITY_FRESH };
            self.rows.put(Ready, &(priority, order), &finish.tree)?;
        }
        self.tree_changed(finish.tree);
        Ok(DONE)
    }

    fn ingesting(&mut self, tree: u64) -> Result<Result<&mut TreeRow, Refused>, StoreError> {
        Ok(match self.tree(tree)? {
            None => Err(Refused::TreeGone),
            Some(row) if row.state != TreeState::Ingesting => Err(Refused::TreeState(row.state)),
            Some(row) => Ok(row),
        })
    }

    pub(super) fn set_tree_state(
        &mut self,
        tree: u64,
        (from, to): (TreeState, TreeState),
        root: Option<Checksum>,
    ) -> Result<Outcome, StoreError> {
        let Some(row) = self.tree(tree)? else {
            return Ok(Outcome::Refused(Refused::TreeGone));
        };
        if row.state != from {
            return Ok(Outcome::Refused(Refused::TreeState(row.state)));
        }
        row.state = to;
        row.root = root.unwrap_or(row.root);
        self.tree_changed(tree);
        for kind in [CHORE_ASSEMBLE, CHORE_FOLD] {
            self.rows.remove(Chores, &(kind, tree))?;
        }
        match to {
            TreeState::Assembling => self.rows.put(Chores, &(CHORE_ASSEMBLE, tree), &())?,
            TreeState::Folding => self.rows.put(Chores, &(CHORE_FOLD, tree), &())?,
            TreeState::Complete => {
                self.head.totals.complete += 1;
                self.data_may_go(tree)?;
            }
            _ => {}
        }
        Ok(DONE)
    }

    pub(super) fn drop_data(&mut self, tree: u64, limit: usize) -> Result<Outcome, StoreError> {
        let Some(row) = self.tree(tree)? else {
            return Ok(Outcome::Refused(Refused::TreeGone));
        };
        if row.state != TreeState::Complete {
            return Ok(Outcome::Refused(Refused::TreeState(row.state)));
        }
        row.data = DataPlace::Dropped;
        self.tree_changed(tree);
        let mut rows = self.remove_interior(tree, limit)?;
        rows += self.drop_claims(tree, limit.saturating_sub(rows))?;
        let more = rows >= limit;
        #[cfg(feature = "testing")]
        let early = self.makes(crate::store::mistakes::StoreMistake::DropChoreEarly);
        #[cfg(not(feature = "testing"))]
        let early = false;
        if !more || early {
            self.rows.remove(Chores, &(CHORE_DROP, tree))?;
        }
        Ok(Outcome::Done { rows: rows as u64, more })
    }

    pub(super) fn remove_interior(&mut self, tree: u64, limit: usize) -> Result<usize, StoreError> {
        self.rows.extract(Interior, (tree, 0, 0)..(tree + 1, 0, 0), limit)
    }

    pub(super) fn forget(&mut self, tree: u64) -> Result<Outcome, StoreError> {
        let (name, handle, order) = match self.tree(tree)? {
            Some(row) => (row.name.clone(), row.handle, row.order),
            None => return Ok(Outcome::Refused(Refused::TreeGone)),
        };
        self.uncount(tree)?;
        self.rows.remove(Names, &name)?;
        self.rows.remove(Handles, &handle)?;
        self.rows.remove(Ready, &(PRIORITY_PARTIAL, order))?;
        self.rows.remove(Ready, &(PRIORITY_FRESH, order))?;
        self.drop_tree(tree)?;
        for kind in [CHORE_ASSEMBLE, CHORE_DROP, CHORE_FOLD] {
            self.rows.remove(Chores, &(kind, tree))?;
        }
        self.rows.put(Chores, &(CHORE_PURGE, tree), &())?;
        Ok(DONE)
    }

    fn uncount(&mut self, tree: u64) -> Result<(), StoreError> {
        let Some(row) = self.tree(tree)? else {
            return Ok(());
        };
        let (state, undone) = (row.state, row.leaves.saturating_sub(row.done));
        // A tree whose counts are damaged can be forgotten.
        let counts = match readable(self.provenance(tree))? {
            Some(counts) => Some(counts),
            None => readable(self.counted(tree))?,
        };
        let pending = undone.saturating_sub(counts.map_or(0, |counts| counts.damaged));
        #[cfg(feature = "testing")]
        let pending =
            if self.makes(crate::store::mistakes::StoreMistake::ForgetCountsDamaged) { undone } else { pending };
        let totals = &mut self.head.totals;
        if state != TreeState::Ingesting {
            totals.trees = totals.trees.saturating_sub(1);
            totals.pending = totals.pending.saturating_sub(pending);
        }
        if state == TreeState::Complete {
            totals.complete = totals.complete.saturating_sub(1);
        }
        Ok(())
    }

    /// Removes rows of a forgotten tree; its chore goes with the last of them.
    pub(super) fn purge_rows(&mut self, tree: u64, limit: usize) -> Result<Outcome, StoreError> {
        if !self.rows.has(Chores, &(CHORE_PURGE, tree))? {
            return Ok(Outcome::Done { rows: 0, more: false });
        }
        if self.rows.has(Trees, &tree)? {
            return Ok(Outcome::Refused(Refused::TreeInUse));
        }
        let all = (tree, 0)..(tree + 1, 0);
        let mut rows = self.rows.extract(Tiles, all.clone(), limit)?;
        rows += self.rows.extract(Hashes, all.clone(), limit - rows)?;
        rows += self.rows.extract(Lengths, all, limit - rows)?;
        rows += self.remove_interior(tree, limit - rows)?;
        rows += self.purge_trust(tree, limit - rows)?;
        let more = rows >= limit;
        if !more {
            self.rows.remove(Chores, &(CHORE_PURGE, tree))?;
        }
        Ok(Outcome::Done { rows: rows as u64, more })
    }
}
