//! Rounds of upkeep: they keep the ready ring full, fold and validate finished trees, and remove
//! rows that are no longer needed.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use crate::store::{CHORE_DROP, CHORE_PURGE, Command, Dropped, Outcome, StoreError, TreeNumber};

use super::report::{SweepReport, UpkeepError, UpkeepReport};
use super::rest::SWEEP_EVERY_MS;
use crate::engine::backlog::damaged;
use crate::engine::backlog::refill;
use crate::engine::backlog::refill_interior;
use crate::engine::core::Core;
use crate::engine::handle::PouwEngine;
use crate::engine::trees::assemble;
use crate::engine::trees::settle_doubts;
use crate::engine::upkeep::chores::{self, TREES_PER_ROUND};
use crate::engine::upkeep::failures;
use crate::engine::upkeep::sweep;

/// Most rows removed in one step.
pub(super) const ROWS_PER_STEP: usize = 2_048;
/// Stretches of trees looked at in one round of the search for left-over data.
const LEFTOVER_PAGES: usize = 16;

impl PouwEngine {
    /// Does one bounded round of upkeep: refills the ring, assembles finished trees, removes rows.
    /// The background thread does the same; a host that turned it off calls this about as often as
    /// it issues.
    ///
    /// # Errors
    /// A read or a write of the store failed. The other parts of the round are done nevertheless.
    pub fn upkeep(&self) -> Result<UpkeepReport, UpkeepError> {
        upkeep(self.core(), true, &|| false)
    }

    /// Refills the ready ring if it is below its minimum. Returns the number of units added.
    ///
    /// # Errors
    /// A read of the store failed.
    pub fn refill(&self) -> Result<usize, StoreError> {
        Ok(refill::refill(self.core())? + refill_interior::refill_interior(self.core())?)
    }
}

/// Does one round. Dropping data waits until `eager`, or until many trees wait for it, because
/// each transaction of the block file costs time in proportion to the file. Folding trees and
/// removing rows may take long, so both end behind one of their steps if `pause` says so, and
/// the next round continues.
pub(super) fn upkeep(core: &Core, eager: bool, pause: &dyn Fn() -> bool) -> Result<UpkeepReport, UpkeepError> {
    let _one = core.turns.upkeep.lock();
    let mut done = UpkeepReport::default();
    // One part that fails does not keep the others from their work; the first failure is
    // reported.
    let marked = damaged::mark_damaged(core);
    let refilled = refill::refill(core);
    // While an export verifies leaves, no other thread may correct or fold them. It wakes this
    // thread when it ends.
    let free = core.turns.audit.try_lock();
    let doubts = if free.is_some() { settle_doubts::settle_doubts(core) } else { Ok(0) };
    let taken_over = assemble::take_over_folding(core);
    let assembled = assemble::assemble(core, free.is_some(), pause);
    drop(free);
    core.events.report_stored();
    let interior = refill_interior::refill_interior(core);
    let removed = [CHORE_DROP, CHORE_PURGE].map(|kind| remove_due(core, kind, eager, pause));
    let left_over = if eager { remove_leftovers(core, pause) } else { Ok(0) };
    marked?;
    done.refilled = refilled? + interior?;
    done.doubts = doubts?;
    taken_over?;
    done.completed = assembled?;
    for rows in removed {
        done.removed += rows?;
    }
    done.removed += left_over?;
    Ok(done)
}

fn remove_due(core: &Core, kind: u8, eager: bool, pause: &dyn Fn() -> bool) -> Result<usize, UpkeepError> {
    let now_ms = core.time.now_ms();
    let from = &core.searches.removal_from[usize::from(kind == CHORE_DROP)];
    loop {
        let after = from.load(Ordering::Relaxed).checked_sub(1);
        let trees = chores::chores_due(core, kind, after, |tree| core.searches.undropped.lock().is_due(tree, now_ms))?;
        // Trees whose data stays do not keep the others from their turn.
        let full = trees.len() >= TREES_PER_ROUND;
        from.store(trees.last().filter(|_| full).map_or(0, |last| last.saturating_add(1)), Ordering::Relaxed);
        if !eager && !full {
            return Ok(0);
        }
        let removed = remove(core, kind, &trees, pause)?;
        if removed > 0 || !full || core.writer.is_closing() || pause() {
            return Ok(removed);
        }
    }
}

/// Removes block data, then the rows of these trees in the state file. Every step removes
/// something or finishes a tree, so it goes on even if `pause` is true each time.
fn remove(core: &Core, kind: u8, trees: &[TreeNumber], pause: &dyn Fn() -> bool) -> Result<usize, UpkeepError> {
    let mut removed = 0;
    let mut left = trees;
    while !left.is_empty() && !core.writer.is_closing() {
        let Dropped { rows, through, kept } = drop_blocks(core, left)?;
        removed += rows;
        let (emptied, rest) = left.split_at(through);
        put_off(core, emptied, &kept);
        left = rest;
        let mut emptied = emptied.to_vec();
        emptied.retain(|tree| kept.iter().all(|(kept, _)| kept != tree));
        while !emptied.is_empty() && !core.writer.is_closing() {
            let limit = (ROWS_PER_STEP / emptied.len()).max(1);
            let step = |tree: &TreeNumber| match kind {
                CHORE_DROP => Command::DropData { tree: *tree, limit },
                _ => Command::Purge { tree: *tree, limit },
            };
            let commands: Vec<Command> = emptied.iter().map(step).collect();
            let mut fates = Vec::new();
            let written = core.writer.write_each(&commands, &mut fates);
            let mut fates = fates.into_iter();
            emptied.retain(|tree| match fates.next() {
                Some(Ok(Outcome::Done { rows, more })) => {
                    removed += rows as usize;
                    more
                }
                Some(Err(what)) => {
                    core.events.corruption_later(Some(*tree), what);
                    false
                }
                _ => false,
            });
            written?;
            if pause() {
                return Ok(removed);
            }
        }
        if through == 0 && pause() {
            break;
        }
    }
    Ok(removed)
}

