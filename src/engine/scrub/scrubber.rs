//! The state of scrubbing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Condvar;

use crate::store::rows::{ScrubPlace, ScrubRow};

use super::known::Known;
use super::new_sums::NewSums;
use super::progress::Progress;
use super::report::ScrubReport;
use crate::engine::config::Config;
use crate::engine::locks::{Rank, Ranked};
use crate::engine::pulse::Pulse;
use crate::engine::tallies::bump;

/// What an engine knows about scrubbing.
#[derive(Debug)]
pub(in crate::engine) struct Scrubber {
    /// One step at a time.
    pub(super) walk: Ranked<Walk>,
    pub(super) progress: Ranked<Progress>,
    /// A call makes a full pass, and no other step is taken.
    pub(super) whole_pass: AtomicBool,
    /// Of the thread, if there is one.
    pub(in crate::engine) pulse: Option<Pulse>,
    pub(super) ended: Ranked<bool>,
    pub(super) end: Condvar,
    pub(super) counts: Counts,
}

/// Counts of this boot.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) bytes: AtomicU64,
    /// What was spent of budgets.
    pub(super) spent: AtomicU64,
    pub(super) rows: AtomicU64,
    /// Damage that was not known.
    pub(super) damaged: AtomicU64,
    pub(super) sums: AtomicU64,
}

impl Scrubber {
    pub(in crate::engine) fn new(config: &Config, now_ms: u64) -> Self {
        let settings = &config.settings;
        let threaded = settings.background && settings.scrub_bytes_per_second > 0;
        Self {
            walk: Ranked::new(Rank::ScrubWalk, Walk::default()),
            progress: Ranked::new(Rank::ScrubProgress, Progress::default()),
            whole_pass: AtomicBool::new(false),
            pulse: threaded.then(|| Pulse::new("pouw-scrub", now_ms)),
            ended: Ranked::new(Rank::ScrubEnded, false),
            end: Condvar::new(),
            counts: Counts::default(),
        }
    }

    /// Ends the thread.
    pub(in crate::engine) fn end(&self) {
        *self.ended.lock() = true;
        self.end.notify_all();
    }

    /// The row to be written when the engine closes, if it differs from the one that is stored.
    pub(in crate::engine) fn unwritten(&self) -> Option<ScrubRow> {
        self.progress.lock().unwritten()
    }
}

impl Scrubber {
    pub(super) fn count(&self, report: &ScrubReport) {
        let count = |counter: &AtomicU64, by: u64| bump(counter, by);
        count(&self.counts.bytes, report.bytes);
        count(&self.counts.spent, report.spent);
        count(&self.counts.rows, report.rows);
        count(&self.counts.sums, report.sums_added);
    }

    /// Counts damage that was not known.
    pub(super) fn count_news(&self, found: u64) {
        self.counts.damaged.fetch_add(found, Ordering::Relaxed);
    }
}

/// The place of a walk, and what it carries from step to step.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Where the next step begins; `None` if that is where the progress says.
    pub(super) place: Option<ScrubPlace>,
    pub(super) sums: NewSums,
    pub(super) known: Known,
    /// A place that could not be read, and how often.
    pub(super) failed: Option<(ScrubPlace, u32)>,
    /// Places passed over in a row.
    pub(super) passed_over: u32,
}

/// Who takes a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stepper {
    /// The call that makes a full pass.
    WholePass,
    /// The thread, or a call for one step.
    Any,
}

/// How often a place is tried that the storage cannot read.
pub(super) const TRIES: u32 = 3;
