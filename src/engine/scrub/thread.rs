//! The thread that scrubs. A step that panics is reported, and after a pause the next one is taken.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::guard::contained;

use super::report::ScrubError;
use super::scrubber::{Scrubber, Stepper};
use crate::engine::checked::whole_ms;
use crate::engine::core::Core;
use crate::engine::scrub::walk;
use crate::engine::upkeep::failures;
use crate::engine::upkeep::report::UpkeepError;
use crate::engine::upkeep::rest::Rest;

/// Starts the thread, if the settings ask for one; it ends when the engine closes.
pub(in crate::engine) fn start(core: &Arc<Core>) -> std::io::Result<Option<std::thread::JoinHandle<()>>> {
    if core.scrub.pulse.is_none() {
        return Ok(None);
    }
    let core = core.clone();
    let rate = core.config.settings.scrub_bytes_per_second;
    // Not on the thread: time that passes until it runs counts.
    let pace = Pace { rate, left: 0, at_ms: core.time.now_ms() };
    let mut round = Round { pace, from_ms: core.time.now_ms().saturating_add(SETTLE_MS), failing: false };
    let thread = std::thread::Builder::new().name("pouw-scrub".into()).spawn(move || {
        let Some(pulse) = &core.scrub.pulse else { return };
        let _running = pulse.while_running();
        let mut rest = Rest::default();
        while !core.scrub.waits(LOOK) {
            let done = contained(|| {
                pulse.busy(core.time.now_ms());
                if !core.writer.takes_no_writes() && rest.is_over(core.time.now_ms()) {
                    if round.run(&core) {
                        rest.end();
                    } else {
                        rest.begin(core.time.now_ms());
                    }
                }
                pulse.idle(core.time.now_ms());
            });
            if let Err(panicked) = done {
                rest.begin(core.time.now_ms());
                core.events.survived(pulse, core.time.now_ms(), panicked);
            }
        }
    })?;
    Ok(Some(thread))
}

impl Scrubber {
    /// Waits, unless the thread is to end. Returns whether it is.
    fn waits(&self, time: Duration) -> bool {
        let mut ended = self.ended.lock();
        if !*ended {
            ended.wait_for(&self.end, time);
        }
        *ended
    }
}

/// The state of the thread between two rounds.
struct Round {
    pace: Pace,
    /// Engine time from which on it scrubs.
    from_ms: u64,
    /// The last step failed, which was reported.
    failing: bool,
}

impl Round {
    /// Takes steps while the rate allows it. Returns whether all went well.
    fn run(&mut self, core: &Core) -> bool {
        let now_ms = core.time.now_ms();
        if now_ms < self.from_ms || !scrub_is_due(core, now_ms) {
            self.pace.skip(now_ms);
            return true;
        }
        loop {
            let budget = self.pace.allows(core.time.now_ms()).min(STEP_BYTES_MAX);
            if budget == 0 || core.writer.is_closing() {
                return true;
            }
            let spent = || core.scrub.counts.spent.load(Ordering::Relaxed);
            let before = spent();
            let stepped = walk::scrub_step(core, budget, Stepper::Any);
            self.pace.spent(spent().saturating_sub(before).max(1));
            match stepped {
                Ok(report) => {
                    self.failing = false;
                    if report.pass_ended {
                        return true;
                    }
                }
                // A full pass has begun.
                Err(ScrubError::Busy) => return true,
                Err(error) => {
                    if !std::mem::replace(&mut self.failing, true) {
                        scrub_failed(core, error);
                    }
                    return false;
                }
            }
        }
    }
}

/// Whether a pass is in progress or may begin.
fn scrub_is_due(core: &Core, now_ms: u64) -> bool {
    let row = core.scrub.progress.lock().row().clone();
    let every_ms = whole_ms(core.config.settings.scrub_every);
    let due = row.began_ms == 0 || now_ms.saturating_sub(row.began_ms) >= every_ms;
    !core.scrub.whole_pass.load(Ordering::SeqCst) && (row.at.is_some() || due)
}

fn scrub_failed(core: &Core, error: ScrubError) {
    match error {
        ScrubError::Store(error) => failures::upkeep_failed(core, &UpkeepError::Store(error)),
        ScrubError::Write(error) => failures::upkeep_failed(core, &UpkeepError::Write(error)),
        ScrubError::Busy => {}
    }
}

/// How much may be read, so that the rate holds over any length of time.
#[derive(Debug)]
struct Pace {
    /// Bytes a second.
    rate: u64,
    /// Bytes that may be read; negative after a step that read more than it was allowed to.
    left: i128,
    at_ms: u64,
}

impl Pace {
    /// Bytes that may be read now: what the time since has brought, of one second at most.
    fn allows(&mut self, now_ms: u64) -> u64 {
        let brought = i128::from(self.rate) * i128::from(now_ms.saturating_sub(self.at_ms)) / 1_000;
        if brought > 0 {
            self.left = (self.left + brought).min(self.rate.into());
            self.at_ms = now_ms;
        }
        u64::try_from(self.left).unwrap_or(0)
    }

    fn spent(&mut self, bytes: u64) {
        self.left -= i128::from(bytes);
    }

    /// Time in which nothing was to be read brings nothing.
    fn skip(&mut self, now_ms: u64) {
        self.at_ms = now_ms;
    }
}

/// Engine time after opening in which the thread waits, so that it disturbs no start.
const SETTLE_MS: u64 = 60_000;
/// How often the thread looks at the time.
const LOOK: Duration = Duration::from_secs(1);
/// Most bytes of one step.
const STEP_BYTES_MAX: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_although_a_step_reads_more_than_it_may_and_pauses_bring_no_burst() {
        let mut pace = Pace { rate: 1_000, left: 0, at_ms: 0 };
        assert_eq!((pace.allows(0), pace.allows(500), pace.allows(1_000)), (0, 500, 1_000));
        // A leaf of 4 KiB.
        pace.spent(4_096);
        let mut second = 1;
        while pace.allows(second * 1_000) == 0 {
            second += 1;
        }
        assert_eq!(second, 5);
        assert_eq!(pace.allows(1_000_000), 1_000);
        pace.spent(1_000);
        pace.skip(2_000_000);
        assert_eq!(pace.allows(2_000_500), 500);
        // Less than a byte is not lost.
        let mut slow = Pace { rate: 1, left: 0, at_ms: 0 };
        let brought = (1..=10_000).filter(|ms| slow.allows(*ms) > 0).count();
        assert_eq!(brought, 9_001);
    }
}
