//! What a sweep would remove, found by reading: a sweep that would change nothing need not write,
//! and one that would meet a page that cannot be read must not: redb gives up on it, and the store
//! stays closed.
//!
//! To remove a row, redb may read the pages beside the row's own, and merge branches above them. So
//! rows within as many as a branch has below it stay beside a page that cannot be read.

use std::ops::{Bound, RangeBounds};

use redb::{Key, TableDefinition, Value};

use crate::protocol::ClientDigest;
use crate::store::error::StoreError;
use crate::store::redb::errors::DbResult;
use crate::store::redb::open::Store;
use crate::store::redb::read::Reader;
use crate::store::redb::tables::{InRedb, RedbKey as _};
use crate::store::rows::RowError;
use crate::store::rules::ledger::{is_spent, seal_bound};
use crate::store::schema::{Clients, Consumed, FIRST_ID, Ledger, TokenKey};
use crate::store::table::Table;

/// Rows of each table that fill 128 pages, more than a branch has below it.
const TOKENS_BESIDE: usize = 16_384;
const ENTRIES_BESIDE: usize = 4_096;
const CLIENTS_BESIDE: usize = 8_192;
/// Most searches for rows behind pages that cannot be read, one for each run of such pages.
const SEARCHES: usize = 8;

/// Old rows, as a look found them.
#[derive(Debug, Default)]
pub struct OldRows {
    /// Rows from the beginning on that one command may remove.
    pub rows: usize,
    /// Why there are not more, if a page cannot be read.
    pub cut: Option<StoreError>,
}

/// A stretch of stored client rows, as [`Store::idle_clients`] found it.
#[derive(Debug, Default)]
pub struct ClientStretch {
    /// A client of it can be forgotten.
    pub any: bool,
    /// Rows in it.
    pub rows: usize,
    /// Time of the oldest change of a client in it that has nothing and is not idle yet.
    pub oldest_ms: u64,
    /// The last key of it, if there may be more rows behind.
    pub next: Option<ClientDigest>,
    /// Rows that do not decode, and why. They are looked past.
    pub damaged: Vec<(ClientDigest, StoreError)>,
    /// Why it is shorter than asked for, if a page cannot be read.
    pub cut: Option<StoreError>,
}

/// A client row of a look.
struct Looked {
    key: ClientDigest,
    /// When it changed, if it has nothing on its account.
    spent_ms: Result<Option<u64>, RowError>,
}

impl Store {
    /// Looks at the rows behind `after` that `Command::PruneConsumed` with the
    /// same values would remove.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails. A page of these rows that cannot be read is none.
    pub fn old_tokens(&self, after: TokenKey, before_ms: u64, limit: usize) -> Result<OldRows, StoreError> {
        let (mut seen, mut old) = (0, 0);
        let cut = self.read()?.walk(Consumed::DEFINITION, behind_key(after.form()), |(expiry_ms, _), _| {
            seen += 1;
            old += usize::from(expiry_ms < before_ms && old < limit);
            old > 0 && seen - old < TOKENS_BESIDE
        })?;
        let rows = if cut.is_some() { old.min(seen.saturating_sub(TOKENS_BESIDE)) } else { old };
        Ok(OldRows { rows, cut })
    }

    /// The key behind which used tokens can be removed again, after a page behind `after` that
    /// cannot be read; `None` if there is no such key yet among those that expired before
    /// `before_ms`.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails.
    pub fn tokens_behind(&self, after: TokenKey, before_ms: u64) -> Result<Option<TokenKey>, StoreError> {
        let reader = self.read()?;
        search(
            TOKENS_BESIDE,
            (after.0, before_ms),
            |(expiry_ms, _)| *expiry_ms,
            |from, count| {
                let mut keys = Vec::new();
                let cut = reader.walk(Consumed::DEFINITION, (from, FIRST_ID).form().., |key, _| {
                    keys.push(TokenKey::owned(key));
                    keys.len() < count
                })?;
                Ok((keys, cut.is_some()))
            },
        )
    }

    /// Whether `Command::SealLedger` with `keep` would remove a row. Reads memory
    /// only.
    pub fn has_old_entries(&self, keep: u64) -> bool {
        let head = self.head();
        head.anchor < seal_bound(&head, keep)
    }

