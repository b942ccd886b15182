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
mod new_sums;
mod progress;
mod report;
mod rows;
pub(super) mod scrubber;
mod settings;
mod sums;
mod thread;
pub(super) mod walk;

use std::sync::atomic::{AtomicBool, Ordering};

use crate::store::StoreError;

use super::core::Core;
use super::event::Event;
use super::handle::PouwEngine;

pub use report::{
    OnScrub, SCRUB_FINDINGS_SHOWN, ScrubBudget, ScrubError, ScrubFinding, ScrubPosition, ScrubReport, ScrubStats,
};
pub(super) use thread::start;

use scrubber::{Stepper, TRIES};

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
        walk::scrub_step(self.core(), budget.bytes, Stepper::Any)
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
        core.writer.may_write()?;
        let taken = core.scrub.whole_pass.compare_exchange(false, true, Ordering::SeqCst, Ordering::SeqCst);
        taken.map_err(|_| ScrubError::Busy)?;
        let _free = Free(&core.scrub.whole_pass);
        walk::begin_pass(core);
        let (mut all, mut failed) = (ScrubReport::default(), 0);
        loop {
            match walk::scrub_step(core, STEP_BYTES, Stepper::WholePass) {
                Ok(step) => {
                    all.add(step);
                    failed = 0;
                }
                // Tried again: a place that stays unreadable is passed over.
                Err(ScrubError::Store(error)) if error.is_retryable() && failed < TRIES => {
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

/// Lets other calls take steps again when it is dropped.
struct Free<'s>(&'s AtomicBool);

impl Drop for Free<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Bytes of a step of a full pass.
const STEP_BYTES: u64 = 1 << 20;

/// Reads where scrubbing is. A row that does not decode begins it again, and is reported.
pub(super) fn load_scrub(core: &Core) -> Result<(), StoreError> {
    let row = match core.store.read()?.scrub() {
        Ok(row) => row,
        Err(error) if error.is_one_row() => {
            core.events.later(Event::CorruptionFound { tree: None, what: error.to_string() });
            None
        }
        Err(error) => return Err(error),
    };
    core.scrub.progress.lock().load(row.unwrap_or_default(), core.time.now_ms());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::config::Config;

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
