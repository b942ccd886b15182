//! Each row by itself and against those that it leads to, as a walk through all rows looks at it.

use crate::merkle::{GROUP_LEAVES, TILE_LEAVES};
use crate::protocol::{ClientDigest, TreeHandle, WorkId};
use crate::store::error::StoreError;
use crate::store::port::{Rows as _, Snapshot, View};
use crate::store::rows::{
    AccountRow, ClaimRow, ClientRow, CopyRow, DataPlace, DebitKey, EntryKind, LeafState, LedgerRow, LengthRow, MetaRow,
    ProvenanceRow, StandingRow, TileRow, TreeRow, TreeState, check_sealed, damaged, is_older, is_older_sealed,
    meta_bytes, range_end,
};
use crate::store::rules::fits::{self, readable};
use crate::store::schema::{
    CHORE_DROP, Claims, Clients, Consumed, Damaged, Debits, Doubted, FORMAT_VERSION, Followed, Handles, Hashes,
    Interior, Ledger, Lengths, Meta, NO_ENTRY, Names, Provenance, Quorums, Ready, Receipts, Standings, Suspects, Tiles,
    TokenKey, Trees, VOTED,
};
use crate::store::table::Table;

use super::reader::Reader;
use super::verify::{IsOlder, Looks};

impl<S: Snapshot<View: View>> Looks<'_, S> {
    pub(super) fn meta(&self, key: &str, raw: &[u8]) -> IsOlder {
        let table = Meta::NAME;
        let unknown = || damaged(table, format!("`{key}` is not what this build wrote"));
        match key {
            // Read before all others.
            "head" => {}
            "account" => drop(AccountRow::unsealed(raw)?),
            "copy-of" => drop(CopyRow::unsealed(raw)?),
            "store" => drop(meta_bytes::<16>(key, raw)?),
            "digest-key" => drop(meta_bytes::<32>(key, raw)?),
            "boot" => drop(meta_bytes::<8>(key, raw)?),
            "generation" => drop(meta_bytes::<24>(key, raw)?),
            "kind" if raw != b"pouw-state" => return Err(unknown().into()),
            "format" if raw != FORMAT_VERSION.to_le_bytes() => return Err(unknown().into()),
            "kind" | "format" => {}
            _ => check_sealed(table, key, raw)?,
        }
        Ok(matches!(key, "account" | "copy-of") && is_older_sealed(raw))
    }

    /// A tree is led to by its name, its handle and its place in the queue, and has the chore that
    /// its state needs.
    pub(super) fn tree(&self, tree: u64, raw: &[u8]) -> IsOlder {
        let row: TreeRow = Trees::decode(&tree, raw)?;
        let lacks = |what: &str| StoreError::from(damaged(Trees::NAME, format!("{what} does not lead to tree {tree}")));
        self.reader.look(|rows| {
            if rows.get(Names, row.name.as_str())? != Some(tree) {
                return Err(lacks("its name in names-0"));
            }
            if rows.get(Handles, &row.handle)? != Some(tree) {
                return Err(lacks("its handle in handles-0"));
            }
            let queued = rows.get(Ready, &fits::place_of(&row))?;
            if row.state == TreeState::Active && queued != Some(tree) {
                return Err(lacks("its place in ready-0"));
            }
            Ok(())
        })?;
        let weak = readable(self.reader.provenance(tree))?.is_none_or(|row| row.weak() > 0);
        if let Some(kind) = fits::needed_chore(&row, || weak)
            && !self.reader.has_chore(kind, tree)?
        {
            return Err(damaged(Trees::NAME, format!("chores-0 lacks chore {kind} of tree {tree}")).into());
        }
        Ok(is_older_sealed(raw))
    }

    pub(super) fn name(&self, name: &str, tree: u64) -> IsOlder {
        let Some(row) = readable(self.reader.tree(tree))? else { return Ok(false) };
        fits::leads_to_tree(Names::NAME, tree, row.as_ref(), |row| row.name == name)?;
        Ok(false)
    }

    pub(super) fn handle(&self, handle: TreeHandle, tree: u64) -> IsOlder {
        let Some(row) = readable(self.reader.tree(tree))? else { return Ok(false) };
        fits::leads_to_tree(Handles::NAME, tree, row.as_ref(), |row| row.handle == handle)?;
        Ok(false)
    }

    pub(super) fn ready(&self, place: (u8, u64), tree: u64) -> IsOlder {
        let Some(row) = readable(self.reader.tree(tree))? else { return Ok(false) };
        let has = |row: &TreeRow| row.state == TreeState::Active && fits::place_of(row) == place;
        fits::leads_to_tree(Ready::NAME, tree, row.as_ref(), has)?;
        Ok(false)
    }

    pub(super) fn chore(&self, (kind, tree): (u8, u64)) -> IsOlder {
        let Some(row) = readable(self.reader.tree(tree))? else { return Ok(false) };
        fits::chore(kind, tree, row.as_ref(), self.head.next_tree)?;
        Ok(false)
    }

    /// In a tree whose hashes come from clients, exactly the leaves that are done have one.
    pub(super) fn group(&self, key: (u64, u64), raw: &[u8]) -> IsOlder {
        let row = Hashes::decode(&key, raw)?;
        let first = key.1.saturating_mul(GROUP_LEAVES);
        let tree = readable(self.reader.tree(key.0))?.flatten();
        if tree.is_some_and(|tree| !tree.strategy.knows_answers())
            && let Some(tile) = readable(self.reader.tile(key.0, first / TILE_LEAVES))?
        {
            let differs = |(leaf, hash): (u64, &crate::hash::Checksum)| {
                tile.state(leaf % TILE_LEAVES).is_done() != (*hash != crate::hash::Checksum::ZERO)
            };
            if (first..).zip(&row.leaves).any(differs) {
                return Err(damaged(Hashes::NAME, format!("row {key:?} does not fit the states in tiles-0")).into());
            }
        }
        Ok(raw.len().is_multiple_of(crate::hash::Checksum::LEN))
    }

    pub(super) fn lengths(&self, key: (u64, u64), raw: &[u8]) -> IsOlder {
        Lengths::decode(&key, raw)?;
        Ok(raw.len() != LengthRow::LEN)
    }

    /// Damaged and doubted leaves are listed as such.
    pub(super) fn tile(&self, key: (u64, u64), raw: &[u8]) -> IsOlder {
        let row = Tiles::decode(&key, raw)?;
        let (tree, tile) = key;
        let lacks = |table: &'static str| Err(damaged(table, format!("it lacks rows of tile {key:?}")).into());
        let Some(Some(owner)) = readable(self.reader.tree(tree))? else {
            return Ok(is_older(raw.len(), TileRow::LEN));
        };
        let is_in = |state| row.mask(TILE_LEAVES, |found| found == state);
        let (is_damaged, is_doubted) = (is_in(LeafState::Damaged), is_in(LeafState::Doubted) != 0);
        let first = tile.saturating_mul(TILE_LEAVES);
        let slots = (0..TILE_LEAVES).filter(|slot| is_damaged & (1 << slot) != 0);
        for slot in slots {
            if !self.reader.look(|rows| rows.has(Damaged, &(tree, first + slot)))? {
                return lacks(Damaged::NAME);
            }
        }
        if is_doubted && !self.is_released(tree, &owner)? && !self.is_listed(key)? {
            return lacks(Doubted::NAME);
        }
        Ok(is_older(raw.len(), TileRow::LEN))
    }

    /// The leaves of a tree were accepted as they are: nothing is kept about those behind them.
    fn is_released(&self, tree: u64, row: &TreeRow) -> Result<bool, StoreError> {
        Ok(row.data == DataPlace::Dropped || self.reader.has_chore(CHORE_DROP, tree)?)
    }

    fn is_listed(&self, key: (u64, u64)) -> Result<bool, StoreError> {
        self.reader.look(|rows| rows.has(Doubted, &key))
    }

    pub(super) fn node(&self, key: (u64, u8, u64), raw: &[u8]) -> IsOlder {
        Interior::decode(&key, raw)?;
        Ok(raw.len() == 64)
    }

    pub(super) fn consumed(&self, (_, id): TokenKey, seq: u64) -> IsOlder {
        match seq {
            NO_ENTRY | VOTED => Ok(false),
            seq => self.pointer((Consumed::NAME, id, false), seq),
        }
    }

    pub(super) fn receipt(&self, id: WorkId, seq: u64) -> IsOlder {
        self.pointer((Receipts::NAME, id, false), seq)
    }

    pub(super) fn debit(&self, key: DebitKey, seq: u64) -> IsOlder {
        self.pointer((Debits::NAME, key.entry_id(), true), seq)
    }

    fn pointer(&self, of: (&'static str, WorkId, bool), seq: u64) -> IsOlder {
        let Some(entry) = readable(self.reader.ledger_entry(seq))? else { return Ok(false) };
        fits::leads_to_entry(of, seq, &self.head, entry.as_ref())?;
        Ok(false)
    }

    fn of_client(&self, table: &'static str, client: ClientDigest, seq: u64) -> Result<(), StoreError> {
        let Some(entry) = readable(self.reader.ledger_entry(seq))? else { return Ok(()) };
        Ok(fits::is_of_client(table, client, seq, &self.head, entry.as_ref())?)
    }

    pub(super) fn client(&self, client: ClientDigest, raw: &[u8]) -> IsOlder {
        let row: ClientRow = Clients::decode(&client, raw)?;
        self.of_client(Clients::NAME, client, row.last_seq)?;
        Ok(is_older_sealed(raw))
    }

    /// An entry follows the one before it, is found by its id, and the leaves it credits are done.
    pub(super) fn entry(&self, seq: u64, raw: &[u8]) -> IsOlder {
        let table = Ledger::NAME;
        let row = Ledger::decode(&seq, raw)?;
        let odd = |what: &str| StoreError::from(damaged(table, format!("entry {seq}: {what}")));
        let before = if seq > self.head.anchor { readable(self.reader.ledger_entry(seq - 1))?.flatten() } else { None };
        if before.is_some_and(|before| row.chained(&before.digest, seq) != row.digest) {
            return Err(odd("its digest does not follow from the entry before it"));
        }
        let debit = row.kind == EntryKind::Debit;
        let found = self.reader.look(|rows| {
            if debit { rows.get(Debits, &DebitKey::of_entry(row.id)) } else { rows.get(Receipts, &row.id) }
        })?;
        if found != Some(seq) {
            return Err(odd(if debit { "debits-0 does not lead to it" } else { "receipts-0 does not lead to it" }));
        }
        if row.kind == EntryKind::Leaves
            && readable(self.reader.tree(row.tree))?.flatten().is_some()
            && let Some(tile) = readable(self.reader.tile(row.tree, row.start / TILE_LEAVES))?
        {
            let mut credited = row.start..row.start.saturating_add(u64::from(row.leaves).min(TILE_LEAVES));
            if !credited.all(|leaf| tile.state(leaf % TILE_LEAVES).is_done()) {
                return Err(odd("tiles-0 says that a leaf it credits is not done"));
            }
        }
        Ok(is_older(raw.len(), LedgerRow::LEN))
    }

    pub(super) fn standing(&self, client: ClientDigest, raw: &[u8]) -> IsOlder {
        Standings::decode(&client, raw)?;
        Ok(is_older(raw.len(), StandingRow::LEN))
    }

    pub(super) fn provenance(&self, tree: u64, raw: &[u8]) -> IsOlder {
        Provenance::decode(&tree, raw)?;
        Ok(is_older(raw.len(), ProvenanceRow::LEN))
    }

    /// Some leaf of a claim is below verified.
    pub(super) fn claim(&self, key: (u64, u64), raw: &[u8]) -> IsOlder {
        let row: ClaimRow = Claims::decode(&key, raw)?;
        let (tree, start) = key;
        if let Some(Some(owner)) = readable(self.reader.tree(tree))?
            && !self.is_released(tree, &owner)?
            && let Some(tile) = readable(self.reader.tile(tree, start / TILE_LEAVES))?
            && !(start..range_end(start, row.order)).any(|leaf| tile.state(leaf % TILE_LEAVES).is_weak())
        {
            return Err(damaged(Claims::NAME, format!("none of the leaves of {key:?} is below verified")).into());
        }
        Ok(is_older_sealed(raw))
    }

    pub(super) fn quorum(&self, key: (u64, u64), raw: &[u8]) -> IsOlder {
        Quorums::decode(&key, raw)?;
        Ok(is_older_sealed(raw))
    }

    pub(super) fn suspect(&self, client: ClientDigest, (next, from, until, _): (u64, u64, u64, bool)) -> IsOlder {
        for seq in [next, from, until] {
            self.of_client(Suspects::NAME, client, seq)?;
        }
        Ok(false)
    }

    pub(super) fn followed(&self, client: ClientDigest, seq: u64) -> IsOlder {
        self.of_client(Followed::NAME, client, seq)?;
        Ok(false)
    }

    pub(super) fn doubted(&self, key: (u64, u64)) -> IsOlder {
        if let Some(Some(owner)) = readable(self.reader.tree(key.0))?
            && !self.is_released(key.0, &owner)?
            && let Some(tile) = readable(self.reader.tile(key.0, key.1))?
            && tile.mask(TILE_LEAVES, |state| state == LeafState::Doubted) == 0
        {
            return Err(damaged(Doubted::NAME, format!("no leaf of tile {key:?} is doubted")).into());
        }
        Ok(false)
    }

    pub(super) fn damaged(&self, key: (u64, u64)) -> IsOlder {
        if readable(self.reader.tree(key.0))?.flatten().is_some()
            && let Some(tile) = readable(self.reader.tile(key.0, key.1 / TILE_LEAVES))?
            && tile.state(key.1 % TILE_LEAVES) != LeafState::Damaged
        {
            return Err(damaged(Damaged::NAME, format!("leaf {key:?} is not damaged")).into());
        }
        Ok(false)
    }
}
