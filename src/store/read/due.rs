//! What a sweep would remove, found by reading: a sweep that would change nothing need not write,
//! and one that would meet a page that cannot be read must not: redb gives up on it, and the store
//! stays closed.
//!
//! To remove a row, redb may read the pages beside the row's own, and merge branches above them. So
//! rows within as many as a branch has below it stay beside a page that cannot be read.

use std::ops::RangeBounds;

use crate::protocol::ClientDigest;
use crate::store::error::StoreError;
use crate::store::port::{Rows, Snapshot, View, behind, more_if};
use crate::store::rows::RowError;
use crate::store::rules::ledger::is_spent;
use crate::store::rules::state::WriterState;
use crate::store::schema::{Clients, Consumed, FIRST_ID, Ledger, TokenKey};
use crate::store::table::{Owned, Table};

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

/// A stretch of stored client rows, as `Store::idle_clients` found it.
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

/// See `Reader::old_tokens`.
pub(super) fn old_tokens(
    rows: &impl Snapshot<View: View>,
    after: TokenKey,
    before_ms: u64,
    limit: usize,
) -> Result<OldRows, StoreError> {
    let (mut seen, mut old) = (0, 0);
    let cut = walk(rows, Consumed, behind(Some(after)), |(expiry_ms, _), _| {
        seen += 1;
        old += usize::from(expiry_ms < before_ms && old < limit);
        old > 0 && seen - old < TOKENS_BESIDE
    })?;
    let rows = if cut.is_some() { old.min(seen.saturating_sub(TOKENS_BESIDE)) } else { old };
    Ok(OldRows { rows, cut })
}

/// See `Reader::tokens_behind`.
pub(super) fn tokens_behind(
    rows: &impl Snapshot<View: View>,
    after: TokenKey,
    before_ms: u64,
) -> Result<Option<TokenKey>, StoreError> {
    search(
        TOKENS_BESIDE,
        (after.0, before_ms),
        |(expiry_ms, _)| *expiry_ms,
        |from, count| {
            let mut keys = Vec::new();
            let cut = walk(rows, Consumed, (from, FIRST_ID).., |key, _| {
                keys.push(key);
                keys.len() < count
            })?;
            Ok((keys, cut.is_some()))
        },
    )
}

/// See `Reader::old_entries`.
pub(super) fn old_entries(rows: &impl Snapshot<View: View>, anchor: u64, limit: usize) -> Result<OldRows, StoreError> {
    let mut seqs = Vec::new();
    let cut = walk(rows, Ledger, anchor.., |seq, _| {
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

/// Client rows as a look found them.
pub(in crate::store) struct Idle {
    rows: Vec<Looked>,
    next: Option<ClientDigest>,
    cut: Option<StoreError>,
}

/// The first half of `Store::idle_clients`: what is stored.
pub(in crate::store) fn idle_clients(
    rows: &impl Snapshot<View: View>,
    anchor: u64,
    after: ClientDigest,
    limit: usize,
) -> Result<Idle, StoreError> {
    let mut looked = Vec::new();
    let cut = walk(rows, Clients, behind(Some(after)), |key, bytes| {
        let spent_ms = Clients::decode(&key, bytes).map(|row| is_spent(&row, anchor).then_some(row.updated_ms));
        looked.push(Looked { key, spent_ms });
        looked.len() < limit + CLIENTS_BESIDE
    })?;
    let readable = if cut.is_some() { looked.len().saturating_sub(CLIENTS_BESIDE) } else { looked.len() };
    looked.truncate(readable.min(limit));
    let next = looked.last().filter(|_| cut.is_some() || looked.len() == limit).map(|last| last.key);
    Ok(Idle { rows: looked, next, cut })
}

impl Idle {
    /// The second half: a row that changed since and is not written yet is not idle.
    pub(in crate::store) fn stretch(self, writer: &WriterState, before_ms: u64) -> ClientStretch {
        let Self { rows, next, cut } = self;
        let mut stretch = ClientStretch { rows: rows.len(), oldest_ms: u64::MAX, next, cut, ..Default::default() };
        for Looked { key, spent_ms } in rows {
            match spent_ms {
                Ok(Some(ms)) if !writer.dirty.contains_key(&key) && ms < before_ms => stretch.any = true,
                Ok(Some(ms)) if !writer.dirty.contains_key(&key) => stretch.oldest_ms = stretch.oldest_ms.min(ms),
                Ok(_) => {}
                Err(error) => stretch.damaged.push((key, error.into())),
            }
        }
        stretch
    }
}

/// See `Reader::clients_behind`.
pub(super) fn clients_behind(
    rows: &impl Snapshot<View: View>,
    after: ClientDigest,
) -> Result<Option<ClientDigest>, StoreError> {
    let prefix = |key: &ClientDigest| u64::from_be_bytes(*key.as_bytes().first_chunk().unwrap_or(&[0; 8]));
    let last = last_readable(rows, after)?;
    search(CLIENTS_BESIDE, (prefix(&last), u64::MAX), prefix, |from, count| {
        let mut first = [0; 16];
        first[..8].copy_from_slice(&from.to_be_bytes());
        let mut keys = Vec::new();
        let cut = walk(rows, Clients, ClientDigest::from_bytes(first).., |key, _| {
            keys.push(key);
            keys.len() < count
        })?;
        Ok((keys, cut.is_some()))
    })
}

/// The last client before the page behind `after` that cannot be read, or `after`.
fn last_readable(rows: &impl Snapshot<View: View>, after: ClientDigest) -> Result<ClientDigest, StoreError> {
    let (mut last, mut seen) = (after, 0);
    walk(rows, Clients, behind(Some(after)), |key, _| {
        (last, seen) = (key, seen + 1);
        seen <= CLIENTS_BESIDE
    })?;
    Ok(last)
}

/// Hands rows to `each` until that returns false. Returns the error of a page that cannot be read,
/// which ends it.
fn walk<T: Table>(
    rows: &impl Snapshot<View: Rows<T>>,
    table: T,
    range: impl RangeBounds<Owned<T>>,
    mut each: impl FnMut(Owned<T>, &[u8]) -> bool,
) -> Result<Option<StoreError>, StoreError> {
    let mut open = false;
    let walked = rows.look(|rows| {
        open = rows.is_there(table)?;
        rows.each_stored(table, range, |key, bytes| Ok(more_if(each(key, bytes))))
    });
    match walked {
        Ok(()) => Ok(None),
        Err(error @ StoreError::Corrupted { .. }) if open => Ok(Some(error)),
        Err(error) => Err(error),
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
