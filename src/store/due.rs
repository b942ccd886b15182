//! What a sweep would remove, found by reading: a sweep that would change nothing need not write.

use std::ops::Bound;

use super::error::{DbResult, StoreError};
use super::ledger::{is_spent, seal_bound};
use super::open::Store;
use super::records::{ClientRow, unseal};
use super::tables::{CLIENTS, CONSUMED};

/// A stretch of stored client rows, as [`Store::idle_clients`] found it.
#[derive(Debug, Default)]
pub struct ClientStretch {
    /// A client of it can be forgotten.
    pub any: bool,
    /// Time of the oldest change of a client in it that has nothing and is not idle yet.
    pub oldest_ms: u64,
    /// The last key of it, if there may be more rows behind.
    pub next: Option<[u8; 16]>,
    /// Rows that do not decode, and why. They are looked past.
    pub damaged: Vec<([u8; 16], StoreError)>,
}

impl Store {
    /// Whether [`Command::PruneConsumed`](super::Command) with `before_ms` would remove a row.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails.
    pub fn has_old_tokens(&self, before_ms: u64) -> Result<bool, StoreError> {
        self.read()?.rows.look(|txn| {
            let consumed = txn.open_table(CONSUMED).db()?;
            Ok(consumed.range(..(before_ms, [0; 16])).db()?.next().transpose().db()?.is_some())
        })
    }

    /// Whether [`Command::SealLedger`](super::Command) with `keep` would remove a row. Reads memory
    /// only.
    pub fn has_old_entries(&self, keep: u64) -> bool {
        let head = self.head();
        head.anchor < seal_bound(&head, keep)
    }

    /// Looks at the rows that [`Command::PruneClients`](super::Command) with the same values would
    /// look at. A row that changes meanwhile may be counted as either; the command decides.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails.
    pub fn idle_clients(&self, before_ms: u64, after: [u8; 16], limit: usize) -> Result<ClientStretch, StoreError> {
        let anchor = self.head().anchor;
        let (mut spent, next, damaged) = self.read()?.rows.look(|txn| {
            let clients = txn.open_table(CLIENTS).db()?;
            let mut spent = Vec::new();
            let (mut seen, mut next, mut damaged) = (0, None, Vec::new());
            for entry in clients.range::<[u8; 16]>((Bound::Excluded(after), Bound::Unbounded)).db()?.take(limit) {
                let (key, raw) = entry.db()?;
                seen += 1;
                next = (seen == limit).then_some(key.value());
                match unseal::<ClientRow>("clients-0", key.value(), raw.value()) {
                    Ok(row) if is_spent(&row, anchor) => spent.push((key.value(), row.updated_ms)),
                    Ok(_) => {}
                    Err(error) => damaged.push((key.value(), error.into())),
                }
            }
            Ok((spent, next, damaged))
        })?;
        // Not while the disk is read: a commit waits for this lock.
        let writer = self.writer.read();
        spent.retain(|(key, _)| !writer.dirty.contains_key(key));
        let oldest_ms = spent.iter().map(|(_, ms)| *ms).filter(|ms| *ms >= before_ms).min();
        let any = spent.iter().any(|(_, ms)| *ms < before_ms);
        Ok(ClientStretch { any, oldest_ms: oldest_ms.unwrap_or(u64::MAX), next, damaged })
    }
}