/// Data of trees that stays is tried again after growing pauses.
fn put_off(core: &Core, trees: &[TreeNumber], kept: &[(TreeNumber, StoreError)]) {
    let mut undropped = core.searches.undropped.lock();
    for tree in trees {
        match kept.iter().find(|(kept, _)| kept == tree) {
            // It is reported where the data is found to stay.
            Some((_, error)) => drop(undropped.failed(*tree, &error.to_string(), core.time.now_ms())),
            None => undropped.forget(*tree),
        }
    }
}

/// Removes up to a bound of the block data of these trees. No ingest writes meanwhile. Data that
/// stays is reported once.
fn drop_blocks(core: &Core, trees: &[TreeNumber]) -> Result<Dropped, StoreError> {
    let alone = core.turns.both_files.read();
    let dropped = core.store.drop_blocks(trees, ROWS_PER_STEP)?;
    drop(alone);
    for (tree, error) in &dropped.kept {
        let what = format!("block data that is not needed any more stays: {error}");
        core.events.corruption_later(Some(*tree), what);
    }
    Ok(dropped)
}

/// Goes on with the search for block data that belongs to no tree, and removes what it finds.
/// The search runs once after each open; nothing that runs after it leaves such data behind.
fn remove_leftovers(core: &Core, pause: &dyn Fn() -> bool) -> Result<usize, UpkeepError> {
    let mut removed = 0;
    for _ in 0..LEFTOVER_PAGES {
        let Some(from) = *core.searches.leftover_from.lock() else { break };
        let found = core.store.leftovers(from, TREES_PER_ROUND)?;
        let mut left = &found.trees[..];
        while !left.is_empty() {
            if core.writer.is_closing() || (removed > 0 && pause()) {
                return Ok(removed);
            }
            let dropped = drop_blocks(core, left)?;
            removed += dropped.rows;
            left = &left[dropped.through..];
        }
        if let Some(error) = found.unread {
            core.events.corruption_later(None, format!("a search for left-over block data passed over: {error}"));
        }
        *core.searches.leftover_from.lock() = found.next;
        if pause() {
            break;
        }
    }
    Ok(removed)
}

fn sweep_is_due(core: &Core, swept_ms: u64) -> bool {
    core.time.now_ms().saturating_sub(swept_ms) >= SWEEP_EVERY_MS
}

/// Sweeps if a second of engine time has passed since the last sweep, and again while there is
/// more to do, up to a bound. A failure is reported as an event; the next sweep tries again.
/// Returns whether it was due.
pub(in crate::engine) fn sweep_if_due(core: &Core, swept_ms: &mut u64) -> bool {
    if core.writer.is_closing() || !sweep_is_due(core, *swept_ms) {
        return false;
    }
    let (_, mut more, mut swept) = sweep::sweep(core);
    let in_a_row = SWEEPS_IN_A_ROW;
    #[cfg(feature = "testing")]
    let in_a_row = if core.config.makes(crate::engine::mistake::Mistake::SweepOnce) { 1 } else { in_a_row };
    for _ in 1..in_a_row {
        if !more || core.writer.is_closing() {
            break;
        }
        let mut report = SweepReport::default();
        // What fails does not keep the other parts from the rest of their work.
        swept = sweep::sweep_rows(core, &mut report).and(swept);
        more = report.more;
    }
    if let Err(error) = swept {
        failures::sweep_failed(core, error.to_string());
    }
    // From the end of the sweep, so that upkeep has its turn however long it took.
    *swept_ms = core.time.now_ms();
    true
}

/// Does rounds of upkeep until one finds nothing to do or fails. Sweeps that fall due meanwhile
/// are done between the rounds, where no lock is held. Returns whether the last round went
/// well.
pub(in crate::engine) fn catch_up(core: &Core, eager: bool, swept_ms: &mut u64) -> bool {
    while !core.writer.is_closing() {
        if let Some(pulse) = &core.background.pulse {
            pulse.busy(core.time.now_ms());
        }
        sweep_if_due(core, swept_ms);
        let paused = Cell::new(false);
        let pause = || {
            paused.set(paused.get() || sweep_is_due(core, *swept_ms));
            paused.get()
        };
        match upkeep(core, eager, &pause) {
            // A round that ended early for a sweep continues behind it.
            Ok(done) if done.completed + done.removed + done.doubts > 0 || paused.get() => {}
            Ok(_) => break,
            Err(error) => {
                failures::upkeep_failed(core, &error);
                return false;
            }
        }
    }
    true
}

/// Sweeps done at once while there is more to do: enough for all leases of the default bound.
const SWEEPS_IN_A_ROW: usize = 32;
