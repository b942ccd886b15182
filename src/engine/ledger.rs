//! Credits: balances, entries, debits, receipts.

use crate::protocol::{ClientDigest, MicroJoules, WorkId};
use crate::store::records::LedgerRow;
use crate::store::{Command, Debit, NO_ENTRY, Outcome, Refused, StoreError};

use super::PouwEngine;
use super::error::{DebitError, WriteError};

/// One entry of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Sequence number, gapless.
    pub seq: u64,
    /// The stored entry.
    pub row: LedgerRow,
}

/// A debit that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Debited {
    /// Ledger entry.
    pub seq: u64,
    /// Balance now.
    pub balance: MicroJoules,
    /// It had been made before under this key; nothing was taken again.
    pub repeated: bool,
}

/// What is known about a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Receipt {
    /// It is out.
    Open,
    /// Its answer was taken; this is its entry.
    Accepted(LedgerEntry),
    /// Nothing is known: never issued, refused, expired, or sealed long ago.
    Unknown,
}

impl PouwEngine {
    /// The keyed digest under which a client stands in the store.
    pub fn client_digest(&self, client: &[u8]) -> ClientDigest {
        self.core().digest_of(client)
    }

    /// Credits of a client.
    pub fn balance(&self, client: &[u8]) -> Result<MicroJoules, StoreError> {
        let row = self.core().store.client(*self.client_digest(client).as_bytes())?;
        Ok(MicroJoules(row.balance))
    }

    /// Up to `limit` entries from `from` on, of all clients.
    pub fn ledger(&self, from: u64, limit: usize) -> Result<Vec<LedgerEntry>, StoreError> {
        let rows = self.core().store.read()?.ledger(from, limit)?;
        Ok(rows.into_iter().map(|(seq, row)| LedgerEntry { seq, row }).collect())
    }

    /// Up to `limit` entries of one client, newest first, older than `before` if given.
    pub fn ledger_of(&self, client: &[u8], before: Option<u64>, limit: usize) -> Result<Vec<LedgerEntry>, StoreError> {
        let core = self.core();
        let digest = *self.client_digest(client).as_bytes();
        let mut next = core.store.client(digest)?.last_seq;
        let reader = core.store.read()?;
        // The last entry of a page leads to the next page, without walking all that is newer again.
        if let Some(row) = before.map(|before| reader.ledger_entry(before)).transpose()?.flatten()
            && row.client == digest
        {
            next = row.previous;
        }
        let mut out = Vec::new();
        while next != NO_ENTRY && out.len() < limit {
            let Some(row) = reader.ledger_entry(next)? else {
                break;
            };
            if before.is_none_or(|before| next < before) {
                out.push(LedgerEntry { seq: next, row });
            }
            next = row.previous;
        }
        Ok(out)
    }

    /// Takes credits from a client. The same key with the same client and amount is taken once, however
    /// often it is sent.
    ///
    /// # Errors
    /// [`DebitError::Insufficient`], [`DebitError::KeyConflict`]; [`DebitError::Write`] when it is not
    /// stored or that is not known: repeat with the same key.
    pub fn debit(&self, client: &[u8], amount: MicroJoules, key: [u8; 16]) -> Result<Debited, DebitError> {
        let core = self.core();
        let debit =
            Debit { key, client: *self.client_digest(client).as_bytes(), amount: amount.0, at_ms: core.now_ms() };
        match core.write(Command::Debit(debit))? {
            Outcome::Debited { seq, balance, repeated } => Ok(Debited { seq, balance: MicroJoules(balance), repeated }),
            Outcome::Refused(Refused::Insufficient { balance }) => {
                Err(DebitError::Insufficient { balance, amount: amount.0 })
            }
            Outcome::Refused(Refused::KeyConflict) => Err(DebitError::KeyConflict),
            other => Err(WriteError::RolledBack(format!("unexpected outcome {other:?}")).into()),
        }
    }

    /// What became of a challenge.
    pub fn receipt(&self, id: WorkId) -> Result<Receipt, StoreError> {
        let core = self.core();
        if let Some((seq, row)) = core.store.read()?.receipt(*id.as_bytes())? {
            return Ok(Receipt::Accepted(LedgerEntry { seq, row }));
        }
        let open = core.queue.lock().leases.find(id).is_some();
        Ok(if open { Receipt::Open } else { Receipt::Unknown })
    }
}
