//! The walk of a pass: which place is next, and when a step has read enough.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::protocol::UnixMillis;
use crate::store::rows::{ScrubPlace, ScrubRow};
use crate::store::{Command, ROW_COST, StoreError};

use super::report::{ScrubError, ScrubReport, ScrubStats, position_of};
use super::scrubber::{Stepper, TRIES, Walk};
use crate::engine::backlog::damaged;
use crate::engine::core::Core;
use crate::engine::error::WriteError;

/// How many places in a row are passed over. Beyond, the storage is at fault, and not the places.
const PASSED_OVER_MAX: u32 = 1_024;
/// What a tree, a row of the walk or a read costs at least, bytes, so that a step is bounded
/// whatever it meets.
pub(super) const LEAST_COST: u64 = ROW_COST;

/// One step.
pub(super) struct Step<'c> {
    pub(super) core: &'c Core,
    pub(super) walk: &'c mut Walk,
    pub(super) report: ScrubReport,
    /// Bytes that may still be read.
    pub(super) left: u64,
}

/// The lower number of two trees, if there is one.
fn first_of(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

/// Gives up the pass in progress; the next step begins one.
pub(super) fn begin_pass(core: &Core) {
    let mut walk = core.scrub.walk.lock();
    let known = std::mem::take(&mut walk.known);
    *walk = Walk { place: Some(ScrubPlace::Data { tree: 0, leaf: 0 }), known, ..Walk::default() };
    note_beginning(core);
}

/// Some groups of this tree get no checksums in this pass.
pub(super) fn leave_out(core: &Core, tree: u64) {
    let mut progress = core.scrub.progress.lock();
    let row = progress.edit();
    row.leaves_out = first_of(row.leaves_out, Some(tree));
}

fn note_beginning(core: &Core) {
    let now_ms = core.time.now_ms();
    let mut progress = core.scrub.progress.lock();
    let row = progress.edit();
    row.at = Some(ScrubPlace::Data { tree: 0, leaf: 0 });
    (row.began_ms, row.bytes, row.found, row.passed_over) = (now_ms, 0, 0, 0);
    // Of a pass that was given up.
    row.left_out = first_of(row.left_out, row.leaves_out.take());
}

/// Takes one step.
pub(super) fn scrub_step(core: &Core, budget: u64, by: Stepper) -> Result<ScrubReport, ScrubError> {
    core.writer.may_write()?;
    let stepped = {
        let mut walk = core.scrub.walk.lock();
        // Under the lock: a full pass begins under it, and each later step is one of its own.
        if by == Stepper::Any && core.scrub.whole_pass.load(Ordering::SeqCst) {
            return Err(ScrubError::Busy);
        }
        let mut step = Step { core, walk: &mut walk, report: ScrubReport::default(), left: budget.max(1) };
        let stepped = step.run();
        let report = step.report;
        core.scrub.count(&report);
        stepped.map(|()| report)
    };
    // Neither waits for a lock that a subscriber may take.
    if !core.found.is_empty() {
        // What cannot be marked now is marked by the next upkeep.
        let _ = damaged::mark_damaged(core);
    }
    core.events.report_stored();
    stepped
}

pub(super) fn progress_is_due(core: &Core) -> bool {
    core.scrub.progress.lock().is_due(core.time.now_ms())
}

/// Writes how far the pass is, in a commit of its own.
pub(super) fn write_progress(core: &Core) -> Result<(), WriteError> {
    let row = core.scrub.progress.lock().row().clone();
    put_progress(core, row)
}

pub(super) fn put_progress(core: &Core, row: ScrubRow) -> Result<(), WriteError> {
    core.writer.write_bulk(vec![Command::PutScrub(Box::new(row.clone()))])?;
    let mut progress = core.scrub.progress.lock();
    progress.written = row;
    progress.written_ms = core.time.now_ms();
    Ok(())
}

/// Whether the stored row says that the data of this tree and all behind it may lack checksums
/// still. See `store::check`.
pub(super) fn progress_covers(core: &Core, tree: u64) -> bool {
    let progress = core.scrub.progress.lock();
    matches!(progress.written.at, Some(ScrubPlace::Data { tree: at, .. }) if at <= tree)
}

pub(in crate::engine) fn scrub_stats(core: &Core) -> ScrubStats {
    let counts = &core.scrub.counts;
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let row = core.scrub.progress.lock().row().clone();
    let some = |ms: u64| (ms > 0).then_some(UnixMillis(ms));
    ScrubStats {
        bytes_this_boot: read(&counts.bytes),
        rows_this_boot: read(&counts.rows),
        damaged_this_boot: read(&counts.damaged),
        sums_added_this_boot: read(&counts.sums),
        began: some(row.began_ms),
        position: position_of(row.at.as_ref()),
        pass_bytes: if row.at.is_some() { row.bytes } else { 0 },
        pass_bytes_expected: pass_expected(core, &row),
        pass_found: if row.at.is_some() { row.found } else { 0 },
        last_full_pass: some(row.full_ms),
        last_full_pass_found: row.full_found,
        last_full_pass_passed_over: row.full_passed_over,
    }
}

/// The bytes that a pass will read, as far as that is known.
pub(super) fn pass_expected(core: &Core, row: &ScrubRow) -> u64 {
    let (state, blocks) = core.store.file_bytes();
    let of = if row.full_ms > 0 { row.full_bytes } else { state + blocks };
    of.max(row.bytes)
}

impl Step<'_> {
    pub(super) fn spend(&mut self, bytes: u64) {
        let cost = bytes.max(LEAST_COST);
        self.left = self.left.saturating_sub(cost);
        self.report.spent += cost;
    }

    /// Walks on until the budget is spent or the pass has ended.
    fn run(&mut self) -> Result<(), ScrubError> {
        let stored = self.core.scrub.progress.lock().row().at.clone();
        let mut place = match self.walk.place.take().or(stored) {
            Some(place) => place,
            None => {
                note_beginning(self.core);
                ScrubPlace::Data { tree: 0, leaf: 0 }
            }
        };
        let ended = loop {
            if self.left == 0 || self.core.writer.is_closing() {
                break false;
            }
            let before = (self.report.bytes, self.report.found());
            // Its failures are not those of the place.
            let flushed = self.flush_if_due(&place);
            self.note(before);
            if let Err(error) = flushed {
                self.stop_at(place)?;
                return Err(error);
            }
            let before = (self.report.bytes, self.report.found());
            let next = match &place {
                ScrubPlace::Data { tree, leaf } => self.data(*tree, *leaf),
                ScrubPlace::Rows { table, key } => self.rows(*table, key),
            };
            self.note(before);
            match next {
                Ok(Some(next)) => {
                    self.walk.passed_over = 0;
                    place = next;
                }
                Ok(None) => break true,
                Err(error) => match self.failed_at(&place, error) {
                    Ok(Some(next)) => place = next,
                    Ok(None) => break true,
                    Err(error) => {
                        self.stop_at(place)?;
                        return Err(error);
                    }
                },
            }
        };
        if ended { self.end() } else { self.stop_at(place) }
    }

    /// A place that the storage cannot read again and again is passed over. Returns where to go on,
    /// or the error if the place is to be tried again.
    fn failed_at(&mut self, place: &ScrubPlace, error: ScrubError) -> Result<Option<ScrubPlace>, ScrubError> {
        let ScrubError::Store(StoreError::Io { what }) = &error else { return Err(error) };
        let tries = match self.walk.failed.take() {
            Some((at, tries)) if at == *place => tries + 1,
            _ => 1,
        };
        let again = tries < TRIES || self.walk.passed_over >= PASSED_OVER_MAX;
        if again || self.core.writer.takes_no_writes() {
            self.walk.failed = Some((place.clone(), tries));
            return Err(error);
        }
        self.walk.passed_over += 1;
        let before = (self.report.bytes, self.report.found());
        let next = self.pass_over(place, what);
        self.note(before);
        Ok(next)
    }

    /// Adds what was read since to the progress of the pass.
    fn note(&mut self, (bytes, found): (u64, u64)) {
        let mut progress = self.core.scrub.progress.lock();
        let row = progress.edit();
        row.bytes += self.report.bytes - bytes;
        row.found += self.report.found() - found;
    }

    /// Ends the step at `place`. The progress goes no further than what is durable of the checksums
    /// that were added.
    fn stop_at(&mut self, place: ScrubPlace) -> Result<(), ScrubError> {
        self.walk.place = Some(place.clone());
        self.note_place(place.clone());
        if progress_is_due(self.core) {
            self.flush_sums()?;
            self.note_place(place);
            self.write_progress()?;
        }
        self.fill_in(false);
        Ok(())
    }

    fn note_place(&self, place: ScrubPlace) {
        let durable = self.walk.sums.begin().map(|(tree, leaf)| ScrubPlace::Data { tree, leaf });
        self.core.scrub.progress.lock().edit().at = Some(durable.unwrap_or(place));
    }

    /// What cannot be written now is written by a later step, or when the engine closes.
    fn write_progress(&self) -> Result<(), ScrubError> {
        match write_progress(self.core) {
            Err(error) if self.core.writer.takes_no_writes() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Everything was read once. That is shown when it is durable.
    fn end(&mut self) -> Result<(), ScrubError> {
        self.walk.place = None;
        if self.core.scrub.progress.lock().row().passed_over == 0 {
            self.walk.known.end_rows();
        }
        let now_ms = self.core.time.now_ms();
        let mut row = self.core.scrub.progress.lock().row().clone();
        row.at = None;
        (row.full_ms, row.full_bytes, row.full_found) = (now_ms, row.bytes, row.found);
        row.full_passed_over = row.passed_over;
        row.left_out = row.leaves_out.take();
        let written = put_progress(self.core, row.clone());
        *self.core.scrub.progress.lock().edit() = row;
        self.fill_in(true);
        match written {
            Err(error) if self.core.writer.takes_no_writes() => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn fill_in(&mut self, ended: bool) {
        let row = self.core.scrub.progress.lock().row().clone();
        self.report.pass_ended = ended;
        self.report.position = position_of(row.at.as_ref());
        self.report.pass_bytes = row.bytes;
        self.report.pass_bytes_expected = pass_expected(self.core, &row);
    }
}
