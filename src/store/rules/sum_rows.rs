//! Giving rows of older stores the checksum that they lack.

use std::borrow::Borrow;

use crate::store::command::older::OlderRow;
use crate::store::command::outcome::Outcome;
use crate::store::error::StoreError;
use crate::store::key::TableKey;
use crate::store::port::{RowsMut, Txn};
use crate::store::rows::{AccountRow, CopyRow, MetaRow};
use crate::store::schema::{
    Claims, Clients, Hashes, Interior, Ledger, Lengths, Meta, Provenance, Quorums, Standings, Tiles, Trees,
};
use crate::store::table::Table;

use super::batch::Batch;
use super::fits::readable;

impl<R: Txn> Batch<'_, R> {
    /// Rewrites rows, if they are still there and decode. What was rewritten meanwhile has its
    /// checksum, and gets the same one again.
    pub(super) fn sum_rows(&mut self, rows: &[OlderRow]) -> Result<Outcome, StoreError> {
        let mut done = 0;
        for OlderRow { table, key } in rows {
            done += u64::from(match *table {
                // Everything else there is written by each opening or commit.
                Meta::NAME if key == AccountRow::KEY.as_bytes() => self.sum_meta::<AccountRow>()?,
                Meta::NAME if key == CopyRow::KEY.as_bytes() => self.sum_meta::<CopyRow>()?,
                Trees::NAME => self.sum_tree(key)?,
                Hashes::NAME => self.sum(Hashes, key)?,
                Lengths::NAME => self.sum(Lengths, key)?,
                Tiles::NAME => self.sum(Tiles, key)?,
                Interior::NAME => self.sum(Interior, key)?,
                Clients::NAME => self.sum(Clients, key)?,
                Ledger::NAME => self.sum(Ledger, key)?,
                Standings::NAME => self.sum(Standings, key)?,
                Provenance::NAME => self.sum(Provenance, key)?,
                Claims::NAME => self.sum(Claims, key)?,
                Quorums::NAME => self.sum(Quorums, key)?,
                _ => false,
            });
        }
        Ok(Outcome::Done { rows: done, more: false })
    }

    /// The rows of trees are written at the end of the batch.
    fn sum_tree(&mut self, key: &[u8]) -> Result<bool, StoreError> {
        let Ok(tree) = key.try_into().map(u64::from_le_bytes) else { return Ok(false) };
        match self.tree(tree) {
            Ok(row) => {
                let there = row.is_some();
                self.tree_changed(tree);
                Ok(there)
            }
            Err(error) if error.is_one_row() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes a row once more. One that does not decode stays as it is.
    fn sum<T: Table>(&mut self, table: T, key: &[u8]) -> Result<bool, StoreError>
    where
        R: RowsMut<T>,
    {
        let Some(key) = T::Key::from_stored(key) else { return Ok(false) };
        let Some(Some(row)) = readable(self.rows.get(table, key.borrow()))? else { return Ok(false) };
        Ok(readable(self.rows.put(table, key.borrow(), &row))?.is_some())
    }

    fn sum_meta<M: MetaRow>(&mut self) -> Result<bool, StoreError> {
        let Some(Some(row)) = readable(self.rows.meta::<M>())? else { return Ok(false) };
        Ok(readable(self.rows.put_meta(&row))?.is_some())
    }
}
