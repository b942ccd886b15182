//! Worker threads for judging answers, so that neither the async executor nor the engine's writer
//! blocks.

use std::sync::Weak;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvError, SendError, Sender, TrySendError, bounded, select, unbounded};

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
}

/// The receiving end, held by the threads.
#[derive(Debug, Clone)]
pub(super) struct Inbox {
    answers: Receiver<Job>,
    verdicts: Receiver<Job>,
}

impl Judges {
    /// Makes the queue, and the end of it that [`start`] needs.
    pub(super) fn new(waiting_max: usize) -> (Self, Inbox) {
        let (answers, answers_out) = bounded(waiting_max);
        let (verdicts, verdicts_out) = unbounded();
        (Self { answers, verdicts }, Inbox { answers: answers_out, verdicts: verdicts_out })
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

/// Starts `threads` of them; the first also calls [`Gate::tick`] if there is a gate to call it on.
pub(super) fn start(inbox: &Inbox, threads: usize, ticking: Option<&Weak<Inner>>) -> std::io::Result<()> {
    for number in 0..threads {
        let (inbox, ticking) = (inbox.clone(), ticking.filter(|_| number == 0).cloned());
        std::thread::Builder::new()
            .name(format!("pouw-judge-{number}"))
            .spawn(move || run(&inbox, ticking.as_ref()))?;
    }
    Ok(())
}

fn run(inbox: &Inbox, ticking: Option<&Weak<Inner>>) {
    let mut ticked = Instant::now();
    while let Ok(job) = inbox.next() {
        if let Some(job) = job {
            // A caller that waits for the verdict gets `try_again` when its job is dropped.
            logged("judging an answer", job);
        }
        if let Some(gate) = ticking
            && ticked.elapsed() >= TICK_EVERY
        {
            let Some(inner) = gate.upgrade() else {
                return;
            };
            logged("a tick of the gate", || Gate { inner }.tick());
            ticked = Instant::now();
        }
    }
}

/// Runs a job and logs its panic. That, by a bug or in the host's code, loses the job but not the
/// thread.
fn logged(what: &str, job: impl FnOnce()) {
    if guard::contained(job).is_err() {
        tracing::error!("{what} panicked");
    }
}
