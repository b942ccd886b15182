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
    /// Whether this key was debited before; then nothing was taken again.
    pub repeated: bool,
}

/// Proof that the work of an accepted answer is part of a complete tree.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkProof {
    /// The leaf: the first of the answer.
    pub leaf: LeafIndex,
    /// The commitment of the tree's publisher.
    pub commitment: Commitment,
    /// From the leaf to the commitment's root.
    pub proof: InclusionProof,
}

/// The outcome of a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Receipt {
    /// It was issued and not answered yet.
    Open,
    /// Its answer was accepted; this is its entry.
    Accepted(LedgerEntry),
    /// Its answer counts as a vote: its entry and its credit follow when the quorum is complete.
    /// Known as long as a refusal.
    Voted,
    /// Its answer was refused for good, and the challenge is closed. Known for one or two lifetimes
    /// of its token, and not for challenges issued before that lifetime was reconfigured.
    Refused,
    /// Unknown: never issued, expired unanswered, or closed long ago.
    Unknown,
}

impl PouwEngine {
    /// Returns the keyed digest that names a client in the store.
    pub fn client_digest(&self, client: &[u8]) -> ClientDigest {
        self.core().digest_of(client)
    }

    /// Returns the credits of a client.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn balance(&self, client: &[u8]) -> Result<MicroJoules, StoreError> {
        let row = self.core().store.client(*self.client_digest(client).as_bytes())?;
        Ok(MicroJoules(row.balance))
    }

    /// Returns up to `limit` entries of all clients, from `from` on.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn ledger(&self, from: u64, limit: usize) -> Result<Vec<LedgerEntry>, StoreError> {
        let rows = self.core().store.read()?.ledger(from, limit)?;
        Ok(rows.into_iter().map(|(seq, row)| LedgerEntry { seq, row }).collect())
    }

    /// Returns up to `limit` entries of one client, newest first, older than `before` if given.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
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

    /// Takes credits from a client. A repeat with the same key, client and amount takes nothing.
    ///
    /// # Errors
    /// [`DebitError::Insufficient`], [`DebitError::KeyConflict`]; [`DebitError::Write`] when it is
    /// not stored or that is not known: repeat with the same key.
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

    /// Returns the commitment of a complete tree and the proof that a leaf of this accepted answer
    /// is part of it. `None` for debits, made-up work, and trees that are incomplete or forgotten.
    ///
    /// # Errors
    /// [`TreeError::Unknown`] if no tree has this name; [`TreeError::Store`] if the store cannot be
    /// read.
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

    /// Returns the outcome of a challenge.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn receipt(&self, id: WorkId) -> Result<Receipt, StoreError> {
        let core = self.core();
        if let Some((seq, row)) = core.store.read()?.receipt(*id.as_bytes())? {
            return Ok(Receipt::Accepted(LedgerEntry { seq, row }));
        }
        if core.queue.lock().leases.find(id).is_some() {
            return Ok(Receipt::Open);
        }
        // An id contains its time of issue, and so the expiry of its token: the key under which it
        // is closed.
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
