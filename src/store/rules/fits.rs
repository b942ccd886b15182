//! What protects the rows whose values are plain numbers, or that have none: they carry no
//! checksum, so they are believed only if the rows that they lead to, which do, agree.

use crate::protocol::{ClientDigest, WorkId};
use crate::store::error::StoreError;
use crate::store::port::Txn;
use crate::store::rows::{DataPlace, DebitKey, EntryKind, Head, LedgerRow, RowError, TreeRow, TreeState, damaged};
use crate::store::schema::{
    CHORE_ASSEMBLE, CHORE_DROP, CHORE_FOLD, CHORE_PURGE, Chores, Consumed, Debits, Followed, Ledger, NO_ENTRY,
    PRIORITY_FRESH, PRIORITY_PARTIAL, Receipts, Suspects,
};
use crate::store::table::Table;

use super::batch::Batch;

/// The row, or `None` if it is damaged.
pub(in crate::store) fn readable<T>(row: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match row {
        Ok(row) => Ok(Some(row)),
        Err(error) if error.is_one_row() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The tree that a row leads to has what the row says.
pub(in crate::store) fn leads_to_tree(
    table: &'static str,
    tree: u64,
    row: Option<&TreeRow>,
    has: impl FnOnce(&TreeRow) -> bool,
) -> Result<(), RowError> {
    match row {
        Some(row) if has(row) => Ok(()),
        Some(_) => Err(damaged(table, format!("it leads to tree {tree}, which is another"))),
        None => Err(damaged(table, format!("it leads to tree {tree}, which is not there"))),
    }
}

/// The place in the queue of a tree that is active.
pub(in crate::store) fn place_of(row: &TreeRow) -> (u8, u64) {
    (if row.done > 0 { PRIORITY_PARTIAL } else { PRIORITY_FRESH }, row.order)
}

/// The chore that a tree must have. `weak` says whether some of its leaves are known from clients
/// only, so that its data is kept.
pub(in crate::store) fn needed_chore(row: &TreeRow, weak: impl FnOnce() -> bool) -> Option<u8> {
    match row.state {
        TreeState::Assembling => Some(CHORE_ASSEMBLE),
        TreeState::Folding => Some(CHORE_FOLD),
        TreeState::Complete if row.data != DataPlace::Dropped && !weak() => Some(CHORE_DROP),
        _ => None,
    }
}

/// The tree needs such a chore. `row` is that of the tree.
pub(in crate::store) fn chore(kind: u8, tree: u64, row: Option<&TreeRow>, next_tree: u64) -> Result<(), RowError> {
    let state = row.map(|row| row.state);
    let fits = match kind {
        CHORE_PURGE => state.is_none() && tree < next_tree,
        CHORE_ASSEMBLE => state == Some(TreeState::Assembling),
        CHORE_DROP => state == Some(TreeState::Complete),
        CHORE_FOLD => state == Some(TreeState::Folding),
        _ => false,
    };
    if fits { Ok(()) } else { Err(damaged(Chores::NAME, format!("tree {tree} needs no chore {kind}"))) }
}

/// The ledger entry that a row leads to has its id and is, or is not, a debit. False if it was
/// sealed: nothing is known about it then.
pub(in crate::store) fn leads_to_entry(
    (table, id, debit): (&'static str, WorkId, bool),
    seq: u64,
    head: &Head,
    entry: Option<&LedgerRow>,
) -> Result<bool, RowError> {
    let other = |what: &str| Err(damaged(table, format!("it leads to ledger entry {seq}, which {what}")));
    match entry {
        _ if seq >= head.next_ledger => other("was never written"),
        None if seq < head.anchor => Ok(false),
        None => other("is not there"),
        Some(row) if row.id == id && (row.kind == EntryKind::Debit) == debit => Ok(true),
        Some(_) => other("is another"),
    }
}

/// A number of an entry in a row about a client is that of one of its entries, or was.
pub(in crate::store) fn is_of_client(
    table: &'static str,
    client: ClientDigest,
    seq: u64,
    head: &Head,
    entry: Option<&LedgerRow>,
) -> Result<(), RowError> {
    let fits = match entry {
        _ if seq == NO_ENTRY => true,
        None => seq < head.anchor,
        Some(row) => seq < head.next_ledger && row.client == client,
    };
    if fits { Ok(()) } else { Err(damaged(table, format!("ledger entry {seq} is not of its client"))) }
}

/// Entries of a client that are looked at to find a debit whose own row is lost.
const DEBITS_LOOKED_AT: usize = 32;

impl<R: Txn> Batch<'_, R> {
    /// Whether a token was used: a token with a receipt was, also if its own row is lost.
    pub(in crate::store) fn is_consumed(&self, expires_ms: u64, id: WorkId) -> Result<bool, StoreError> {
        Ok(self.rows.has(Consumed, &(expires_ms, id))? || self.rows.has(Receipts, &id)?)
    }

    /// The entry of an earlier debit under this key.
    pub(in crate::store) fn debited(&self, key: DebitKey) -> Result<Option<(u64, LedgerRow)>, StoreError> {
        let Some(seq) = self.rows.get(Debits, &key)? else { return Ok(None) };
        let entry = self.try_entry(seq)?;
        leads_to_entry((Debits::NAME, key.entry_id(), true), seq, &self.head, entry.as_ref())?;
        Ok(entry.map(|row| (seq, row)))
    }

    /// None of the last entries of a client is a debit under this key, for which `debits-0` has no
    /// row. `last` is its newest entry. An entry on the way that is missing or damaged may be that
    /// debit.
    pub(in crate::store) fn is_new_debit(&self, key: DebitKey, last: u64) -> Result<(), StoreError> {
        let mut next = last;
        for _ in 0..DEBITS_LOOKED_AT {
            // Sealed ones are gone with their keys.
            if next == NO_ENTRY || next < self.head.anchor {
                return Ok(());
            }
            let row = self.entry(next)?;
            if row.kind == EntryKind::Debit && row.id == key.entry_id() {
                return Err(damaged(Debits::NAME, format!("it lacks the row of ledger entry {next}")).into());
            }
            next = row.previous;
        }
        Ok(())
    }

    pub(in crate::store) fn try_entry(&self, seq: u64) -> Result<Option<LedgerRow>, StoreError> {
        self.rows.get(Ledger, &seq)
    }

    /// How far up a client was followed back; [`NO_ENTRY`] if never, or if the row cannot be right:
    /// following it again does no harm.
    pub(in crate::store) fn followed(&self, client: ClientDigest) -> Result<u64, StoreError> {
        let stored = self.rows.get(Followed, &client)?.unwrap_or(NO_ENTRY);
        let entry = readable(self.try_entry(stored))?.flatten();
        let fits = is_of_client(Followed::NAME, client, stored, &self.head, entry.as_ref()).is_ok();
        Ok(if fits { stored } else { NO_ENTRY })
    }

    /// A walk back along the entries of a client leads only to its own, and ends where the one
    /// before it began.
    pub(in crate::store) fn check_walk(
        &self,
        client: ClientDigest,
        (next, from, until, _): (u64, u64, u64, bool),
    ) -> Result<(), StoreError> {
        let table = Suspects::NAME;
        for seq in [next, from, until] {
            // An entry that does not decode is an error of its own when the walk is there.
            if let Some(entry) = readable(self.try_entry(seq))? {
                is_of_client(table, client, seq, &self.head, entry.as_ref())?;
            }
        }
        if next > from || until != self.followed(client)? {
            return Err(damaged(table, "it is no walk of its client").into());
        }
        Ok(())
    }
}
