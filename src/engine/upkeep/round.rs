//! Rounds of upkeep: they keep the ready ring full, fold and validate finished trees, and remove
//! rows that are no longer needed.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use crate::merkle::{Level, Shape};
use crate::store::{CHORE_DROP, CHORE_PURGE, Command, Dropped, Outcome, StoreError, TreeNumber};

use super::report::{SweepReport, UpkeepError, UpkeepReport};
use super::rest::SWEEP_EVERY_MS;
use crate::engine::core::Core;
use crate::engine::handle::PouwEngine;

/// Most trees looked at, and rows removed, in one step.
const TREES_PER_ROUND: usize = 256;
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
        self.core().upkeep(true, &|| false)
    }

    /// Refills the ready ring if it is below its minimum. Returns the number of units added.
    ///
    /// # Errors
    /// A read of the store failed.
    pub fn refill(&self) -> Result<usize, StoreError> {
        Ok(self.core().refill()? + self.core().refill_interior()?)
    }
}

impl Core {
    /// Does one round. Dropping data waits until `eager`, or until many trees wait for it, because
    /// each transaction of the block file costs time in proportion to the file. Folding trees and
    /// removing rows may take long, so both end behind one of their steps if `pause` says so, and
    /// the next round continues.
    pub(super) fn upkeep(&self, eager: bool, pause: &dyn Fn() -> bool) -> Result<UpkeepReport, UpkeepError> {
        let _one = self.upkeeping.lock();
        let mut done = UpkeepReport::default();
        // One part that fails does not keep the others from their work; the first failure is
        // reported.
        let marked = self.mark_damaged();
        let refilled = self.refill();
        // While an export verifies leaves, no other thread may correct or fold them. It wakes this
        // thread when it ends.
        let free = self.auditing.try_lock();
        let doubts = if free.is_some() { self.settle_doubts() } else { Ok(0) };
        let taken_over = self.take_over_folding();
        let assembled = self.assemble(free.is_some(), pause);
        drop(free);
        self.events.report_stored();
        let interior = self.refill_interior();
        let removed = [CHORE_DROP, CHORE_PURGE].map(|kind| self.remove_due(kind, eager, pause));
        let left_over = if eager { self.remove_leftovers(pause) } else { Ok(0) };
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

    fn remove_due(&self, kind: u8, eager: bool, pause: &dyn Fn() -> bool) -> Result<usize, UpkeepError> {
        let now_ms = self.now_ms();
        let trees = self.chores_due(kind, |tree| self.searches.undropped.lock().is_due(tree, now_ms))?;
        if eager || trees.len() >= TREES_PER_ROUND { self.remove(kind, &trees, pause) } else { Ok(0) }
    }

    /// The first trees that `wanted` takes, up to a bound, with a chore of this kind that they
    /// need. Chores that a tree does not need, and trees with a row that does not decode, are
    /// passed over and reported once.
    pub(in crate::engine) fn chores_due(
        &self,
        kind: u8,
        wanted: impl Fn(TreeNumber) -> bool,
    ) -> Result<Vec<TreeNumber>, StoreError> {
        let reader = self.store.read()?;
        let (mut due, mut after) = (Vec::new(), None);
        while due.len() < TREES_PER_ROUND && !self.stopping() {
            let page = reader.chores(kind, after, TREES_PER_ROUND)?;
            let Some(last) = page.last() else { break };
            after = Some(*last);
            for tree in page.into_iter().filter(|tree| wanted(*tree)) {
                match reader.check_chore(kind, tree) {
                    Ok(()) => due.push(tree),
                    // Nothing is done because of a row that the tree contradicts.
                    Err(error @ StoreError::Record { table: "chores-0", .. }) => {
                        self.events.corruption_later(None, error.to_string())
                    }
                    Err(error) if error.is_one_row() => self.events.corruption_later(Some(tree), error.to_string()),
                    Err(error) => return Err(error),
                }
            }
        }
        due.truncate(TREES_PER_ROUND);
        Ok(due)
    }

    pub(in crate::engine) fn stopping(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Removes block data, then the rows of these trees in the state file. Every step removes
    /// something or finishes a tree, so it goes on even if `pause` is true each time.
    fn remove(&self, kind: u8, trees: &[TreeNumber], pause: &dyn Fn() -> bool) -> Result<usize, UpkeepError> {
        let mut removed = 0;
        let mut left = trees;
        while !left.is_empty() && !self.stopping() {
            let Dropped { rows, through, kept } = self.drop_blocks(left)?;
            removed += rows;
            let (emptied, rest) = left.split_at(through);
            left = rest;
            let mut emptied = emptied.to_vec();
            emptied.retain(|tree| kept.iter().all(|(kept, _)| kept != tree));
            while !emptied.is_empty() && !self.stopping() {
                let limit = (ROWS_PER_STEP / emptied.len()).max(1);
                let step = |tree: &TreeNumber| match kind {
                    CHORE_DROP => Command::DropData { tree: *tree, limit },
                    _ => Command::Purge { tree: *tree, limit },
                };
                let commands: Vec<Command> = emptied.iter().map(step).collect();
                let mut fates = Vec::new();
                let written = self.write_each(&commands, &mut fates);
                let mut fates = fates.into_iter();
                emptied.retain(|tree| match fates.next() {
                    Some(Ok(Outcome::Done { rows, more })) => {
                        removed += rows as usize;
                        more
                    }
                    Some(Err(what)) => {
                        self.events.corruption_later(Some(*tree), what);
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

    /// Removes up to a bound of the block data of these trees. No ingest writes meanwhile. Data that
    /// stays is reported once, and tried again after growing pauses.
    fn drop_blocks(&self, trees: &[TreeNumber]) -> Result<Dropped, StoreError> {
        let alone = self.both_files.read();
        let dropped = self.store.drop_blocks(trees, ROWS_PER_STEP)?;
        drop(alone);
        for (tree, error) in &dropped.kept {
            let what = format!("block data that is not needed any more stays: {error}");
            self.searches.undropped.lock().failed(*tree, &what, self.now_ms());
            self.events.corruption_later(Some(*tree), what);
        }
        Ok(dropped)
    }

    /// Goes on with the search for block data that belongs to no tree, and removes what it finds.
    /// The search runs once after each open; nothing that runs after it leaves such data behind.
    fn remove_leftovers(&self, pause: &dyn Fn() -> bool) -> Result<usize, UpkeepError> {
        let mut removed = 0;
        for _ in 0..LEFTOVER_PAGES {
            let Some(from) = *self.searches.leftover_from.lock() else { break };
            let found = self.store.leftovers(from, TREES_PER_ROUND)?;
            let mut left = &found.trees[..];
            while !left.is_empty() {
                if self.stopping() || (removed > 0 && pause()) {
                    return Ok(removed);
                }
                let dropped = self.drop_blocks(left)?;
                removed += dropped.rows;
                left = &left[dropped.through..];
            }
            if let Some(error) = found.unread {
                self.events.corruption_later(None, format!("a search for left-over block data passed over: {error}"));
            }
            *self.searches.leftover_from.lock() = found.next;
            if pause() {
                break;
            }
        }
        Ok(removed)
    }

    fn sweep_is_due(&self, swept_ms: u64) -> bool {
        self.now_ms().saturating_sub(swept_ms) >= SWEEP_EVERY_MS
    }

    /// Sweeps if a second of engine time has passed since the last sweep, and again while there is
    /// more to do, up to a bound. A failure is reported as an event; the next sweep tries again.
    /// Returns whether it was due.
    pub(in crate::engine) fn sweep_if_due(&self, swept_ms: &mut u64) -> bool {
        if self.stopping() || !self.sweep_is_due(*swept_ms) {
            return false;
        }
        let (_, mut more, mut swept) = self.sweep();
        let in_a_row = SWEEPS_IN_A_ROW;
        #[cfg(feature = "testing")]
        let in_a_row = if self.config.makes(crate::engine::mistake::Mistake::SweepOnce) { 1 } else { in_a_row };
        for _ in 1..in_a_row {
            if !more || self.stopping() {
                break;
            }
            let mut report = SweepReport::default();
            // What fails does not keep the other parts from the rest of their work.
            swept = self.sweep_rows(&mut report).and(swept);
            more = report.more;
        }
        if let Err(error) = swept {
            self.sweep_failed(error.to_string());
        }
        // From the end of the sweep, so that upkeep has its turn however long it took.
        *swept_ms = self.now_ms();
        true
    }

    /// Does rounds of upkeep until one finds nothing to do or fails. Sweeps that fall due meanwhile
    /// are done between the rounds, where no lock is held. Returns whether the last round went
    /// well.
    pub(in crate::engine) fn catch_up(&self, eager: bool, swept_ms: &mut u64) -> bool {
        while !self.stopping() {
            if let Some(pulse) = &self.upkeep_pulse {
                pulse.busy(self.now_ms());
            }
            self.sweep_if_due(swept_ms);
            let paused = Cell::new(false);
            let pause = || {
                paused.set(paused.get() || self.sweep_is_due(*swept_ms));
                paused.get()
            };
            match self.upkeep(eager, &pause) {
                // A round that ended early for a sweep continues behind it.
                Ok(done) if done.completed + done.removed + done.doubts > 0 || paused.get() => {}
                Ok(_) => break,
                Err(error) => {
                    self.upkeep_failed(&error);
                    return false;
                }
            }
        }
        true
    }

    /// Returns the level of the groups' tops, if any level is above it.
    pub(in crate::engine) fn group_level(shape: Shape) -> Level {
        Level(shape.height().saturating_sub(crate::merkle::GROUP_ORDER))
    }
}

/// Sweeps done at once while there is more to do: enough for all leases of the default bound.
const SWEEPS_IN_A_ROW: usize = 32;
