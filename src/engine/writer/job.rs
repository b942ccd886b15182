//! The writer's jobs, and the two lanes that carry them.

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::guard::contained;
use crate::store::{Command, Outcome};

use super::reply;
use crate::engine::error::WriteError;
use crate::engine::locks::{Rank, RankedRw};

/// The fate of a job's commands, for the state in memory.
#[derive(Debug)]
pub(in crate::engine) enum Fate {
    /// They are durable, with these outcomes.
    Stored(Vec<Outcome>),
    /// They are not stored.
    NotStored,
    /// They are not stored, and will not be: a row they need is missing or does not decode.
    RowDamaged(String),
    /// The store closed before it could be read again.
    Unknown,
}

type OnFate = Box<dyn FnOnce(&Fate) + Send>;
type OnAnswer = Box<dyn FnOnce(Result<Vec<Outcome>, WriteError>) + Send>;

/// The change in memory that a job causes. It runs once: if a panic drops it, the fate is unknown.
pub(in crate::engine) struct Effect(Option<OnFate>);

impl Effect {
    pub(in crate::engine) fn run(mut self, fate: &Fate) {
        if let Some(call) = self.0.take() {
            call(fate);
        }
    }
}

impl Drop for Effect {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            // During a panic, which is what gets reported.
            let _ = contained(|| call(&Fate::Unknown));
        }
    }
}

/// The caller that waits for a job. It is answered once, also if a panic drops the job.
pub(in crate::engine) struct Reply {
    call: Option<OnAnswer>,
    /// The commit that the job is part of, once the writer has taken it.
    commit_seq: Option<u64>,
}

impl Reply {
    pub(in crate::engine) fn new(call: impl FnOnce(Result<Vec<Outcome>, WriteError>) + Send + 'static) -> Self {
        Self { call: Some(Box::new(call)), commit_seq: None }
    }

    pub(in crate::engine) fn send(mut self, answer: Result<Vec<Outcome>, WriteError>) {
        if let Some(call) = self.call.take() {
            call(answer);
        }
    }

    /// The writer puts the job into this commit.
    pub(in crate::engine) fn part_of(&mut self, commit_seq: u64) {
        self.commit_seq = Some(commit_seq);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            let what = "the thread that writes gave up".to_owned();
            let unconfirmed = |commit_seq| WriteError::Unconfirmed { commit_seq, what };
            let error = self.commit_seq.map_or(WriteError::Closed, unconfirmed);
            let _ = contained(|| call(Err(error)));
        }
    }
}

/// Commands that belong together, and the callbacks for their result.
pub(in crate::engine) struct Job {
    pub(in crate::engine) commands: Vec<Command>,
    pub(in crate::engine) effect: Effect,
    pub(in crate::engine) reply: Reply,
}

impl Job {
    /// Makes a job. `effect` runs once the fate of the commands is known, `reply` as soon as there
    /// is a result; on success in this order.
    pub(in crate::engine) fn new(
        commands: Vec<Command>,
        effect: impl FnOnce(&Fate) + Send + 'static,
        reply: impl FnOnce(Result<Vec<Outcome>, WriteError>) + Send + 'static,
    ) -> Self {
        Self { commands, effect: Effect(Some(Box::new(effect))), reply: Reply::new(reply) }
    }

    /// Makes a job, and the receiver of its result.
    pub(in crate::engine) fn waiting(
        commands: Vec<Command>,
        effect: impl FnOnce(&Fate) + Send + 'static,
    ) -> (Self, reply::Receiver<Result<Vec<Outcome>, WriteError>>) {
        let (sender, receiver) = reply::oneshot();
        (Self::new(commands, effect, move |answer| sender.send(answer)), receiver)
    }

    /// Ends the job: nothing was written, and the callers get `error`.
    pub(in crate::engine) fn fail(self, error: WriteError) {
        self.effect.run(&Fate::NotStored);
        self.reply.send(Err(error));
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Job({} commands)", self.commands.len())
    }
}

/// The sending side of both lanes. Emptied by `close`, which ends the writer.
#[derive(Debug)]
pub(in crate::engine) struct Lane {
    senders: RankedRw<Option<(Sender<Job>, Sender<Job>)>>,
}

impl Lane {
    pub(in crate::engine) fn offer(&self, job: Job) -> Result<(), (Job, WriteError)> {
        let senders = self.senders.read();
        let Some((answers, _)) = senders.as_ref() else {
            return Err((job, WriteError::Closed));
        };
        answers.try_send(job).map_err(|error| match error {
            TrySendError::Full(job) => (job, WriteError::Busy),
            TrySendError::Disconnected(job) => (job, WriteError::Closed),
        })
    }

    pub(in crate::engine) fn send_bulk(&self, job: Job) -> Result<(), WriteError> {
        // Cloned, so that waiting for room does not hold up `close`.
        let bulk = self.senders.read().as_ref().map(|(_, bulk)| bulk.clone()).ok_or(WriteError::Closed)?;
        bulk.send(job).map_err(|_| WriteError::Closed)
    }

    pub(in crate::engine) fn is_closed(&self) -> bool {
        self.senders.read().is_none()
    }

    pub(in crate::engine) fn close(&self) {
        *self.senders.write() = None;
    }
}

/// The receiving side.
pub(in crate::engine) struct Inbox {
    pub(in crate::engine) answers: Receiver<Job>,
    pub(in crate::engine) bulk: Receiver<Job>,
}

impl Inbox {
    /// Takes what is left in both lanes, and what callers that wait for room still put there. Ends
    /// once the lanes are closed and empty.
    pub(in crate::engine) fn drain(&self, mut each: impl FnMut(Job)) {
        for job in self.answers.iter() {
            each(job);
        }
        for job in self.bulk.iter() {
            each(job);
        }
    }
}

/// Makes both ends of the writer's lanes.
pub(in crate::engine) fn lanes(waiting_answers: usize) -> (Lane, Inbox) {
    let (answers_in, answers) = bounded(waiting_answers);
    let (bulk_in, bulk) = bounded(2);
    (Lane { senders: RankedRw::new(Rank::Lanes, Some((answers_in, bulk_in))) }, Inbox { answers, bulk })
}
