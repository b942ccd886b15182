//! Credits: balances, entries, debits, receipts.

use crate::merkle::{Commitment, InclusionProof, LeafIndex, Shape};
use crate::protocol::{ClientDigest, DifficultyTier, MicroJoules, UnixMillis, WorkId};
use crate::store::rows::{EntryKind, LedgerRow, TreeState};
use crate::store::{self, Command, NO_ENTRY, Outcome, Refused, StoreError, VOTED};

use super::error::{DebitError, TreeError, WriteError};
use super::handle::PouwEngine;
use super::tree_id::TreeId;
use super::trees::commitment::commitment;
use crate::engine::trees::stored;

/// One entry of the ledger: a credit, a debit, or a correction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LedgerEntry {
    /// Sequence number, gapless.
    pub seq: u64,
    /// Challenge id of the unit; the caller's key of a debit; a number of a correction.
    pub id: WorkId,
    /// Keyed digest of the client.
    pub client: ClientDigest,
    /// The tree; `None` for debits and made-up work.
    pub tree: Option<TreeId>,
    /// First leaf of the range; node index for [`EntryKind::Interior`].
    pub start: u64,
    /// log2 of the range; level for [`EntryKind::Interior`].
    pub order: u8,
    /// What it records.
    pub kind: EntryKind,
    /// Difficulty tier of the unit; low for debits and corrections.
    pub tier: DifficultyTier,
    /// Leaves that became done with it.
    pub leaves: u32,
    /// Hashes in the unit.
    pub nodes: u32,
    /// Added by an award, taken by a debit.
    pub amount: MicroJoules,
    /// Engine time.
    pub at: UnixMillis,
    /// The client's entry before this one; `None` for its first.
    pub previous: Option<u64>,
    /// First 32 bytes of SHA3-512 over a tag, the digest of the entry before this one, the sequence
    /// number and the other fields.
    pub digest: [u8; 32],
}

impl LedgerEntry {
    fn of(seq: u64, row: &LedgerRow) -> Self {
        let tier = DifficultyTier::ALL.get(usize::from(row.tier)).copied().unwrap_or_default();
        let of_tree = !matches!(row.kind, EntryKind::Debit | EntryKind::Synthetic);
        Self {
            seq,
            id: row.id,
            client: row.client,
            tree: of_tree.then(|| TreeId::new(row.tree)),
            start: row.start,
            order: row.order,
            kind: row.kind,
            tier,
            leaves: row.leaves,
            nodes: row.nodes,
            amount: MicroJoules(row.amount),
            at: UnixMillis(row.at_ms),
            previous: (row.previous != NO_ENTRY).then_some(row.previous),
            digest: row.digest,
        }
    }

    /// Whether its digest is the right one after an entry with the digest `before`. Before the
    /// first entry of a store that is 32 zeroes.
    pub fn follows(&self, before: &[u8; 32]) -> bool {
        self.row().chained(before, self.seq) == self.digest
    }

    fn row(&self) -> LedgerRow {
        LedgerRow {
            id: self.id,
            client: self.client,
            tree: self.tree.map_or(0, TreeId::get),
            start: self.start,
            order: self.order,
            kind: self.kind,
            tier: self.tier as u8,
            leaves: self.leaves,
            nodes: self.nodes,
            amount: self.amount.0,
            at_ms: self.at.0,
            previous: self.previous.unwrap_or(NO_ENTRY),
            digest: self.digest,
        }
    }
}

/// A debit that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Debit {
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
    /// Known for one or two lifetimes of its token.
    Voted,
    /// Its answer was refused for good, and the challenge is closed. Known for one or two lifetimes
    /// of its token, and not for challenges issued before that lifetime was reconfigured.
    Refused,
    /// Unknown: never issued, expired unanswered, or closed long ago.
    Unknown,
}

impl PouwEngine {
    /// Returns the keyed digest that names a client in the store, to find it among the entries of
    /// the ledger.
    pub fn client_digest(&self, client: &[u8]) -> ClientDigest {
        self.core().keys.digest_of(client)
    }

    /// Returns the credits of a client.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn balance(&self, client: &[u8]) -> Result<MicroJoules, StoreError> {
        let row = self.core().store.client(self.client_digest(client))?;
        Ok(MicroJoules(row.balance))
    }

    /// Returns up to `limit` entries of all clients, from `from` on.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn ledger(&self, from: u64, limit: usize) -> Result<Vec<LedgerEntry>, StoreError> {
        let rows = self.core().store.read()?.ledger(from, limit)?;
        Ok(rows.iter().map(|(seq, row)| LedgerEntry::of(*seq, row)).collect())
    }

    /// Returns up to `limit` entries of one client, newest first, older than `before` if given.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn ledger_of(&self, client: &[u8], before: Option<u64>, limit: usize) -> Result<Vec<LedgerEntry>, StoreError> {
        let core = self.core();
        let digest = self.client_digest(client);
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
                out.push(LedgerEntry::of(next, &row));
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
    pub fn debit(&self, client: &[u8], amount: MicroJoules, key: [u8; 16]) -> Result<Debit, DebitError> {
        let core = self.core();
        let debit = store::Debit {
            key: store::DebitKey::from_bytes(key),
            client: self.client_digest(client),
            amount: amount.0,
            at_ms: core.time.now_ms(),
        };
        match core.writer.write(Command::Debit(debit))? {
            Outcome::Debited { seq, balance, repeated } => Ok(Debit { seq, balance: MicroJoules(balance), repeated }),
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
    /// [`TreeError::Store`] if the store cannot be read.
    pub fn proof_of(&self, entry: &LedgerEntry) -> Result<Option<WorkProof>, TreeError> {
        let Some(tree) = entry.tree.map(TreeId::get) else { return Ok(None) };
        if !(entry.kind.is_of_leaves() || entry.kind == EntryKind::Interior) {
            return Ok(None);
        }
        let core = self.core();
        let row = core.store.read()?.tree(tree)?.filter(|row| row.state == TreeState::Complete);
        let Some(row) = row else { return Ok(None) };
        let leaf = match (entry.kind, Shape::new(row.leaves)) {
            // The first leaf below the node.
            (EntryKind::Interior, Ok(shape)) => entry.start << shape.height().saturating_sub(entry.order),
            _ => entry.start,
        };
        let leaf = LeafIndex(leaf);
        let proof = stored::prove_leaf(core, tree, &row, leaf)?;
        Ok(Some(WorkProof { leaf, commitment: commitment(&row), proof }))
    }

    /// Returns the outcome of a challenge.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn receipt(&self, id: WorkId) -> Result<Receipt, StoreError> {
        let core = self.core();
        if let Some((seq, row)) = core.store.read()?.receipt(id)? {
            return Ok(Receipt::Accepted(LedgerEntry::of(seq, &row)));
        }
        if core.queue.lock().leases.find(id).is_some() {
            return Ok(Receipt::Open);
        }
        // An id contains its time of issue, and so the expiry of its token: the key under which it
        // is closed.
        let expires_ms = id.unix_millis().0.saturating_add(core.config.token_ttl_ms());
        if core.refused.contains(&id) {
            return Ok(Receipt::Refused);
        }
        let reader = core.store.read()?;
        Ok(match reader.consumed(expires_ms, id)? {
            Some(NO_ENTRY) => Receipt::Refused,
            Some(VOTED) => Receipt::Voted,
            // The row under its id is lost.
            Some(seq) => match reader.ledger_entry(seq)? {
                Some(row) => Receipt::Accepted(LedgerEntry::of(seq, &row)),
                None => Receipt::Unknown,
            },
            None => Receipt::Unknown,
        })
    }
}
