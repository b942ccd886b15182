//! Answers to judge and verdicts to deliver, on their way to the threads of the gate.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvError, SendError, Sender, TrySendError, bounded, select, unbounded};

use crate::engine::{Pulse, ThreadStats};

/// How long a thread waits for a job before it looks round.
const PAUSE: Duration = Duration::from_secs(1);

/// One answer to judge, or one verdict to deliver.
pub(in crate::gate) type Job = Box<dyn FnOnce() + Send>;

/// The queue to the threads. They end when it is dropped and empty.
#[derive(Debug)]
pub(in crate::gate) struct Jobs {
    answers: Sender<Job>,
    /// Verdicts to deliver. There are at most as many as answers waiting for a commit plus those of
    /// one commit, since a thread delivers verdicts before it passes another answer to the writer.
    verdicts: Sender<Job>,
    pulses: Vec<Arc<Pulse>>,
}

/// The receiving end, held by the threads.
#[derive(Debug, Clone)]
pub(in crate::gate) struct Inbox {
    answers: Receiver<Job>,
    verdicts: Receiver<Job>,
}

impl Jobs {
    /// Makes the queue, and the end of it that the threads need.
    pub(in crate::gate) fn new(waiting_max: usize, threads: usize, now_ms: u64) -> (Self, Inbox) {
        let (answers, answers_out) = bounded(waiting_max);
        let (verdicts, verdicts_out) = unbounded();
        let pulse = |number| Arc::new(Pulse::new(format!("pouw-judge-{number}"), now_ms));
        let pulses = (0..threads).map(pulse).collect();
        (Self { answers, verdicts, pulses }, Inbox { answers: answers_out, verdicts: verdicts_out })
    }

    /// Queues an answer, or gives it back if too many are waiting.
    pub(in crate::gate) fn offer(&self, job: Job) -> Result<(), Job> {
        self.answers.try_send(job).map_err(|error| match error {
            TrySendError::Full(job) | TrySendError::Disconnected(job) => job,
        })
    }

    /// Queues a verdict, which is delivered before any further answer is judged.
    pub(in crate::gate) fn finish(&self, job: Job) {
        if let Err(SendError(job)) = self.verdicts.send(job) {
            job();
        }
    }

    /// Returns the signs of life of the threads, one for each.
    pub(in crate::gate) fn pulses(&self) -> &[Arc<Pulse>] {
        &self.pulses
    }

    pub(in crate::gate) fn threads(&self, now_ms: u64) -> Vec<ThreadStats> {
        self.pulses.iter().map(|pulse| pulse.look(now_ms)).collect()
    }

    pub(in crate::gate) fn waiting(&self) -> usize {
        self.answers.len()
    }
}

impl Inbox {
    /// Returns the next job; `None` if there is none for a while.
    pub(in crate::gate) fn next(&self) -> Result<Option<Job>, RecvError> {
        if let Ok(job) = self.verdicts.try_recv() {
            return Ok(Some(job));
        }
        select! {
            recv(self.verdicts) -> job => job.map(Some),
            recv(self.answers) -> job => job.map(Some),
            default(PAUSE) => Ok(None),
        }
    }
}
