//! Removing old rows: consumed tokens, ledger entries, idle clients. The search for them only
//! reads, so that an engine without anything to remove writes nothing.
//!
//! The three are written apart, and each goes on when another fails. A row that does not decode is
//! passed over, and reported once. So is a page that cannot be read, with the rows beside it: a
//! write that met it would be the last one.

use std::sync::atomic::Ordering;

use crate::store::{Command, Outcome, StoreError, TokenKey};

use super::report::SweepReport;
use crate::engine::core::Core;
use crate::engine::error::WriteError;
use crate::engine::event::Event;
use crate::engine::writer::behind::Behind;

/// Rows looked at or removed in one sweep.
const ROWS_PER_SWEEP: usize = 2_048;
/// A client with nothing on its account is forgotten after a day.
const IDLE_CLIENT_MS: u64 = 24 * 3_600_000;
/// The store's newest time is written at least this often, so that a start sees for how long the
/// service was off.
const CLOCK_EVERY_MS: u64 = 3_600_000;
/// The same when leases have ended since it was written: after a crash their tokens are expired
/// too, even if the clock was set back, save those of the last minute.
const CLOCK_AFTER_LEASES_MS: u64 = 60_000;

/// Time between two looks that meet a page that cannot be read and find no row to remove.
const LOOK_EVERY_MS: u64 = 60_000;

/// Removes up to a bound of the rows that are no longer needed. If there are none, nothing is
/// written, unless another reason to write is found.
pub(in crate::engine) fn prune(core: &Core, now_ms: u64, report: &mut SweepReport) -> Result<(), WriteError> {
    if core.writer.is_closing() {
        return Err(WriteError::Closed);
    }
    // A token is refused for its expiry from then on, so its consumption need not be kept; the
    // token's lifetime again is the margin for a clock that was set back before a restart.
    let before_ms = now_ms.saturating_sub(core.config.token_ttl_ms());
    let idle_ms = now_ms.saturating_sub(IDLE_CLIENT_MS);
    let tokens = sweep_tokens(core, now_ms, before_ms, report);
    let sealed = seal_ledger(core, now_ms, report);
    let clients = match search_clients(core, idle_ms) {
        Ok(Some(rows)) => prune_clients(core, idle_ms, rows, report),
        Ok(None) => Ok(()),
        Err(error) => Err(not_looked(error)),
    };
    tokens.and(sealed).and(clients)
}

/// Removes used tokens, and writes what else has to be written. What cannot be read is not
/// written either.
fn sweep_tokens(core: &Core, now_ms: u64, before_ms: u64, report: &mut SweepReport) -> Result<(), WriteError> {
    let mut looked = look_for_tokens(core, now_ms, before_ms);
    if !matches!(looked, Ok(Some(_))) && must_write(core, now_ms) {
        core.writer.write_bulk(vec![Command::Touch])?;
        if looked.is_err() {
            // The write may have opened the store again.
            looked = look_for_tokens(core, now_ms, before_ms);
        }
    }
    let Some((after, limit)) = looked.map_err(not_looked)? else { return Ok(()) };
    let prune = Command::PruneConsumed { after, before_ms, limit };
    for outcome in core.writer.write_bulk(vec![prune])? {
        if let Outcome::Done { rows, more } = outcome {
            report.consumed_pruned = rows;
            report.more |= more;
        }
    }
    Ok(())
}

/// Looks for used tokens that can be removed. Returns how many, and behind which key.
fn look_for_tokens(core: &Core, now_ms: u64, before_ms: u64) -> Result<Option<(TokenKey, usize)>, StoreError> {
    let mut search = core.searches.old_search.lock();
    if now_ms < search.tokens_ms {
        return Ok(None);
    }
    let mut old = core.store.read()?.old_tokens(search.tokens_after, before_ms, ROWS_PER_SWEEP)?;
    if let Some(error) = &old.cut {
        page_unread(core, "consumed-0", error);
    }
    if old.cut.is_some() && old.rows == 0 {
        let behind = core.store.read()?.tokens_behind(search.tokens_after, before_ms)?;
        match behind {
            Some(after) => {
                search.tokens_after = after;
                old = core.store.read()?.old_tokens(after, before_ms, ROWS_PER_SWEEP)?;
            }
            None => search.tokens_ms = now_ms.saturating_add(LOOK_EVERY_MS),
        }
    }
    Ok((old.rows > 0).then_some((search.tokens_after, old.rows)))
}

