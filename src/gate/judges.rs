//! The threads that judge answers, so that no thread of an async executor waits for a read of the store.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Weak;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::{Gate, Inner};

/// How often counters and gauges are published.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// One answer to judge.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// The way to the threads. They end when it is dropped and what is waiting has been judged.
#[derive(Debug)]
pub(super) struct Judges {
    sender: Sender<Job>,
}

impl Judges {
    /// The way, and the end of it that [`start`] needs.
    pub(super) fn new(waiting_max: usize) -> (Self, Receiver<Job>) {
        let (sender, receiver) = bounded(waiting_max);
        (Self { sender }, receiver)
    }

    /// Has a job done soon, or gives it back if too many are waiting.
    pub(super) fn offer(&self, job: Job) -> Result<(), Job> {
        self.sender.try_send(job).map_err(|error| match error {
            TrySendError::Full(job) | TrySendError::Disconnected(job) => job,
        })
    }

    pub(super) fn waiting(&self) -> usize {
        self.sender.len()
    }
}

/// Starts `threads` of them; the first also publishes metrics.
pub(super) fn start(receiver: &Receiver<Job>, threads: usize, gate: &Weak<Inner>) -> std::io::Result<()> {
    for number in 0..threads {
        let (jobs, publisher) = (receiver.clone(), (number == 0).then(|| gate.clone()));
        std::thread::Builder::new()
            .name(format!("pouw-judge-{number}"))
            .spawn(move || run(&jobs, publisher.as_ref()))?;
    }
    Ok(())
}

fn run(jobs: &Receiver<Job>, publisher: Option<&Weak<Inner>>) {
    let mut published = std::time::Instant::now();
    loop {
        match jobs.recv_timeout(PUBLISH_EVERY) {
            // A bug, or a panic of the host's own code, costs one verdict and not the thread. Whoever waits for it is
            // told when its end of the way is dropped.
            Ok(job) => {
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    tracing::error!("judging an answer panicked");
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if let Some(gate) = publisher
            && published.elapsed() >= PUBLISH_EVERY
        {
            let Some(inner) = gate.upgrade() else {
                return;
            };
            Gate { inner }.record_metrics();
            published = std::time::Instant::now();
        }
    }
}
