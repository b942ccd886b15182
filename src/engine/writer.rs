//! The one thread that owns all write transactions of the state file: group commit.
//!
//! It takes what is waiting, up to a bound, applies it as one transaction, commits once, and only then
//! answers. No artificial delay: while a commit runs, the next batch gathers by itself.
//!
//! Two lanes: answers go first, then at most one bulk job (a stretch of an ingest) per commit, so that
//! a big ingest cannot hold up an answer for longer than its bounded piece.
//!
//! A failed commit is *unknown*, not *failed*: its callers are told so at once, and what follows in
//! memory waits until the store has been read again. After a failed sync the store stays closed.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use parking_lot::RwLock;

use crate::store::{Command, CommitFailure, Outcome, Refuse, StoreError};

use super::core::Core;
use super::error::WriteError;
use super::event::Event;
use super::oneshot;

/// What became of a job's commands, as far as memory is concerned.
#[derive(Debug)]
pub(super) enum Fate {
    /// They are durable, with these outcomes.
    Stored(Vec<Outcome>),
    /// They are not.
    NotStored,
    /// The store closed before anybody could look.
    Unknown,
}

type Effect = Box<dyn FnOnce(&Fate) + Send>;
type Reply = Box<dyn FnOnce(Result<Vec<Outcome>, WriteError>) + Send>;

/// Commands that belong together, and whom to tell.
pub(super) struct Job {
    commands: Vec<Command>,
    effect: Effect,
    reply: Reply,
}

impl Job {
    /// `effect` runs once the fate of the commands is known, `reply` as soon as there is anything to
    /// say; in case of success in this order.
    pub(super) fn new(
        commands: Vec<Command>,
        effect: impl FnOnce(&Fate) + Send + 'static,
        reply: impl FnOnce(Result<Vec<Outcome>, WriteError>) + Send + 'static,
    ) -> Self {
        Self { commands, effect: Box::new(effect), reply: Box::new(reply) }
    }

    /// A job, and where its answer arrives.
    pub(super) fn waiting(
        commands: Vec<Command>,
        effect: impl FnOnce(&Fate) + Send + 'static,
    ) -> (Self, oneshot::Receiver<Result<Vec<Outcome>, WriteError>>) {
        let (sender, receiver) = oneshot::oneshot();
        (Self::new(commands, effect, move |answer| sender.send(answer)), receiver)
    }

    /// Tells everybody that nothing was written.
    pub(super) fn fail(self, error: WriteError) {
        (self.effect)(&Fate::NotStored);
        (self.reply)(Err(error));
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Job({} commands)", self.commands.len())
    }
}

/// The sending side of both lanes. Emptied by `close`, which ends the writer.
#[derive(Debug)]
pub(super) struct Lane {
    senders: RwLock<Option<(Sender<Job>, Sender<Job>)>>,
}

impl Lane {
    pub(super) fn offer(&self, job: Job) -> Result<(), (Job, WriteError)> {
        let senders = self.senders.read();
        let Some((answers, _)) = senders.as_ref() else {
            return Err((job, WriteError::Closed));
        };
        answers.try_send(job).map_err(|error| match error {
            TrySendError::Full(job) => (job, WriteError::Busy),
            TrySendError::Disconnected(job) => (job, WriteError::Closed),
        })
    }

    pub(super) fn send_bulk(&self, job: Job) -> Result<(), WriteError> {
        // Cloned, so that waiting for room does not hold up `close`.
        let bulk = self.senders.read().as_ref().map(|(_, bulk)| bulk.clone()).ok_or(WriteError::Closed)?;
        bulk.send(job).map_err(|_| WriteError::Closed)
    }

    pub(super) fn close(&self) {
        *self.senders.write() = None;
    }
}

/// The receiving side.
pub(super) struct Inbox {
    answers: Receiver<Job>,
    bulk: Receiver<Job>,
}

/// Both ends of the writer's lanes.
pub(super) fn lanes(waiting_answers: usize) -> (Lane, Inbox) {
    let (answers_in, answers) = bounded(waiting_answers);
    let (bulk_in, bulk) = bounded(2);
    (Lane { senders: RwLock::new(Some((answers_in, bulk_in))) }, Inbox { answers, bulk })
}

/// The writer's loop; ends when the lanes are closed and empty.
pub(super) fn run(core: &Core, inbox: &Inbox) {
    let mut writer = Writer { core, batch_max: core.config.settings.commit_ops_max, limbo: Vec::new() };
    while let Some(batch) = writer.next_batch(inbox) {
        writer.commit(batch, true);
    }
    writer.finish();
}

/// A commit nobody knows the outcome of: what it would have done, and what follows from that.
struct Limbo {
    commit_seq: u64,
    outcomes: Vec<Outcome>,
    effects: Vec<(usize, Effect)>,
}

