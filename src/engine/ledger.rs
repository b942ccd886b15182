//! Credits: balances, entries, debits, receipts.

use crate::merkle::{Commitment, InclusionProof, LeafIndex, Shape};
use crate::protocol::{ClientDigest, MicroJoules, WorkId};
use crate::store::records::{EntryKind, LedgerRow, TreeState};
use crate::store::{Command, Debit, NO_ENTRY, Outcome, Refused, StoreError, VOTED};

use super::PouwEngine;
use super::error::{DebitError, TreeError, WriteError};
use super::trees::commitment;

/// One entry of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LedgerEntry {
    /// Sequence number, gapless.
    pub seq: u64,
    /// The stored entry.
    pub row: LedgerRow,
}

/// A debit that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Debited {
    /// Ledger entry.
    pub seq: u64,
    /// Balance now.
    pub balance: MicroJoules,
    /// It had been made before under this key; nothing was taken again.
    pub repeated: bool,
}

/// That the work of an accepted answer is part of a complete tree.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkProof {
    /// The leaf: the first of the answer.
    pub leaf: LeafIndex,
    /// What the tree's publisher commits to.
    pub commitment: Commitment,
    /// From the leaf to the commitment's root.
    pub proof: InclusionProof,
}

/// What is known about a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Receipt {
    /// It is out.
    Open,
    /// Its answer was taken; this is its entry.
    Accepted(LedgerEntry),
    /// Its answer was taken as a vote: it gets its entry, and its credit, when its quorum is complete. Told as long as a
    /// refusal.
    Voted,
    /// Its answer was refused for good, and the challenge is closed. Told for a lifetime of its token or two;
    /// not told of a challenge from before that lifetime was configured anew.
    Refused,
    /// Nothing is known: never issued, expired unanswered, or closed long ago.
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
            other => Err(WriteError::NotStored(format!("unexpected outcome {other:?}")).into()),
        }
    }

    /// For the entry of an accepted answer whose tree is complete: what the tree's publisher committed to, and
    /// the proof that a leaf of the answer is part of it. `None` for debits, made-up work, and trees that are
    /// not complete yet or are forgotten.
    pub fn proof_of(&self, entry: &LedgerRow) -> Result<Option<WorkProof>, TreeError> {
        if !(entry.kind.is_of_leaves() || entry.kind == EntryKind::Interior) {
            return Ok(None);
        }
        let core = self.core();
        let row = core.store.read()?.tree(entry.tree)?.filter(|row| row.state == TreeState::Complete);
        let Some(row) = row else { return Ok(None) };
        let leaf = match (entry.kind, Shape::new(row.leaves)) {
            // The first leaf below the node.
            (EntryKind::Interior, Ok(shape)) => entry.start << shape.height().saturating_sub(entry.order),
            _ => entry.start,
        };
        let leaf = LeafIndex(leaf);
        let proof = core.prove_leaf(entry.tree, &row, leaf)?;
        Ok(Some(WorkProof { leaf, commitment: commitment(&row), proof }))
    }

    /// What became of a challenge.
    pub fn receipt(&self, id: WorkId) -> Result<Receipt, StoreError> {
        let core = self.core();
        if let Some((seq, row)) = core.store.read()?.receipt(*id.as_bytes())? {
            return Ok(Receipt::Accepted(LedgerEntry { seq, row }));
        }
        if core.queue.lock().leases.find(id).is_some() {
            return Ok(Receipt::Open);
        }
        // An id tells when it was issued, and so when its token expires: the key under which it is closed.
        let expires_ms = id.unix_millis().0.saturating_add(core.config.token_ttl_ms());
        if core.is_refused(id.as_bytes()) {
            return Ok(Receipt::Refused);
        }
        Ok(match core.store.read()?.consumed(expires_ms, *id.as_bytes())? {
            Some(NO_ENTRY) => Receipt::Refused,
            Some(VOTED) => Receipt::Voted,
            _ => Receipt::Unknown,
        })
    }
}
