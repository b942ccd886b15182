//! Scrubbing: reads everything that is stored, block data and rows, while the engine serves, and
//! finds damage before a client or an export needs the bytes.
//!
//! A *pass* reads everything once: the data of each tree in the order of their numbers, then the
//! rows of the state file. It is made of bounded steps. A thread takes them at a bounded rate
//! ([`thread`]); a host may take them itself. How far a pass is, is a row of the state file, which
//! is written seldom ([`progress`]). Trees of an older store get their checksums on the way
//! ([`sums`]).

mod data;
mod known;
mod progress;
mod report;
mod rows;
mod settings;
mod sums;
mod thread;
mod walk;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Condvar;

use crate::store::StoreError;
use crate::store::records::ScrubRow;

use super::config::Config;
use super::core::Core;
use super::error::WriteError;
use super::event::Event;
use super::handle::PouwEngine;
use super::locks::{Rank, Ranked};
use super::pulse::Pulse;

pub use report::{SCRUB_FINDINGS_SHOWN, ScrubFinding, ScrubPosition, ScrubReport, ScrubStats};
pub(super) use thread::start;

use progress::Progress;
use walk::Walk;

/// How much one step of scrubbing may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScrubBudget {
    /// Bytes; a step reads at most one leaf or row more. A row counts as 256 at least, and as 4
    /// KiB more for each row at another place that it is compared with.
    pub bytes: u64,
}

impl ScrubBudget {
    /// A budget of this many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self { bytes }
    }
}

/// Why a step of scrubbing failed. The next one goes on from the same place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScrubError {
    /// A read failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A write failed, the engine is closed, or it was opened to be read only.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Another call makes a full pass.
    #[error("another call makes a full pass; wait until it has ended")]
    Busy,
}

impl ScrubError {
    /// Whether the same call may succeed a moment later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Write(error) => error.is_retryable(),
            Self::Busy => true,
        }
    }
}

/// Called after each step of a full pass with what the pass has read and found so far;
/// [`ControlFlow::Break`] ends the pass early.
pub type OnScrub<'p> = &'p mut dyn FnMut(&ScrubReport) -> ControlFlow<()>;

/// What an engine knows about scrubbing.
#[derive(Debug)]
pub(super) struct Scrubber {
    /// One step at a time.
    walk: Ranked<Walk>,
    progress: Ranked<Progress>,
    /// A call makes a full pass, and no other step is taken.
    whole_pass: AtomicBool,
    /// Of the thread, if there is one.
    pub(super) pulse: Option<Pulse>,
    ended: Ranked<bool>,
    end: Condvar,
    counts: Counts,
}

/// Counts of this boot.
#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    /// What was spent of budgets.
    spent: AtomicU64,
    rows: AtomicU64,
    /// Damage that was not known.
    damaged: AtomicU64,
    sums: AtomicU64,
}

impl Scrubber {
    pub(super) fn new(config: &Config, now_ms: u64) -> Self {
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
    pub(super) fn end(&self) {
        *self.ended.lock() = true;
        self.end.notify_all();
    }

    /// The row to be written when the engine closes, if it differs from the one that is stored.
    pub(super) fn unwritten(&self) -> Option<ScrubRow> {
        self.progress.lock().unwritten()
    }
}

impl PouwEngine {
    /// Takes one step of scrubbing: reads about as much as `budget` allows of what is stored, from
    /// where the last step stopped, and begins a new pass if none is in progress. Damage that it
    /// finds is handled as if a client had met it: pending leaves are marked, and one event reports
    /// each leaf or row. It sleeps nowhere. The background thread takes such steps too, see
    /// [`scrub_bytes_per_second`](super::ConfigBuilder::scrub_bytes_per_second); two steps at a
    /// time wait for each other.
    ///
    /// What redb has in its page cache is not read from the disk again.
    ///
    /// # Errors
    /// [`ScrubError::Busy`] during [`scrub_all`](Self::scrub_all); a read or a write failed, or the
    /// engine is closed or read only. Damage is no error.
    ///
    /// # Examples
    ///
    /// ```
    /// use pouw::{Config, PouwEngine, ScrubBudget};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// let engine = PouwEngine::open(directory.path(), Config::builder([7; 32]).background(false).build()?)?;
    /// while !engine.scrub(ScrubBudget::bytes(1 << 20))?.pass_ended {}
    /// assert_eq!(engine.stats().scrub.damaged_this_boot, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn scrub(&self, budget: ScrubBudget) -> Result<ScrubReport, ScrubError> {
        self.core().scrub_step(budget.bytes, Stepper::Any)
    }

    /// Makes a full pass from the beginning, in steps of 1 MiB, while the engine serves. `progress`
    /// may wait between two steps. A pass that was in progress is given up for it; if this one is
    /// ended early, the background thread or the next step goes on with it.
    ///
    /// # Errors
    /// As for [`scrub`](Self::scrub). A place that cannot be read is tried three times and then
    /// passed over, and counts as damaged.
    pub fn scrub_all(&self, progress: OnScrub<'_>) -> Result<ScrubReport, ScrubError> {
        let core = self.core();
        core.may_write()?;
        let taken = core.scrub.whole_pass.compare_exchange(false, true, Ordering::SeqCst, Ordering::SeqCst);
        taken.map_err(|_| ScrubError::Busy)?;
        let _free = Free(&core.scrub.whole_pass);
        core.begin_pass();
        let (mut all, mut failed) = (ScrubReport::default(), 0);
        loop {
            match core.scrub_step(STEP_BYTES, Stepper::WholePass) {
                Ok(step) => {
                    all.add(step);
                    failed = 0;
                }
                // Tried again: a place that stays unreadable is passed over.
                Err(ScrubError::Store(error)) if error.is_retryable() && failed < walk::TRIES => {
                    failed += 1;
                    continue;
                }
                Err(error) => return Err(error),
            }
            if progress(&all).is_break() || all.pass_ended {
                return Ok(all);
            }
        }
    }
}

/// Who takes a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stepper {
    /// The call that makes a full pass.
    WholePass,
    /// The thread, or a call for one step.
    Any,
}

/// Lets other calls take steps again when it is dropped.
struct Free<'s>(&'s AtomicBool);

impl Drop for Free<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Bytes of a step of a full pass.
const STEP_BYTES: u64 = 1 << 20;

impl Core {
    /// Reads where scrubbing is. A row that does not decode begins it again, and is reported.
    pub(super) fn load_scrub(&self) -> Result<(), StoreError> {
        let row = match self.store.read()?.scrub() {
            Ok(row) => row,
            Err(error) if error.is_one_row() => {
                self.events.later(Event::CorruptionFound { tree: None, what: error.to_string() });
                None
            }
            Err(error) => return Err(error),
        };
        self.scrub.progress.lock().load(row.unwrap_or_default(), self.now_ms());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_waited_while_a_full_pass_began_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::builder([7; 32]).background(false).build().unwrap();
        let engine = PouwEngine::open(directory.path(), config).unwrap();
        let walk = engine.core().scrub.walk.lock();
        let started = AtomicBool::new(false);
        std::thread::scope(|threads| {
            let waiting = threads.spawn(|| {
                started.store(true, Ordering::SeqCst);
                engine.scrub(ScrubBudget::bytes(1))
            });
            // Until it waits, most likely; if it does not yet, it is refused all the same.
            while !started.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            (0..100_000).for_each(|_| std::thread::yield_now());
            engine.core().scrub.whole_pass.store(true, Ordering::SeqCst);
            drop(walk);
            assert!(matches!(waiting.join().unwrap(), Err(ScrubError::Busy)));
        });
    }
}
