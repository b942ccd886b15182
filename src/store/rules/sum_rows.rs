//! Giving rows of older stores the checksum that they lack.

use redb::{Key, TableDefinition};

use crate::store::command::Outcome;
use crate::store::command::older::{OlderRow, place};
use crate::store::error::{DbResult, StoreError};
use crate::store::records::{AccountRow, CopyRow, MetaRow, RecordError};
use crate::store::redb::apply::Batch;
use crate::store::redb::tables::InRedb;
use crate::store::redb::transaction::Open;
use crate::store::schema::{Claims, Clients, Hashes, Interior, Ledger, Lengths, Provenance, Quorums, Standings, Tiles};
use crate::store::table::Table;

/// A row encoded once more. One that does not decode stays as it is.
type Again = Result<Vec<u8>, RecordError>;

impl Batch<'_> {
    /// Rewrites rows, if they are still there and decode. What was rewritten meanwhile has its
    /// checksum, and gets the same one again.
    pub(in crate::store) fn sum_rows(&mut self, rows: &[OlderRow]) -> Result<Outcome, StoreError> {
        let mut done = 0;
        for OlderRow { table, key } in rows {
            let key = key.as_slice();
            done += u64::from(match *table {
                place::META => put(&mut self.meta, key, again_meta)?,
                place::TREES => self.sum_tree(key)?,
                place::HASHES => put(&mut self.hashes, key, |key, raw| Ok(Hashes::decode(&key, raw)?.encode(key)))?,
                place::LENGTHS => {
                    put(&mut self.lengths, key, |key, raw| Ok(Lengths::decode(&key, raw)?.encode(key).to_vec()))?
                }
                place::TILES => {
                    put(&mut self.tiles, key, |key, raw| Ok(Tiles::decode(&key, raw)?.encode(key).to_vec()))?
                }
                place::INTERIOR => {
                    put(&mut self.interior, key, |key, raw| Ok(Interior::decode(&key, raw)?.encode(key).to_vec()))?
                }
                place::CLIENTS => {
                    put(&mut self.clients, key, |key, raw| Clients::encode(&key, &Clients::decode(&key, raw)?))?
                }
                place::LEDGER => {
                    put(&mut self.ledger, key, |key, raw| Ok(Ledger::decode(&key, raw)?.encode(key).to_vec()))?
                }
                place::STANDINGS => self.sum_in(Standings::DEFINITION, key, |key, raw| {
                    Ok(Standings::decode(&key, raw)?.encode(key).to_vec())
                })?,
                place::PROVENANCE => self.sum_in(Provenance::DEFINITION, key, |key, raw| {
                    Ok(Provenance::decode(&key, raw)?.encode(key).to_vec())
                })?,
                place::CLAIMS => {
                    self.sum_in(Claims::DEFINITION, key, |key, raw| Claims::encode(&key, &Claims::decode(&key, raw)?))?
                }
                place::QUORUMS => self
                    .sum_in(Quorums::DEFINITION, key, |key, raw| Quorums::encode(&key, &Quorums::decode(&key, raw)?))?,
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

    fn sum_in<K: Key + 'static>(
        &self,
        table: TableDefinition<'static, K, &'static [u8]>,
        key: &[u8],
        again: impl for<'a> Fn(K::SelfType<'a>, &[u8]) -> Again,
    ) -> Result<bool, StoreError> {
        put(&mut self.txn.open_table(table).db()?, key, again)
    }
}

/// Account and origin; everything else there is written by each opening or commit.
fn again_meta(key: &str, raw: &[u8]) -> Again {
    match key {
        "account" => AccountRow::unsealed(raw)?.sealed(),
        _ => CopyRow::unsealed(raw)?.sealed(),
    }
}

fn put<K: Key + 'static>(
    table: &mut Open<'_, K, &'static [u8]>,
    key: &[u8],
    again: impl for<'a> Fn(K::SelfType<'a>, &[u8]) -> Again,
) -> Result<bool, StoreError> {
    let row = table.get(K::from_bytes(key)).db()?.map(|raw| again(K::from_bytes(key), raw.value()));
    let Some(Ok(row)) = row else { return Ok(false) };
    table.insert(K::from_bytes(key), row.as_slice()).db()?;
    Ok(true)
}