    /// Looks at the ledger entries that `Command::SealLedger` with the same
    /// `limit` would remove. Numbers without an entry count too.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails. A page of these rows that cannot be read is none.
    pub fn old_entries(&self, limit: usize) -> Result<OldRows, StoreError> {
        let anchor = self.head().anchor;
        let mut seqs = Vec::new();
        let cut = self.read()?.walk(Ledger::DEFINITION, anchor.., |seq, _| {
            seqs.push(seq);
            seqs.len() < limit + ENTRIES_BESIDE
        })?;
        let first_kept = seqs.len().checked_sub(ENTRIES_BESIDE).and_then(|at| seqs.get(at));
        let rows = match (&cut, first_kept) {
            (None, _) => limit,
            (Some(_), Some(seq)) => limit.min(usize::try_from(seq - anchor).unwrap_or(limit)),
            (Some(_), None) => 0,
        };
        Ok(OldRows { rows, cut })
    }

    /// Looks at the rows that `Command::PruneClients` with the same values would
    /// look at. A row that changes meanwhile may be counted as either; the command decides.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails. A page of these rows that cannot be read is none.
    pub fn idle_clients(&self, before_ms: u64, after: ClientDigest, limit: usize) -> Result<ClientStretch, StoreError> {
        let anchor = self.head().anchor;
        let reader = self.read()?;
        let mut rows = Vec::new();
        let cut = reader.walk(Clients::DEFINITION, behind_key(after.form()), |key, raw| {
            let key = ClientDigest::owned(key);
            let spent_ms = Clients::decode(&key, raw).map(|row| is_spent(&row, anchor).then_some(row.updated_ms));
            rows.push(Looked { key, spent_ms });
            rows.len() < limit + CLIENTS_BESIDE
        })?;
        let readable = if cut.is_some() { rows.len().saturating_sub(CLIENTS_BESIDE) } else { rows.len() };
        rows.truncate(readable.min(limit));
        drop(reader);
        let next = rows.last().filter(|_| cut.is_some() || rows.len() == limit).map(|last| last.key);
        let mut stretch = ClientStretch { rows: rows.len(), oldest_ms: u64::MAX, next, cut, ..Default::default() };
        // Not while the disk is read: a commit waits for this lock.
        let writer = self.writer.read();
        for Looked { key, spent_ms } in rows {
            match spent_ms {
                Ok(Some(ms)) if !writer.dirty.contains_key(&key) && ms < before_ms => stretch.any = true,
                Ok(Some(ms)) if !writer.dirty.contains_key(&key) => stretch.oldest_ms = stretch.oldest_ms.min(ms),
                Ok(_) => {}
                Err(error) => stretch.damaged.push((key, error.into())),
            }
        }
        Ok(stretch)
    }

    /// The key behind which client rows can be removed again, after a page behind `after` that
    /// cannot be read; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails.
    pub fn clients_behind(&self, after: ClientDigest) -> Result<Option<ClientDigest>, StoreError> {
        let reader = self.read()?;
        let prefix = |key: &[u8; 16]| u64::from_be_bytes(*key.first_chunk().unwrap_or(&[0; 8]));
        let last = reader.last_readable(Clients::DEFINITION, after.form())?;
        let found = search(CLIENTS_BESIDE, (prefix(&last), u64::MAX), prefix, |from, count| {
            let mut first = [0; 16];
            first[..8].copy_from_slice(&from.to_be_bytes());
            let mut keys = Vec::new();
            let cut = reader.walk(Clients::DEFINITION, first.., |key, _| {
                keys.push(key);
                keys.len() < count
            })?;
            Ok((keys, cut.is_some()))
        });
        Ok(found?.map(ClientDigest::owned))
    }
}

fn behind_key<K>(key: K) -> (Bound<K>, Bound<K>) {
    (Bound::Excluded(key), Bound::Unbounded)
}

