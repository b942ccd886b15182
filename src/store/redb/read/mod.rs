//! Paged reads. Every call opens a snapshot, copies out and drops it: a long-lived reader would pin
//! every page freed after it.

pub(in crate::store) mod claims;
pub(in crate::store) mod due;
mod fits;
pub(in crate::store) mod leftover;
mod row_checks;
pub(in crate::store) mod scrub;
pub(in crate::store) mod sums;
pub(in crate::store) mod verify;

use std::ops::Bound;

use redb::ReadableTableMetadata;

use super::open::Store;
use super::snapshot::RedbSnapshot;
use crate::hash::Checksum;
use crate::merkle::AlignedRange;
use crate::protocol::{ClientDigest, TreeHandle};
use crate::store::error::StoreError;
use crate::store::redb::errors::DbResult;
use crate::store::redb::tables::{InRedb, RedbKey as _};
use crate::store::rows::{
    ClientRow, GroupRow, Head, LedgerRow, LengthRow, MetaRow, RowError, StandingRow, TileRow, TreeRow,
};
use crate::store::rules::fits::leads_to_tree;
use crate::store::schema::{
    Chores, Clients, Handles, Hashes, Interior, Ledger, Lengths, Meta, Names, Ready, Standings, Tiles, TreeNumber,
    Trees,
};
use crate::store::table::Table;

/// A ledger entry with its sequence number.
pub type LedgerEntry = (u64, LedgerRow);

/// Clients and where they stand, each row by itself readable or not.
pub type StandingsPage = Vec<(ClientDigest, Result<StandingRow, RowError>)>;

/// One snapshot of the state file. Keep it for milliseconds.
pub struct Reader {
    pub(in crate::store) rows: RedbSnapshot,
}

impl Store {
    /// A snapshot of the newest commit.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn read(&self) -> Result<Reader, StoreError> {
        Ok(Reader { rows: self.state_db()?.begin_read()? })
    }

    /// A snapshot of the newest commit, or `None` while the store is being opened again: for
    /// callers that hold a lock others wait for.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn try_read(&self) -> Result<Option<Reader>, StoreError> {
        self.try_state_db()?.map(|database| Ok(Reader { rows: database.begin_read()? })).transpose()
    }

    /// Whether a checkpoint is due: many rows changed, or many ledger entries stand behind the last
    /// one.
    pub fn checkpoint_due(&self) -> bool {
        let writer = self.writer.read();
        let behind = writer.head.next_ledger.saturating_sub(writer.head.checkpoint);
        writer.round.as_ref().is_some_and(|round| !round.is_through())
            || writer.dirty.len() >= DIRTY_CLIENTS
            || behind >= ENTRIES_BEHIND
    }

    /// The newest row of a client, whether written yet or not.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn client(&self, client: ClientDigest) -> Result<ClientRow, StoreError> {
        if let Some(row) = self.writer.read().dirty.get(&client) {
            return Ok(*row);
        }
        let stored = self.read()?.client(client)?;
        // A row may have become dirty in between; it is newer then.
        Ok(self.writer.read().dirty.get(&client).copied().or(stored).unwrap_or_default())
    }

    /// Up to `limit` rows of `standings-0` behind `after`, in the order of their keys. A row that
    /// does not decode is an error of its own, the others are there.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn standings(&self, after: Option<ClientDigest>, limit: usize) -> Result<StandingsPage, StoreError> {
        self.read()?.standings(after, limit)
    }

    /// Client rows changed and not written yet.
    pub fn dirty_clients(&self) -> usize {
        self.writer.read().dirty.len()
    }
}

