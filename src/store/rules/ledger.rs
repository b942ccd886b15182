//! The credit ledger: gapless entries chained by digest, balances as a checkpoint plus the tail.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use crate::protocol::ClientDigest;
use crate::store::command::Debit;
use crate::store::command::outcome::{Outcome, Refused};
use crate::store::error::StoreError;
use crate::store::port::{Txn, View};
use crate::store::rows::{ClientRow, DebitKey, EntryKind, Head, LedgerRow};
use crate::store::schema::{Clients, Debits, Followed, Ledger, Receipts};

use super::batch::Batch;
use super::state::{Round, WriterState};

impl<R: Txn> Batch<'_, R> {
    /// The newest row of a client: from this batch, from memory, from the table, or a new one.
    pub(in crate::store) fn client(&mut self, client: ClientDigest) -> Result<ClientRow, StoreError> {
        if let Some(row) = self.overlay.get(&client).or_else(|| self.writer.dirty.get(&client)) {
            return Ok(*row);
        }
        Ok(self.rows.get(Clients, &client)?.unwrap_or_default())
    }

    /// Writes `row` as the next entry, with its digest, and remembers `client` as of it.
    pub(in crate::store) fn append(&mut self, mut row: LedgerRow, mut client: ClientRow) -> Result<u64, StoreError> {
        let seq = self.head.next_ledger;
        row.digest = row.chained(&self.head.last_digest, seq);
        self.rows.put(Ledger, &seq, &row)?;
        self.head.last_digest = row.digest;
        self.head.next_ledger += 1;
        client.last_seq = seq;
        self.overlay.insert(row.client, client);
        Ok(seq)
    }

    pub(in crate::store) fn debit(&mut self, debit: &Debit) -> Result<Outcome, StoreError> {
        let mut client = self.client(debit.client)?;
        if let Some((found, row)) = self.debited(debit.key)? {
            if row.client != debit.client || row.amount != debit.amount {
                return Ok(Outcome::Refused(Refused::KeyConflict));
            }
            return Ok(Outcome::Debited { seq: found, balance: client.balance, repeated: true });
        }
        self.is_new_debit(debit.key, client.last_seq)?;
        let Some(balance) = client.balance.checked_sub(debit.amount) else {
            return Ok(Outcome::Refused(Refused::Insufficient { balance: client.balance }));
        };
        client.balance = balance;
        client.updated_ms = debit.at_ms;
        self.head.totals.debited = self.head.totals.debited.saturating_add(debit.amount);
        let seq = self.append(
            LedgerRow {
                id: debit.key.entry_id(),
                client: debit.client,
                tree: 0,
                start: 0,
                order: 0,
                kind: EntryKind::Debit,
                tier: 0,
                leaves: 0,
                nodes: 0,
                amount: debit.amount,
                at_ms: debit.at_ms,
                previous: client.last_seq,
                digest: [0; 32],
            },
            client,
        )?;
        self.rows.put(Debits, &debit.key, &seq)?;
        Ok(Outcome::Debited { seq, balance, repeated: false })
    }

    pub(in crate::store) fn entry(&self, seq: u64) -> Result<LedgerRow, StoreError> {
        let missing = || StoreError::Contradiction { what: format!("ledger entry {seq} is missing") };
        self.try_entry(seq)?.ok_or_else(missing)
    }

    /// Writes up to `limit` changed client rows in key order. A round covers the rows that were
    /// changed when it began; `head.checkpoint` moves when the round is through.
    pub(in crate::store) fn checkpoint(&mut self, limit: usize) -> Result<Outcome, StoreError> {
        let mut round = match self.round.take().or_else(|| self.writer.round.clone()) {
            Some(round) if !round.is_through() => round,
            _ => {
                let mut keys: Vec<_> = self.writer.dirty.keys().chain(self.overlay.keys()).copied().collect();
                keys.sort_unstable();
                keys.dedup();
                Round { keys: Arc::new(keys), at: 0, target: self.head.next_ledger }
            }
        };
        let until = round.keys.len().min(round.at.saturating_add(limit));
        let rows = (until - round.at) as u64;
        for key in &round.keys[round.at..until] {
            let row = self.client(*key)?;
            self.rows.put(Clients, key, &row)?;
            self.flushed.push(*key);
        }
        round.at = until;
        let more = !round.is_through();
        #[cfg(feature = "testing")]
        let more_to_write = more && !self.makes(crate::store::mistakes::StoreMistake::CheckpointEarly);
        #[cfg(not(feature = "testing"))]
        let more_to_write = more;
        if !more_to_write {
            self.head.checkpoint = self.head.checkpoint.max(round.target);
        }
        self.round = Some(round);
        Ok(Outcome::Done { rows, more })
    }

    /// Removes the oldest entries with their receipts and keys; what they added up to goes into the
    /// head, and the chain goes on from the last digest removed.
    ///
    /// An entry that is missing or does not decode is removed without its sums, and reported: it
    /// must not keep all later ones.
    pub(in crate::store) fn seal_ledger(&mut self, keep: u64, limit: usize) -> Result<Outcome, StoreError> {
        let bound = seal_bound(&self.head, keep);
        let mut rows = 0;
        let mut skipped = Vec::new();
        while self.head.anchor < bound && rows < limit as u64 {
            let seq = self.head.anchor;
            match self.entry(seq) {
                Ok(row) => {
                    skip_row(self.doubt_entry(&row), &mut skipped)?;
                    self.seal_entry(seq, &row)?;
                }
                #[cfg(feature = "testing")]
                Err(error) if self.makes(crate::store::mistakes::StoreMistake::RowStopsSealing) => return Err(error),
                Err(error) => {
                    skip_row::<()>(Err(error), &mut skipped)?;
                    self.seal_damaged(seq)?;
                }
            }
            self.head.anchor += 1;
            rows += 1;
        }
        Ok(Outcome::Walked { rows, more: self.head.anchor < bound, skipped })
    }

    fn seal_entry(&mut self, seq: u64, row: &LedgerRow) -> Result<(), StoreError> {
        self.rows.remove(Ledger, &seq)?;
        let totals = &mut self.head.totals;
        if row.kind == EntryKind::Debit {
            totals.sealed_debited = totals.sealed_debited.saturating_add(row.amount);
            self.rows.remove(Debits, &DebitKey::of_entry(row.id))?;
        } else {
            totals.sealed_awarded = totals.sealed_awarded.saturating_add(row.amount);
            totals.sealed_leaves += u64::from(row.leaves);
            self.rows.remove(Receipts, &row.id)?;
        }
        self.head.anchor_digest = row.digest;
        Ok(())
    }

    /// Removes an entry that does not decode. If it has its length, its digest is where it was, and
    /// the chain goes on from it.
    fn seal_damaged(&mut self, seq: u64) -> Result<(), StoreError> {
        let digest = self.rows.bytes(Ledger, &seq)?.and_then(|bytes| LedgerRow::digest_in(&bytes));
        self.rows.remove(Ledger, &seq)?;
        self.head.anchor_digest = digest.unwrap_or(self.head.anchor_digest);
        Ok(())
    }

    /// Looks at up to `limit` rows after `after` and removes those of clients that have nothing and
    /// have not been seen since `before_ms`. Rows that do not decode stay: the search for them has
    /// reported them.
    pub(in crate::store) fn prune_clients(
        &mut self,
        before_ms: u64,
        after: ClientDigest,
        limit: usize,
    ) -> Result<Outcome, StoreError> {
        let anchor = self.head.anchor;
        let idle = |row: &ClientRow| row.updated_ms < before_ms && is_spent(row, anchor);
        let mut victims = Vec::new();
        let mut next = None;
        let mut seen = 0;
        let (overlay, dirty) = (&self.overlay, &self.writer.dirty);
        if limit > 0 {
            self.rows.each(Clients, (Bound::Excluded(after), Bound::Unbounded), |key, row| {
                seen += 1;
                next = (seen == limit).then_some(key);
                let newer = overlay.contains_key(&key) || dirty.contains_key(&key);
                if !newer && row.is_ok_and(|row| idle(&row)) {
                    victims.push(key);
                }
                Ok(if seen == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
        }
        for key in &victims {
            self.rows.remove(Clients, key)?;
            self.rows.remove(Followed, key)?;
        }
        Ok(Outcome::Scanned { rows: victims.len() as u64, next })
    }
}

/// Most rows that one command reports as skipped.
const SKIPPED_SHOWN: usize = 16;

/// Passes over the failure of a single row, and remembers it to be reported.
pub(in crate::store) fn skip_row<T>(
    done: Result<T, StoreError>,
    skipped: &mut Vec<String>,
) -> Result<Option<T>, StoreError> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.is_one_row() => {
            if skipped.len() < SKIPPED_SHOWN {
                skipped.push(error.to_string());
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The entry up to which the ledger may be sealed, if the newest `keep` entries stay.
pub(in crate::store) fn seal_bound(head: &Head, keep: u64) -> u64 {
    head.next_ledger.saturating_sub(keep).min(head.checkpoint)
}

/// Whether a client has nothing on its account and no entry above the sealed ones.
pub(in crate::store) fn is_spent(row: &ClientRow, anchor: u64) -> bool {
    row.balance == 0 && (row.last_seq == u64::MAX || row.last_seq < anchor)
}

/// Applies to client rows what the ledger holds beyond the last checkpoint.
pub(in crate::store) fn replay(rows: &impl View, writer: &mut WriterState) -> Result<(), StoreError> {
    let from = writer.head.checkpoint.max(writer.head.anchor);
    rows.each(Ledger, from.., |seq, row| {
        let row = row?;
        let client = match writer.dirty.get_mut(&row.client) {
            Some(client) => client,
            None => {
                let stored = rows.get(Clients, &row.client)?.unwrap_or_default();
                writer.dirty.entry(row.client).or_insert(stored)
            }
        };
        if client.last_seq != u64::MAX && client.last_seq >= seq {
            return Ok(ControlFlow::Continue(()));
        }
        if row.kind == EntryKind::Debit {
            client.balance = client.balance.saturating_sub(row.amount);
        } else {
            client.balance = client.balance.saturating_add(row.amount);
            client.accepted += u64::from(row.kind != EntryKind::Correction);
        }
        client.last_seq = seq;
        client.updated_ms = row.at_ms;
        Ok(ControlFlow::Continue(()))
    })
}
