//! Applying the commands that mend rows.

use redb::{Key, Value};

use super::fits::readable;
use crate::hash::Checksum;
use crate::merkle::{GROUP_LEAVES, GROUP_ORDER, TILE_LEAVES, fold};
use crate::store::command::mend::{Derived, Mend, Regroup};
use crate::store::command::{Outcome, Refused};
use crate::store::error::{DbResult, StoreError};
use crate::store::records::{GroupRow, LeafState, ProvenanceRow, TileRow, TreeState};
use crate::store::redb::apply::Batch;
use crate::store::redb::tables::InRedb;
use crate::store::redb::transaction::Open;
use crate::store::schema::{CHORE_PURGE, Damaged, Doubted, Hashes, Provenance, Tiles};
use crate::store::table::Table;

const DONE: Outcome = Outcome::Done { rows: 0, more: false };

/// Writes the row, or removes it.
fn put<K, V>(table: &mut Open<'_, K, V>, key: K, value: Option<V>) -> Result<(), StoreError>
where
    K: Key + for<'a> Value<SelfType<'a> = K> + 'static,
    V: for<'a> Value<SelfType<'a> = V> + 'static,
{
    match value {
        Some(value) => drop(table.insert(key, value).db()?),
        None => drop(table.remove(key).db()?),
    }
    Ok(())
}

impl Batch<'_> {
    pub(in crate::store) fn mend(&mut self, mend: &Mend) -> Result<Outcome, StoreError> {
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
        self.txn.open_table(Provenance::DEFINITION).db()?.insert(tree, &counts.encode(tree)[..]).db()?;
        Ok(Outcome::Done { rows: 1, more: false })
    }

    /// Counts the leaves of a tree by their states.
    pub(in crate::store) fn counted(&self, tree: u64) -> Result<ProvenanceRow, StoreError> {
        let mut counts = ProvenanceRow::default();
        for entry in self.tiles.range((tree, 0)..=(tree, u64::MAX)).db()? {
            let (key, raw) = entry.db()?;
            counts.add_tile(&Tiles::decode(&key.value(), raw.value())?);
        }
        Ok(counts)
    }

    fn derive(&mut self, rows: &[Derived]) -> Result<Outcome, StoreError> {
        for row in rows {
            match row {
                Derived::Name(name, Some(tree)) => drop(self.names.insert(name.as_str(), tree).db()?),
                Derived::Name(name, None) => drop(self.names.remove(name.as_str()).db()?),
                Derived::Handle(handle, tree) => put(&mut self.handles, *handle, *tree)?,
                Derived::Place(place, tree) => put(&mut self.ready, *place, *tree)?,
                Derived::Chore(chore, there) => put(&mut self.chores, *chore, there.then_some(()))?,
                Derived::Damaged(leaf, there) => {
                    put(&mut self.txn.open_table(Damaged::DEFINITION).db()?, *leaf, there.then_some(()))?;
                }
                Derived::Doubted(tile, there) => {
                    put(&mut self.txn.open_table(Doubted::DEFINITION).db()?, *tile, there.then_some(()))?;
                }
                Derived::Receipt(id, seq) => put(&mut self.receipts, *id, *seq)?,
                Derived::Debit(key, seq) => put(&mut self.debits, *key, *seq)?,
            }
        }
        Ok(Outcome::Done { rows: rows.len() as u64, more: false })
    }

    /// Has the rows of a tree removed that has none of its own.
    fn note_removal(&mut self, tree: u64) -> Result<Outcome, StoreError> {
        if tree >= self.head.next_tree || self.trees.get(tree).db()?.is_some() {
            return Ok(Outcome::Refused(Refused::TreeInUse));
        }
        self.chores.insert((CHORE_PURGE, tree), ()).db()?;
        Ok(DONE)
    }

    /// Removes receipts and debit keys of sealed entries.
    fn remove_pointers(&mut self, receipts: &[[u8; 16]], debits: &[[u8; 16]]) -> Result<Outcome, StoreError> {
        let mut rows = 0;
        for (table, keys) in [(&mut self.receipts, receipts), (&mut self.debits, debits)] {
            for key in keys {
                let sealed = table.get(*key).db()?.is_some_and(|seq| seq.value() < self.head.anchor);
                if sealed {
                    table.remove(*key).db()?;
                    rows += 1;
                }
            }
        }
        Ok(Outcome::Done { rows, more: false })
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
        let stored = self.hashes.get(key).db()?.map(|raw| Hashes::decode(&key, raw.value()));
        if stored.is_some_and(|row| row.is_ok_and(|row| row.leaves.len() == leaves.len())) {
            return Ok(Outcome::Done { rows: 0, more: false });
        }
        let first = group * GROUP_LEAVES;
        let (tile, slot) = (first / TILE_LEAVES, first % TILE_LEAVES);
        let row = match self.tiles.get((*tree, tile)).db()? {
            Some(raw) => Tiles::decode(&(*tree, tile), raw.value())?,
            None => TileRow::PENDING,
        };
        if known {
            let levels = GROUP_ORDER.min(self.shape(*tree)?.height());
            let row = GroupRow { leaves: leaves.clone(), top: fold(leaves, levels).unwrap_or(Checksum::ZERO) };
            self.hashes.insert(key, row.encode(key).as_slice()).db()?;
        } else {
            let done = (slot..).zip((first..).zip(leaves)).filter(|(slot, _)| row.state(*slot).is_done());
            let done: Vec<(u64, Checksum)> = done.map(|(_, (leaf, hash))| (leaf, *hash)).collect();
            if done.iter().any(|(_, hash)| *hash == Checksum::ZERO) {
                // Done meanwhile: the next ingest hashes it.
                return Ok(Outcome::Done { rows: 0, more: false });
            }
            self.hashes.insert(key, GroupRow::unknown(leaves.len()).encode(key).as_slice()).db()?;
            let row = self.edit_tile(*tree, tile, |row| {
                for (leaf, _) in done.iter().filter(|(leaf, _)| leaf / GROUP_LEAVES == *group) {
                    row.set(leaf % TILE_LEAVES, LeafState::Verified);
                }
            })?;
            self.write_hashes(*tree, &done, &row, false)?;
            self.prune_claims(*tree, tile, &row)?;
            if row.mask(TILE_LEAVES, |state| state == LeafState::Doubted) == 0 {
                self.txn.open_table(Doubted::DEFINITION).db()?.remove((*tree, tile)).db()?;
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
