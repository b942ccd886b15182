//! Reads and rows for scrubbing: everything that is stored, in order.

use std::ops::Bound;

use crate::merkle::GROUP_LEAVES;
use crate::store::error::StoreError;
use crate::store::redb::errors::DbResult;
use crate::store::redb::open::Store;
use crate::store::redb::read::Reader;
use crate::store::redb::tables::{InRedb, known};
use crate::store::rows::{MetaRow, RowError, ScrubRow, TreeRow};
use crate::store::schema::{Meta, Sums, TreeNumber, Trees};
use crate::store::table::Table;

/// A tree of which the row decodes or not.
pub type NextTree = (TreeNumber, Result<TreeRow, RowError>);

impl Reader {
    /// How far scrubbing was when that was last written.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or the row is damaged.
    pub fn scrub(&self) -> Result<Option<ScrubRow>, StoreError> {
        self.rows.look_inside(|txn| {
            let row = txn.open_table(Meta::DEFINITION).db()?.get(ScrubRow::KEY).db()?;
            Ok(row.map(|raw| ScrubRow::unsealed(raw.value())).transpose()?)
        })
    }

    /// The first tree from number `from` on.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails.
    pub fn next_tree(&self, from: TreeNumber) -> Result<Option<NextTree>, StoreError> {
        self.rows.look_inside(|txn| {
            let table = txn.open_table(Trees::DEFINITION).db()?;
            let mut rows = table.range::<u64>((Bound::Included(from), Bound::Unbounded)).db()?;
            let Some(entry) = rows.next() else { return Ok(None) };
            let (key, raw) = entry.db()?;
            let tree = key.value();
            Ok(Some((tree, Trees::decode(&tree, raw.value()))))
        })
    }
}

impl Store {
    /// Whether each group of a tree of `leaves` leaves has a row of checksums.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails.
    pub fn has_all_sums(&self, tree: TreeNumber, leaves: u64) -> Result<bool, StoreError> {
        let read = || {
            self.blocks_db()?.begin_read()?.look_inside(|txn| {
                let Some(table) = known(txn, Sums::DEFINITION)? else { return Ok(false) };
                let mut rows = 0;
                for row in table.range((tree, 0)..=(tree, u64::MAX)).db()? {
                    row.db()?;
                    rows += 1;
                }
                Ok(rows >= leaves.div_ceil(GROUP_LEAVES))
            })
        };
        self.blocks_used(read())
    }
}

/// Writes a row of a tree into the state file of a closed store.
#[cfg(test)]
pub fn plant_tree(file: &std::path::Path, tree: TreeNumber, row: &[u8]) {
    let txn = redb::Database::open(file).unwrap().begin_write().unwrap();
    txn.open_table(Trees::DEFINITION).unwrap().insert(tree, row).unwrap();
    txn.commit().unwrap();
}