impl Reader {
    /// The last row before the page behind `after` that cannot be read, or `after`.
    fn last_readable<K, V>(&self, table: TableDefinition<'_, K, V>, after: K) -> Result<K, StoreError>
    where
        K: Copy + Key + for<'k> Value<SelfType<'k> = K> + std::borrow::Borrow<K> + 'static,
        V: Value + 'static,
    {
        let (mut last, mut seen) = (after, 0);
        self.walk(table, behind_key(after), |key, _| {
            (last, seen) = (key, seen + 1);
            seen <= CLIENTS_BESIDE
        })?;
        Ok(last)
    }

    /// Hands rows to `each` until that returns false. Returns the error of a page that cannot be
    /// read, which ends it.
    fn walk<K, V>(
        &self,
        table: TableDefinition<'_, K, V>,
        range: impl RangeBounds<K> + 'static,
        mut each: impl for<'v> FnMut(K, V::SelfType<'v>) -> bool,
    ) -> Result<Option<StoreError>, StoreError>
    where
        K: Key + for<'k> Value<SelfType<'k> = K> + std::borrow::Borrow<K> + 'static,
        V: Value + 'static,
    {
        let mut open = false;
        let walked = self.rows.look_inside(|txn| {
            let table = txn.open_table(table).db()?;
            open = true;
            for entry in table.range::<K>(range).db()? {
                let (key, raw) = entry.db()?;
                if !each(key.value(), raw.value()) {
                    break;
                }
            }
            Ok(())
        });
        match walked {
            Ok(()) => Ok(None),
            Err(error @ StoreError::Corrupted { .. }) if open => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }
}

/// Searches for rows behind a page that cannot be read, of which as many as `beside` are passed
/// over. Returns the last of these. `read` reads rows from a number on, and says whether it met
/// such a page; `number` is the number of a key. The row at the number `bad` is on such a page,
/// or before it.
fn search<K: Copy>(
    beside: usize,
    (mut bad, end): (u64, u64),
    number: impl Fn(&K) -> u64,
    read: impl Fn(u64, usize) -> Result<(Vec<K>, bool), StoreError>,
) -> Result<Option<K>, StoreError> {
    for _ in 0..SEARCHES {
        let Some(good) = first_readable((bad, end), |from| Ok(!read(from, 1)?.1))? else { return Ok(None) };
        let (keys, cut) = read(good, beside)?;
        match keys.last() {
            Some(last) if keys.len() == beside => return Ok(Some(*last)),
            Some(last) if cut => bad = number(last).max(good),
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// The first number above `bad`, up to `end`, from which a row can be read: in growing steps, then
/// halving the last one.
fn first_readable(
    (mut bad, end): (u64, u64),
    reads: impl Fn(u64) -> Result<bool, StoreError>,
) -> Result<Option<u64>, StoreError> {
    let mut step = 1;
    let mut good = loop {
        if bad >= end {
            return Ok(None);
        }
        let at = bad.saturating_add(step).min(end);
        if reads(at)? {
            break at;
        }
        (bad, step) = (at, step.saturating_mul(2));
    };
    while good - bad > 1 {
        let middle = bad + (good - bad) / 2;
        if reads(middle)? { good = middle } else { bad = middle }
    }
    Ok(Some(good))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_finds_the_first_number_that_can_be_read_and_ends() {
        let find = |bad, end, from: u64| first_readable((bad, end), |at| Ok(at >= from)).unwrap();
        assert_eq!(find(0, u64::MAX, 1), Some(1));
        assert_eq!(find(3, u64::MAX, 1_700_000_000_000), Some(1_700_000_000_000));
        assert_eq!(find(3, 100, 100), Some(100));
        assert_eq!((find(3, 100, 101), find(u64::MAX, u64::MAX, 0)), (None, None));
    }

    #[test]
    fn rows_beside_pages_that_cannot_be_read_are_passed_over() {
        // Numbers below 1 000 and from 1 100 to 2 000 cannot be read.
        let read = |from: u64, count: usize| {
            let bad = |at: &u64| *at < 1_000 || (1_100..2_000).contains(at);
            let keys: Vec<u64> = (from..5_000).take(count).take_while(|at| !bad(at)).collect();
            let cut = keys.len() < count && from + (keys.len() as u64) < 5_000;
            Ok((keys, cut))
        };
        assert_eq!(search(256, (0, 4_000), |key| *key, read).unwrap(), Some(2_000 + 256 - 1));
        assert_eq!(search(256, (0, 1_500), |key| *key, read).unwrap(), None);
    }
}