struct Writer<'c> {
    core: &'c Core,
    batch_max: usize,
    limbo: Vec<Limbo>,
}

impl Writer<'_> {
    /// Waits for work; `None` when both lanes are closed and empty. An empty batch is a chance to
    /// write what is written behind.
    fn next_batch(&self, inbox: &Inbox) -> Option<Vec<Job>> {
        let mut batch = Vec::new();
        let mut closed = false;
        let mut bulk_taken = false;
        crossbeam_channel::select! {
            recv(inbox.answers) -> job => match job {
                Ok(job) => batch.push(job),
                Err(_) => closed = true,
            },
            recv(inbox.bulk) -> job => match job {
                Ok(job) => {
                    batch.push(job);
                    bulk_taken = true;
                }
                Err(_) => closed = true,
            },
            default(self.patience()) => {}
        }
        if closed {
            return match inbox.answers.recv_timeout(Duration::ZERO).or_else(|_| inbox.bulk.recv_timeout(Duration::ZERO))
            {
                Ok(job) => Some(vec![job]),
                Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => None,
            };
        }
        let mut commands: usize = batch.iter().map(|job: &Job| job.commands.len()).sum();
        while commands < self.batch_max {
            let Ok(job) = inbox.answers.try_recv() else {
                break;
            };
            commands += job.commands.len();
            batch.push(job);
        }
        if !bulk_taken && let Ok(job) = inbox.bulk.try_recv() {
            batch.push(job);
        }
        Some(batch)
    }

    /// How long to wait for company when there is only something written behind.
    fn patience(&self) -> Duration {
        if self.core.refused.lock().len() >= self.batch_max { Duration::ZERO } else { WRITE_BEHIND }
    }

    /// Applies a batch, with what is written behind or without.
    fn commit(&mut self, batch: Vec<Job>, behind: bool) {
        let refused = if behind { self.core.refused.lock().oldest(self.batch_max) } else { Vec::new() };
        let checkpoint = behind && self.core.store.checkpoint_due();
        let standings = if behind { self.core.standings.lock().take_dirty(STANDINGS_SLICE) } else { Vec::new() };
        if batch.is_empty() && refused.is_empty() && !checkpoint && standings.is_empty() {
            return;
        }
        #[cfg(feature = "testing")]
        let batch = self.acknowledge_early(batch);
        let mut commands: Vec<Command> = Vec::new();
        let mut talk = Vec::with_capacity(batch.len());
        for job in batch {
            talk.push((job.commands.len(), job.effect, job.reply));
            commands.extend(job.commands);
        }
        let asked = commands.len();
        commands.extend(refused.iter().cloned().map(Command::Refuse));
        if checkpoint {
            commands.push(Command::Checkpoint { limit: CHECKPOINT_SLICE });
        }
        if !standings.is_empty() {
            commands.push(Command::Standings(standings.clone()));
        }
        let applied = self.core.store.apply(&commands, self.core.now_ms());
        if applied.is_err() {
            self.core.standings.lock().put_back(standings);
        }
        match applied {
            Ok(applied) => {
                self.core.refused.lock().written(&refused);
                let mut outcomes = applied.outcomes.into_iter();
                for (count, effect, reply) in talk {
                    let fate = Fate::Stored(outcomes.by_ref().take(count).collect());
                    effect(&fate);
                    if let Fate::Stored(outcomes) = fate {
                        reply(Ok(outcomes));
                    }
                }
            }
            Err(CommitFailure::RolledBack(error)) => {
                if error.is_one_row() && (talk.len() > 1 || !refused.is_empty()) {
                    commands.truncate(asked);
                    self.one_by_one(commands, talk, refused);
                } else {
                    self.rolled_back(&error, talk);
                }
            }
            Err(CommitFailure::Unknown { commit_seq, outcomes, error }) => {
                let mut effects = Vec::new();
                for (count, effect, reply) in talk {
                    effects.push((count, effect));
                    reply(Err(WriteError::Unknown { commit_seq, what: error.to_string() }));
                }
                self.limbo.push(Limbo { commit_seq, outcomes, effects });
                self.recover(&error);
            }
        }
    }

    /// A row that does not fit made a whole batch roll back. It concerns one job or one token: each is
    /// tried by itself, and only that one fails.
    fn one_by_one(&mut self, mut commands: Vec<Command>, talk: Vec<(usize, Effect, Reply)>, refused: Vec<Refuse>) {
        for (count, effect, reply) in talk {
            let rest = commands.split_off(count.min(commands.len()));
            self.commit(vec![Job { commands, effect, reply }], false);
            commands = rest;
        }
        for refuse in refused {
            match self.core.store.apply(&[Command::Refuse(refuse.clone())], self.core.now_ms()) {
                Ok(_) => self.core.refused.lock().written(&[refuse]),
                Err(CommitFailure::RolledBack(error)) if error.is_one_row() => {
                    self.core.refused.lock().written(&[refuse]);
                    self.core.emit(Event::CorruptionFound { tree: 0, what: error.to_string() });
                }
                Err(CommitFailure::RolledBack(error) | CommitFailure::Unknown { error, .. }) => {
                    self.recover(&error);
                    return;
                }
            }
        }
    }

    /// Nothing of the batch is stored. Unless one row is to blame, the storage is opened anew.
    fn rolled_back(&mut self, error: &StoreError, talk: Vec<(usize, Effect, Reply)>) {
        if !error.is_one_row() {
            self.recover(error);
        } else if talk.is_empty() {
            self.core.emit(Event::CorruptionFound { tree: 0, what: error.to_string() });
        }
        let closed = self.core.store.is_closed();
        for (_, effect, reply) in talk {
            effect(&Fate::NotStored);
            reply(Err(if closed { WriteError::Closed } else { WriteError::RolledBack(error.to_string()) }));
        }
    }

    /// Opens the store again, with growing pauses, and settles what was unknown. After a failed sync,
    /// or if it cannot be opened, the store stays closed and what is unknown stays unknown.
    fn recover(&mut self, cause: &StoreError) {
        let mut pause = Duration::from_millis(1);
        let mut result = self.core.store.recover();
        while !self.core.store.is_closed() && result.is_err() && pause <= RECOVER_PAUSE_MAX {
            std::thread::park_timeout(pause);
            pause *= 2;
            result = self.core.store.recover();
        }
        let recovered = result.is_ok();
        if let Ok(last) = result {
            for Limbo { commit_seq, outcomes, effects } in self.limbo.drain(..) {
                let mut outcomes = outcomes.into_iter();
                for (count, effect) in effects {
                    let own: Vec<Outcome> = outcomes.by_ref().take(count).collect();
                    effect(&if commit_seq <= last { Fate::Stored(own) } else { Fate::NotStored });
                }
            }
        }
        self.core.emit(Event::StorageFailed { what: cause.to_string(), recovered });
    }

    #[cfg(feature = "testing")]
    fn acknowledge_early(&self, batch: Vec<Job>) -> Vec<Job> {
        if !self.core.config.makes(super::testing::Mistake::AcknowledgeEarly) {
            return batch;
        }
        let early = |job: Job| {
            if !matches!(job.commands.as_slice(), [Command::Settle(_)]) {
                return job;
            }
            let seq = self.core.store.head().next_ledger;
            let outcome = Outcome::Settled { seq, first_leaf: false, leaves_complete: false, interior_complete: false };
            (job.reply)(Ok(vec![outcome; job.commands.len()]));
            Job { commands: job.commands, effect: job.effect, reply: Box::new(|_| {}) }
        };
        batch.into_iter().map(early).collect()
    }

    fn finish(&mut self) {
        let behind = || self.core.refused.lock().len() + self.core.standings.lock().dirty_len();
        while behind() > 0 {
            let before = behind();
            self.commit(Vec::new(), true);
            if behind() >= before {
                break;
            }
        }
        for limbo in self.limbo.drain(..) {
            for (_, effect) in limbo.effects {
                effect(&Fate::Unknown);
            }
        }
        // A full checkpoint makes the next open short; the ledger would do without it. The clock is written in any
        // case: with an older one, and a wall clock set back, tokens that have expired would be good again.
        let limit = usize::MAX;
        if self.core.store.dirty_clients() > 0 || self.core.now_ms() > self.core.store.head().clock_ms {
            let done = self.core.store.apply(&[Command::Checkpoint { limit }, Command::Touch], self.core.now_ms());
            if let Err(error) = done {
                self.core.emit(Event::StorageFailed { what: error.to_string(), recovered: false });
            }
        }
    }
}

/// Starts the writer's thread.
pub(super) fn start(core: Arc<Core>, inbox: Inbox) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("pouw-writer".into()).spawn(move || {
        run(&core, &inbox);
        // Jobs that came in after the lanes were closed.
        for job in inbox.answers.try_iter().chain(inbox.bulk.try_iter()) {
            job.fail(WriteError::Closed);
        }
        core.store.close();
    })
}

/// How long something written behind may wait for a commit to ride on.
const WRITE_BEHIND: Duration = Duration::from_millis(500);
/// Rows of a checkpoint written with one commit: more than can become dirty meanwhile.
const CHECKPOINT_SLICE: usize = 512;
/// Changed standings written with one commit.
const STANDINGS_SLICE: usize = 1_024;
/// Longest pause between two tries to open the store again.
const RECOVER_PAUSE_MAX: Duration = Duration::from_millis(128);
