//! Paged reads of claims, votes and damage.

use std::ops::Bound;

use redb::{ReadableTable, TableDefinition};

use crate::merkle::TILE_LEAVES;
use crate::protocol::ClientDigest;
use crate::store::error::StoreError;
use crate::store::redb::errors::DbResult;
use crate::store::redb::read::Reader;
use crate::store::redb::tables::{InRedb, RedbKey as _, known};
use crate::store::rows::{ClaimRow, ProvenanceRow, QuorumRow, RowError};
use crate::store::schema::{
    Chores, Claims, Damaged, Doubted, Provenance, Quorums, RangeKey, Suspects, Tiles, TreeNumber,
};
use crate::store::table::Table;

/// Ranges with their votes, each row by itself readable or not.
pub type QuorumsPage = Vec<(RangeKey, Result<QuorumRow, RowError>)>;

impl Reader {
    /// The number of leaves of a tree in each state.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn provenance(&self, tree: TreeNumber) -> Result<ProvenanceRow, StoreError> {
        self.rows.look_inside(|txn| {
            let Some(table) = known(txn, Provenance::DEFINITION)? else { return Ok(ProvenanceRow::default()) };
            match table.get(tree).db()? {
                Some(raw) => Ok(Provenance::decode(&tree, raw.value())?),
                None => Ok(ProvenanceRow::default()),
            }
        })
    }

    /// The same, counted by the states of the leaves if the row of the counts is damaged.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row of states is damaged too.
    pub fn provenance_or_counted(&self, tree: TreeNumber) -> Result<ProvenanceRow, StoreError> {
        match self.provenance(tree) {
            Err(error) if error.is_one_row() => self.rows.look_inside(|txn| {
                let mut counts = ProvenanceRow::default();
                for entry in txn.open_table(Tiles::DEFINITION).db()?.range((tree, 0)..=(tree, u64::MAX)).db()? {
                    let (key, raw) = entry.db()?;
                    counts.add_tile(&Tiles::decode(&key.value(), raw.value())?);
                }
                Ok(counts)
            }),
            read => read,
        }
    }

    /// The votes on the range that starts at this leaf.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn quorum(&self, tree: TreeNumber, start: u64) -> Result<Option<QuorumRow>, StoreError> {
        self.rows.look_inside(|txn| {
            let Some(table) = known(txn, Quorums::DEFINITION)? else { return Ok(None) };
            let key = (tree, start);
            Ok(table.get(key).db()?.map(|raw| Quorums::decode(&key, raw.value())).transpose()?)
        })
    }

    /// The votes on ranges of one tile, by their first leaves.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn quorums_of_tile(&self, tree: TreeNumber, tile: u64) -> Result<Vec<(u64, QuorumRow)>, StoreError> {
        self.rows.look_inside(|txn| {
            let Some(table) = known(txn, Quorums::DEFINITION)? else { return Ok(Vec::new()) };
            let first = tile * TILE_LEAVES;
            let mut out = Vec::new();
            for entry in table.range((tree, first)..(tree, first + TILE_LEAVES)).db()? {
                let (key, raw) = entry.db()?;
                let key = key.value();
                out.push((key.1, Quorums::decode(&key, raw.value())?));
            }
            Ok(out)
        })
    }

    /// Whether a tree has a chore of this kind.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn has_chore(&self, kind: u8, tree: TreeNumber) -> Result<bool, StoreError> {
        self.rows.look_inside(|txn| Ok(txn.open_table(Chores::DEFINITION).db()?.get((kind, tree)).db()?.is_some()))
    }

    /// Up to `limit` ranges with votes behind `after`, of all trees.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn quorums(&self, after: Option<RangeKey>, limit: usize) -> Result<QuorumsPage, StoreError> {
        self.rows.look_inside(|txn| {
            let Some(table) = known(txn, Quorums::DEFINITION)? else { return Ok(Vec::new()) };
            let mut out = Vec::new();
            for entry in table.range((behind(after), Bound::Unbounded)).db()?.take(limit) {
                let (key, raw) = entry.db()?;
                let key = key.value();
                out.push((key, Quorums::decode(&key, raw.value())));
            }
            Ok(out)
        })
    }

    /// Up to `limit` claims on leaves of a tree, from the leaf `from` on.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn claims(&self, tree: TreeNumber, from: u64, limit: usize) -> Result<Vec<(u64, ClaimRow)>, StoreError> {
        self.rows.look_inside(|txn| {
            let Some(table) = known(txn, Claims::DEFINITION)? else { return Ok(Vec::new()) };
            let mut out = Vec::new();
            for entry in table.range((tree, from)..(tree + 1, 0)).db()?.take(limit) {
                let (key, raw) = entry.db()?;
                let key = key.value();
                out.push((key.1, Claims::decode(&key, raw.value())?));
            }
            Ok(out)
        })
    }

    /// Up to `limit` clients caught in a lie whose earlier answers have not all been doubted yet.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn suspects(&self, limit: usize) -> Result<Vec<ClientDigest>, StoreError> {
        self.rows.look_inside(|txn| {
            let Some(table) = known(txn, Suspects::DEFINITION)? else { return Ok(Vec::new()) };
            table.iter().db()?.take(limit).map(|entry| Ok(ClientDigest::owned(entry.db()?.0.value()))).collect()
        })
    }

    /// Up to `limit` tiles with doubted leaves, behind `after`.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn doubted(&self, after: Option<RangeKey>, limit: usize) -> Result<Vec<RangeKey>, StoreError> {
        self.keys(Doubted::DEFINITION, after, limit)
    }

    /// Up to `limit` damaged leaves behind `after`.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn damaged(&self, after: Option<RangeKey>, limit: usize) -> Result<Vec<RangeKey>, StoreError> {
        self.keys(Damaged::DEFINITION, after, limit)
    }

    fn keys(
        &self,
        definition: TableDefinition<'static, RangeKey, ()>,
        after: Option<RangeKey>,
        limit: usize,
    ) -> Result<Vec<RangeKey>, StoreError> {
        self.rows.look_inside(|txn| {
            let Some(table) = known(txn, definition)? else { return Ok(Vec::new()) };
            table
                .range((behind(after), Bound::Unbounded))
                .db()?
                .take(limit)
                .map(|entry| Ok(entry.db()?.0.value()))
                .collect()
        })
    }
}

fn behind(after: Option<RangeKey>) -> Bound<RangeKey> {
    after.map_or(Bound::Unbounded, Bound::Excluded)
}