/// Reports a page that cannot be read, once.
fn page_unread(core: &Core, table: &str, error: &StoreError) {
    core.events.corruption_later(None, format!("rows of {table} cannot be read, and stay: {error}"));
}

fn seal_ledger(core: &Core, now_ms: u64, report: &mut SweepReport) -> Result<(), WriteError> {
    let keep = core.config.settings.ledger_entries_kept;
    if !core.store.has_old_entries(keep) || now_ms < core.searches.old_search.lock().entries_ms {
        return Ok(());
    }
    let anchor = core.store.head().anchor;
    let old = core.store.read().and_then(|reader| reader.old_entries(anchor, ROWS_PER_SWEEP)).map_err(not_looked)?;
    if let Some(error) = &old.cut {
        page_unread(core, "ledger-0", error);
    }
    if old.rows == 0 {
        core.searches.old_search.lock().entries_ms = now_ms.saturating_add(LOOK_EVERY_MS);
        return Ok(());
    }
    for outcome in core.writer.write_bulk(vec![Command::SealLedger { keep, limit: old.rows }])? {
        report_skipped(core, &outcome);
        if let Outcome::Walked { rows, more, .. } = outcome {
            report.sealed = rows;
            report.more |= more;
        }
    }
    Ok(())
}

fn prune_clients(core: &Core, before_ms: u64, limit: usize, report: &mut SweepReport) -> Result<(), WriteError> {
    let after = core.searches.client_search.lock().after;
    let prune = Command::PruneClients { before_ms, after, limit };
    for outcome in core.writer.write_bulk(vec![prune])? {
        if let Outcome::Scanned { rows, next } = outcome {
            report.clients_pruned = rows;
            core.searches.client_search.lock().removed(next);
        }
    }
    Ok(())
}

/// Reports rows that a walk along the ledger has passed over.
pub(in crate::engine) fn report_skipped(core: &Core, outcome: &Outcome) {
    if let Outcome::Walked { skipped, .. } = outcome {
        skipped.iter().for_each(|what| core.events.corruption_later(None, what.clone()));
    }
}

/// Looks at the next stretch of client rows. Returns the number of its rows if a client of it
/// can be forgotten; if not, the search goes on behind it the next time.
fn search_clients(core: &Core, before_ms: u64) -> Result<Option<usize>, StoreError> {
    let mut search = core.searches.client_search.lock();
    // Before the rows are read: a commit meanwhile begins another round.
    let commit_seq = core.store.head().commit_seq;
    if search.rests(commit_seq, before_ms) {
        return Ok(None);
    }
    let mut stretch = core.store.idle_clients(before_ms, search.after, ROWS_PER_SWEEP)?;
    for what in search.news(&stretch) {
        core.events.later(Event::CorruptionFound { tree: None, what });
    }
    if let Some(error) = &stretch.cut {
        page_unread(core, "clients-0", error);
        if stretch.rows == 0 {
            stretch.next = match search.known() {
                Some(next) => Some(next),
                None => core.store.read()?.clients_behind(search.after)?,
            };
            stretch.next.into_iter().for_each(|next| search.remember(next));
        }
    }
    if !stretch.any {
        search.pass(commit_seq, &stretch);
    }
    Ok(stretch.any.then_some(stretch.rows))
}

/// Whether a sweep has to write although no row is removed.
fn must_write(core: &Core, now_ms: u64) -> bool {
    // Until a commit goes through, the store may need to be opened again. Standings are left to
    // the writer, which paces them.
    let failed = core.store.has_failed() || core.tallies.commits_failed_in_row.load(Ordering::SeqCst) > 0;
    let clock_ms = core.store.head().clock_ms;
    // Once the tokens of earlier boots have expired, so that a clock set back revives none.
    let expired_ms = core.time.opened_ms().saturating_add(core.config.token_ttl_ms());
    let age_ms = now_ms.saturating_sub(clock_ms);
    let ended = clock_ms < core.searches.lease_ended_ms.load(Ordering::SeqCst);
    let clock = age_ms >= CLOCK_EVERY_MS
        || (ended && age_ms >= CLOCK_AFTER_LEASES_MS)
        || (clock_ms < expired_ms && expired_ms <= now_ms);
    failed || clock || !Behind::due(core, 1, 0).is_empty()
}

/// The failure of a look for old rows, after which nothing is written.
fn not_looked(error: StoreError) -> WriteError {
    match error {
        StoreError::Closed => WriteError::Closed,
        other => WriteError::NotStored(other.to_string()),
    }
}