impl Reader {
    /// The head as of this snapshot.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn head(&self) -> Result<Head, StoreError> {
        self.rows.look_inside(|txn| match txn.open_table(Meta::DEFINITION).db()?.get("head").db()? {
            Some(raw) => Ok(Head::unsealed(raw.value())?),
            None => Err(StoreError::Contradiction { what: "meta-0 has no head".into() }),
        })
    }

    /// A tree's row.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn tree(&self, tree: TreeNumber) -> Result<Option<TreeRow>, StoreError> {
        self.rows.look_inside(|txn| {
            let table = txn.open_table(Trees::DEFINITION).db()?;
            Ok(table.get(tree).db()?.map(|raw| Trees::decode(&tree, raw.value())).transpose()?)
        })
    }

    /// The tree of a name.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn tree_named(&self, name: &str) -> Result<Option<(TreeNumber, TreeRow)>, StoreError> {
        self.rows.look_inside(|txn| {
            let Some(tree) = txn.open_table(Names::DEFINITION).db()?.get(name).db()?.map(|raw| raw.value()) else {
                return Ok(None);
            };
            let row = self.tree(tree)?;
            leads_to_tree(Names::NAME, tree, row.as_ref(), |row| row.name == name)?;
            Ok(row.map(|row| (tree, row)))
        })
    }

    /// The tree of a public handle.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn tree_of_handle(&self, handle: TreeHandle) -> Result<Option<(TreeNumber, TreeRow)>, StoreError> {
        self.rows.look_inside(|txn| {
            let Some(tree) = txn.open_table(Handles::DEFINITION).db()?.get(handle.form()).db()?.map(|raw| raw.value())
            else {
                return Ok(None);
            };
            let row = self.tree(tree)?;
            leads_to_tree(Handles::NAME, tree, row.as_ref(), |row| row.handle == handle)?;
            Ok(row.map(|row| (tree, row)))
        })
    }

    /// Up to `limit` trees behind `after`, by number.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn trees(&self, after: Option<TreeNumber>, limit: usize) -> Result<Vec<(TreeNumber, TreeRow)>, StoreError> {
        self.rows.look_inside(|txn| {
            let table = txn.open_table(Trees::DEFINITION).db()?;
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let mut out = Vec::new();
            for entry in table.range::<u64>((from, Bound::Unbounded)).db()?.take(limit) {
                let (key, raw) = entry.db()?;
                let key = key.value();
                out.push((key, Trees::decode(&key, raw.value())?));
            }
            Ok(out)
        })
    }

    /// Up to `limit` queue rows of one priority with an order above `after`: (order, tree).
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn ready(&self, priority: u8, after: Option<u64>, limit: usize) -> Result<Vec<(u64, TreeNumber)>, StoreError> {
        self.rows.look_inside(|txn| {
            let table = txn.open_table(Ready::DEFINITION).db()?;
            let from = match after {
                Some(order) => Bound::Excluded((priority, order)),
                None => Bound::Included((priority, 0)),
            };
            let mut out = Vec::new();
            for entry in table.range((from, Bound::Included((priority, u64::MAX)))).db()?.take(limit) {
                let (key, raw) = entry.db()?;
                out.push((key.value().1, raw.value()));
            }
            Ok(out)
        })
    }

    /// Rows in the queue.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn ready_len(&self) -> Result<u64, StoreError> {
        self.rows.look_inside(|txn| txn.open_table(Ready::DEFINITION).db()?.len().db())
    }

    /// The state of one tile.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn tile(&self, tree: TreeNumber, tile: u64) -> Result<TileRow, StoreError> {
        self.rows.look_inside(|txn| {
            Ok(match txn.open_table(Tiles::DEFINITION).db()?.get((tree, tile)).db()? {
                Some(raw) => Tiles::decode(&(tree, tile), raw.value())?,
                None => TileRow::PENDING,
            })
        })
    }

    /// The states of `count` tiles from `first` on.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn tiles(&self, tree: TreeNumber, first: u64, count: usize) -> Result<Vec<TileRow>, StoreError> {
        self.rows.look_inside(|txn| {
            let mut out = vec![TileRow::PENDING; count];
            let table = txn.open_table(Tiles::DEFINITION).db()?;
            for entry in table.range((tree, first)..(tree, first.saturating_add(count as u64))).db()? {
                let (key, raw) = entry.db()?;
                let key = key.value();
                out[(key.1 - first) as usize] = Tiles::decode(&key, raw.value())?;
            }
            Ok(out)
        })
    }

    /// One group of leaf hashes.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn group(&self, tree: TreeNumber, group: u64) -> Result<GroupRow, StoreError> {
        self.rows.look_inside(|txn| match txn.open_table(Hashes::DEFINITION).db()?.get((tree, group)).db()? {
            Some(raw) => Ok(Hashes::decode(&(tree, group), raw.value())?),
            None => Err(missing(Hashes::NAME, tree, group)),
        })
    }

    /// Up to `limit` groups from `first` on; all of them must be there.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn groups(&self, tree: TreeNumber, first: u64, limit: usize) -> Result<Vec<GroupRow>, StoreError> {
        self.rows.look_inside(|txn| {
            let table = txn.open_table(Hashes::DEFINITION).db()?;
            let mut out = Vec::new();
            for entry in table.range((tree, first)..(tree + 1, 0)).db()?.take(limit) {
                let (key, raw) = entry.db()?;
                let expected = first + out.len() as u64;
                let key = key.value();
                if key.1 != expected {
                    return Err(missing(Hashes::NAME, tree, expected));
                }
                out.push(Hashes::decode(&key, raw.value())?);
            }
            Ok(out)
        })
    }

    /// Whether all leaves of `range` are pending.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn range_pending(&self, tree: TreeNumber, range: &AlignedRange) -> Result<bool, StoreError> {
        let tile = self.tile(tree, range.tile())?;
        let mask = tile.pending_mask(crate::merkle::TILE_LEAVES);
        Ok((range.start()..range.end()).all(|leaf| mask & (1 << (leaf % crate::merkle::TILE_LEAVES)) != 0))
    }

    /// Offset and lengths of a group, for trees of mixed lengths.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn lengths(&self, tree: TreeNumber, group: u64) -> Result<LengthRow, StoreError> {
        self.rows.look_inside(|txn| match txn.open_table(Lengths::DEFINITION).db()?.get((tree, group)).db()? {
            Some(raw) => Ok(Lengths::decode(&(tree, group), raw.value())?),
            None => Err(missing(Lengths::NAME, tree, group)),
        })
    }

    /// Whether the first group of a tree has a row of offset and lengths.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn has_lengths(&self, tree: TreeNumber) -> Result<bool, StoreError> {
        self.rows.look_inside(|txn| Ok(txn.open_table(Lengths::DEFINITION).db()?.get((tree, 0)).db()?.is_some()))
    }

    /// An interior node accepted from a client.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn interior(&self, tree: TreeNumber, level: u8, index: u64) -> Result<Option<Checksum>, StoreError> {
        self.rows.look_inside(|txn| {
            let table = txn.open_table(Interior::DEFINITION).db()?;
            let key = (tree, level, index);
            Ok(match table.get(key).db()? {
                Some(raw) => Some(Interior::decode(&key, raw.value())?.0),
                None => None,
            })
        })
    }

    /// One ledger entry; `None` if it was sealed or never written.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn ledger_entry(&self, seq: u64) -> Result<Option<LedgerRow>, StoreError> {
        self.rows.look_inside(|txn| {
            let table = txn.open_table(Ledger::DEFINITION).db()?;
            Ok(table.get(seq).db()?.map(|raw| Ledger::decode(&seq, raw.value())).transpose()?)
        })
    }

    /// Up to `limit` ledger entries from `from` on.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn ledger(&self, from: u64, limit: usize) -> Result<Vec<LedgerEntry>, StoreError> {
        self.rows.look_inside(|txn| {
            let table = txn.open_table(Ledger::DEFINITION).db()?;
            let mut out = Vec::new();
            for entry in table.range(from..).db()?.take(limit) {
                let (key, raw) = entry.db()?;
                let seq = key.value();
                out.push((seq, Ledger::decode(&seq, raw.value())?));
            }
            Ok(out)
        })
    }

    /// The stored row of a client.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn client(&self, client: ClientDigest) -> Result<Option<ClientRow>, StoreError> {
        self.rows.look_inside(|txn| {
            let table = txn.open_table(Clients::DEFINITION).db()?;
            Ok(table.get(client.form()).db()?.map(|raw| Clients::decode(&client, raw.value())).transpose()?)
        })
    }

    /// Up to `limit` clients behind `after` and where they stand.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn standings(&self, after: Option<ClientDigest>, limit: usize) -> Result<StandingsPage, StoreError> {
        self.rows.look_inside(|txn| {
            let table = txn.open_table(Standings::DEFINITION).db()?;
            let from = after.map_or(Bound::Unbounded, |client| Bound::Excluded(client.form()));
            let mut out = Vec::new();
            for entry in table.range::<[u8; 16]>((from, Bound::Unbounded)).db()?.take(limit) {
                let (key, raw) = entry.db()?;
                let client = ClientDigest::owned(key.value());
                out.push((client, Standings::decode(&client, raw.value())));
            }
            Ok(out)
        })
    }

    /// Up to `limit` trees with a chore of `kind`, with a number above `after`.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn chores(&self, kind: u8, after: Option<TreeNumber>, limit: usize) -> Result<Vec<TreeNumber>, StoreError> {
        self.rows.look_inside(|txn| {
            let table = txn.open_table(Chores::DEFINITION).db()?;
            let from = after.map_or(Bound::Included((kind, 0)), |tree| Bound::Excluded((kind, tree)));
            let mut out = Vec::new();
            for entry in table.range((from, Bound::Included((kind, u64::MAX)))).db()?.take(limit) {
                out.push(entry.db()?.0.value().1);
            }
            Ok(out)
        })
    }
}

/// Changed client rows at which a checkpoint begins.
const DIRTY_CLIENTS: usize = 32_768;
/// Ledger entries behind the last checkpoint at which one begins: what an open has to replay.
const ENTRIES_BEHIND: u64 = 65_536;

fn missing(table: &'static str, tree: TreeNumber, row: u64) -> StoreError {
    StoreError::Contradiction { what: format!("{table} lacks row {row} of tree {tree}") }
}
