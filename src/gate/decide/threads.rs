//! Worker threads for judging answers, so that neither the async executor nor the engine's writer
//! blocks.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::engine::{Pulse, Reporter};
use crate::gate::memory::jobs::Inbox;
use crate::gate::state::{Gate, Inner};
use crate::guard;

/// Time between two ticks of the gate.
const TICK_EVERY: Duration = Duration::from_secs(1);

/// Starts a thread for each pulse; the first also calls `tick` about once a second. All of them end
/// with the gate.
pub(in crate::gate) fn start(inbox: &Inbox, gate: &Arc<Inner>, tick: Option<fn(&Gate)>) -> std::io::Result<()> {
    for (number, pulse) in gate.jobs.pulses().iter().enumerate() {
        let (inbox, pulse) = (inbox.clone(), pulse.clone());
        let (gate, engine) = (Arc::downgrade(gate), gate.engine.for_gate().reporter());
        let tick = tick.filter(|_| number == 0);
        std::thread::Builder::new().name(pulse.name().to_owned()).spawn(move || {
            let _running = pulse.while_running();
            Judge { inbox, gate, engine, pulse: &pulse, tick }.run();
        })?;
    }
    Ok(())
}

struct Judge<'p> {
    inbox: Inbox,
    gate: Weak<Inner>,
    /// Without keeping the engine open.
    engine: Reporter,
    pulse: &'p Pulse,
    tick: Option<fn(&Gate)>,
}

impl Judge<'_> {
    fn run(&self) {
        let mut ticked = Instant::now();
        while let Ok(job) = self.inbox.next() {
            // A caller that waits for the verdict gets `try_again` when its job is dropped.
            self.survive(|| {
                self.pulse.busy(self.engine.now_ms());
                if let Some(job) = job {
                    job();
                }
                self.pulse.idle(self.engine.now_ms());
            });
            if let Some(tick) = self.tick
                && ticked.elapsed() >= TICK_EVERY
            {
                let Some(inner) = self.gate.upgrade() else {
                    return;
                };
                self.survive(|| tick(&Gate { inner }));
                ticked = Instant::now();
            }
        }
    }

    /// Runs a job and reports its panic. That, by a bug or in the host's code, loses the job but
    /// not the thread.
    fn survive(&self, job: impl FnOnce()) {
        if let Err(panicked) = guard::contained(job) {
            tracing::error!(thread = self.pulse.name(), "a job panicked: {}", panicked.0);
            self.engine.survived(self.pulse, panicked);
        }
    }
}
