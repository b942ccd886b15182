//! Worker threads for judging answers, so that neither the async executor nor the engine's writer
//! blocks.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvError, SendError, Sender, TrySendError, bounded, select, unbounded};

use crate::engine::{Pulse, Reporter, ThreadStats};
use crate::guard;

use super::{Gate, Inner};

/// How often [`Gate::tick`] is called.
const TICK_EVERY: Duration = Duration::from_secs(1);

/// One answer to judge, or one verdict to deliver.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// The queue to the threads. They end when it is dropped and empty.
#[derive(Debug)]
pub(super) struct Judges {
    answers: Sender<Job>,
    /// Verdicts to deliver. There are at most as many as answers waiting for a commit plus those of
    /// one commit, since a thread delivers verdicts before it passes another answer to the writer.
    verdicts: Sender<Job>,
    pulses: Vec<Arc<Pulse>>,
}

/// The receiving end, held by the threads.
#[derive(Debug, Clone)]
pub(super) struct Inbox {
    answers: Receiver<Job>,
    verdicts: Receiver<Job>,
}

impl Judges {
    /// Makes the queue, and the end of it that [`start`] needs.
    pub(super) fn new(waiting_max: usize, threads: usize, now_ms: u64) -> (Self, Inbox) {
        let (answers, answers_out) = bounded(waiting_max);
        let (verdicts, verdicts_out) = unbounded();
        let pulse = |number| Arc::new(Pulse::new(format!("pouw-judge-{number}"), now_ms));
        let pulses = (0..threads).map(pulse).collect();
        (Self { answers, verdicts, pulses }, Inbox { answers: answers_out, verdicts: verdicts_out })
    }

    /// Queues an answer, or gives it back if too many are waiting.
    pub(super) fn offer(&self, job: Job) -> Result<(), Job> {
        self.answers.try_send(job).map_err(|error| match error {
            TrySendError::Full(job) | TrySendError::Disconnected(job) => job,
        })
    }

    /// Queues a verdict, which is delivered before any further answer is judged.
    pub(super) fn finish(&self, job: Job) {
        if let Err(SendError(job)) = self.verdicts.send(job) {
            job();
        }
    }

    pub(super) fn threads(&self, now_ms: u64) -> Vec<ThreadStats> {
        self.pulses.iter().map(|pulse| pulse.look(now_ms)).collect()
    }

    pub(super) fn waiting(&self) -> usize {
        self.answers.len()
    }
}

impl Inbox {
    /// Returns the next job; `None` if there is none for a while.
    fn next(&self) -> Result<Option<Job>, RecvError> {
        if let Ok(job) = self.verdicts.try_recv() {
            return Ok(Some(job));
        }
        select! {
            recv(self.verdicts) -> job => job.map(Some),
            recv(self.answers) -> job => job.map(Some),
            default(TICK_EVERY) => Ok(None),
        }
    }
}

/// Starts a thread for each pulse; the first also calls [`Gate::tick`] if it is to be called. All
/// of them end with the gate.
pub(super) fn start(inbox: &Inbox, gate: &Arc<Inner>, ticking: bool) -> std::io::Result<()> {
    for (number, pulse) in gate.judges.pulses.iter().enumerate() {
        let (inbox, pulse) = (inbox.clone(), pulse.clone());
        let (gate, engine) = (Arc::downgrade(gate), gate.engine.for_gate().reporter());
        let ticking = ticking && number == 0;
        std::thread::Builder::new().name(pulse.name().to_owned()).spawn(move || {
            let _running = pulse.while_running();
            Judge { inbox, gate, engine, pulse: &pulse, ticking }.run();
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
    ticking: bool,
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
            if self.ticking && ticked.elapsed() >= TICK_EVERY {
                let Some(inner) = self.gate.upgrade() else {
                    return;
                };
                self.survive(|| Gate { inner }.tick());
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
