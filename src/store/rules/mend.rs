//! Applying the commands that mend rows.

use std::ops::ControlFlow;

use super::fits::readable;
use crate::hash::Checksum;
use crate::merkle::{GROUP_LEAVES, GROUP_ORDER, TILE_LEAVES, fold};
use crate::protocol::WorkId;
use crate::store::command::mend::{Derived, Mend, Regroup};
use crate::store::command::outcome::{Outcome, Refused};
use crate::store::error::StoreError;
use crate::store::port::{RowsMut, Txn};
use crate::store::rows::{DebitKey, GroupRow, LeafState, ProvenanceRow, TreeState};
use crate::store::schema::{
    CHORE_PURGE, Chores, Damaged, Debits, Doubted, Handles, Hashes, Names, Provenance, Ready, Receipts, Tiles, Trees,
};
use crate::store::table::Table;

use super::batch::Batch;

const DONE: Outcome = Outcome::Done { rows: 0, more: false };

impl<R: Txn> Batch<'_, R> {
    pub(super) fn mend(&mut self, mend: &Mend) -> Result<Outcome, StoreError> {
        match mend {
            Mend::Removal(tree) => self.note_removal(*tree),
            Mend::Totals(totals) => {
                self.head.totals = *totals;
                Ok(DONE)
            }
            Mend::Pointers { receipts, debits } => self.remove_pointers(receipts, debits),
            Mend::Recount(tree) => self.recount(*tree),
            Mend::Derived(rows) => self.derive(rows),
            Mend::Group(regroup) => self.regroup(regroup),
        }
    }

    fn recount(&mut self, tree: u64) -> Result<Outcome, StoreError> {
        if self.tree(tree)?.is_none() {
            return Ok(Outcome::Refused(Refused::TreeGone));
        }
        let counts = self.counted(tree)?;
        if readable(self.provenance(tree))? == Some(counts) {
            return Ok(DONE);
        }
        self.rows.put(Provenance, &tree, &counts)?;
        Ok(Outcome::Done { rows: 1, more: false })
    }

    /// Counts the leaves of a tree by their states.
    pub(super) fn counted(&self, tree: u64) -> Result<ProvenanceRow, StoreError> {
        let mut counts = ProvenanceRow::default();
        self.rows.each(Tiles, (tree, 0)..=(tree, u64::MAX), |_, row| {
            counts.add_tile(&row?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(counts)
    }

    fn derive(&mut self, rows: &[Derived]) -> Result<Outcome, StoreError> {
        for row in rows {
            match row {
                Derived::Name(name, tree) => self.rows.set(Names, name, tree.as_ref())?,
                Derived::Handle(handle, tree) => self.rows.set(Handles, handle, tree.as_ref())?,
                Derived::Place(place, tree) => self.rows.set(Ready, place, tree.as_ref())?,
                Derived::Chore(chore, there) => self.rows.set(Chores, chore, there.then_some(&()))?,
                Derived::Damaged(leaf, there) => self.rows.set(Damaged, leaf, there.then_some(&()))?,
                Derived::Doubted(tile, there) => self.rows.set(Doubted, tile, there.then_some(&()))?,
                Derived::Receipt(id, seq) => self.rows.set(Receipts, id, seq.as_ref())?,
                Derived::Debit(key, seq) => self.rows.set(Debits, key, seq.as_ref())?,
            }
        }
        Ok(Outcome::Done { rows: rows.len() as u64, more: false })
    }

    /// Has the rows of a tree removed that has none of its own.
    fn note_removal(&mut self, tree: u64) -> Result<Outcome, StoreError> {
        if tree >= self.head.next_tree || self.rows.has(Trees, &tree)? {
            return Ok(Outcome::Refused(Refused::TreeInUse));
        }
        self.rows.put(Chores, &(CHORE_PURGE, tree), &())?;
        Ok(DONE)
    }

    /// Removes receipts and debit keys of sealed entries.
    fn remove_pointers(&mut self, receipts: &[WorkId], debits: &[DebitKey]) -> Result<Outcome, StoreError> {
        let rows = self.remove_sealed(Receipts, receipts)? + self.remove_sealed(Debits, debits)?;
        Ok(Outcome::Done { rows, more: false })
    }

    fn remove_sealed<T>(&mut self, table: T, keys: &[T::Key]) -> Result<u64, StoreError>
    where
        T: Table<Key: Sized, Row = u64>,
        R: RowsMut<T>,
    {
        let mut rows = 0;
        for key in keys {
            if self.rows.get(table, key)?.is_some_and(|seq| seq < self.head.anchor) {
                self.rows.remove(table, key)?;
                rows += 1;
            }
        }
        Ok(rows)
    }

    fn regroup(&mut self, regroup: &Regroup) -> Result<Outcome, StoreError> {
        let Regroup { tree, group, leaves, rooted } = regroup;
        let (state, known) = match self.tree(*tree)? {
            Some(row) if row.state != TreeState::Ingesting => (row.state, row.strategy.knows_answers()),
            _ => return Ok(Outcome::Refused(Refused::TreeGone)),
        };
        let released = self.is_released(*tree)?;
        if released && !rooted {
            // Released meanwhile: the next ingest compares the root.
            return Ok(Outcome::Done { rows: 0, more: false });
        }
        let key = (*tree, *group);
        let stored = readable(self.rows.get(Hashes, &key))?.flatten();
        if stored.is_some_and(|row| row.leaves.len() == leaves.len()) {
            return Ok(Outcome::Done { rows: 0, more: false });
        }
        let first = group * GROUP_LEAVES;
        let (tile, slot) = (first / TILE_LEAVES, first % TILE_LEAVES);
        let row = self.tile((*tree, tile))?;
        if known {
            let levels = GROUP_ORDER.min(self.shape(*tree)?.height());
            let row = GroupRow { leaves: leaves.clone(), top: fold(leaves, levels).unwrap_or(Checksum::ZERO) };
            self.rows.put(Hashes, &key, &row)?;
        } else {
            let done = (slot..).zip((first..).zip(leaves)).filter(|(slot, _)| row.state(*slot).is_done());
            let done: Vec<(u64, Checksum)> = done.map(|(_, (leaf, hash))| (leaf, *hash)).collect();
            if done.iter().any(|(_, hash)| *hash == Checksum::ZERO) {
                // Done meanwhile: the next ingest hashes it.
                return Ok(Outcome::Done { rows: 0, more: false });
            }
            self.rows.put(Hashes, &key, &GroupRow::unknown(leaves.len()))?;
            let row = self.edit_tile(*tree, tile, |row| {
                for (leaf, _) in done.iter().filter(|(leaf, _)| leaf / GROUP_LEAVES == *group) {
                    row.set(leaf % TILE_LEAVES, LeafState::Verified);
                }
            })?;
            self.write_hashes(*tree, &done, &row, false)?;
            self.prune_claims(*tree, tile, &row)?;
            if row.mask(TILE_LEAVES, |state| state == LeafState::Doubted) == 0 {
                self.rows.remove(Doubted, &(*tree, tile))?;
            }
        }
        match state {
            // Without this row it did not fold.
            TreeState::Inconsistent => self.fold_again(*tree, TreeState::Assembling)?,
            // The hashes that are lost may have been others, unless the root is that of the
            // content.
            _ if !known && !released => self.fold_again(*tree, state)?,
            _ => {}
        }
        Ok(Outcome::Done { rows: 1, more: false })
    }
}
