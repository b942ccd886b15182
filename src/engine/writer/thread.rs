//! The one thread that owns all write transactions of the state file: group commit.
//!
//! It takes the waiting jobs, up to a bound, applies them as one transaction, commits once, and
//! only then answers. No artificial delay: while a commit runs, the next batch gathers by itself.
//!
//! There are two lanes: answers go first, then at most one bulk job (a stretch of an ingest) per
//! commit, so that a big ingest cannot hold up an answer for longer than its bounded piece.
//!
//! A failed commit is *unknown*, not *failed*: its callers get that result at once, and the state
//! in memory is updated only when the store has been read again. After a failed sync, or when redb
//! gives up on a damaged page, the store stays closed: the thread answers what waits, and ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use crate::guard::{Panicked, contained};
use crate::store::{Command, CommitFailure, Outcome, StoreError};

use super::behind::Behind;
use super::job::{Effect, Fate, Inbox, Job, Reply};
use crate::engine::core::Core;
use crate::engine::error::WriteError;
use crate::engine::event::Event;

/// Runs the writer's loop until the lanes are closed and empty, or the store stays closed.
fn run(core: &Core, inbox: &Inbox) {
    let batch_max = core.config.settings.commit_ops_max;
    let standings_at = Instant::now();
    let mut writer = Writer { core, batch_max, limbo: Vec::new(), standings_at, well: true, told: false };
    let pulse = &core.writer.pulse;
    let written = contained(|| {
        while let Some(batch) = writer.next_batch(inbox) {
            pulse.busy(core.time.now_ms());
            let behind = writer.behind(batch.is_empty());
            writer.commit(batch, behind);
            pulse.idle(core.time.now_ms());
            if core.store.is_closed() {
                break;
            }
        }
        if !core.store.is_closed() {
            writer.finish();
        }
    });
    if let Err(Panicked(what)) = written {
        core.store.latch(format!("the thread that writes gave up ({what})"));
    }
    writer.give_up();
}

/// A commit with an unknown outcome: its results and effects if it proves to be stored.
struct Limbo {
    commit_seq: u64,
    outcomes: Vec<Outcome>,
    effects: Vec<(usize, Effect)>,
    behind: Behind,
}

struct Writer<'c> {
    core: &'c Core,
    batch_max: usize,
    limbo: Vec<Limbo>,
    /// When standings were last written.
    standings_at: Instant,
    /// The last commit went through.
    well: bool,
    /// That the store stays closed was reported.
    told: bool,
}

impl Writer<'_> {
    /// Waits for jobs. Returns `None` when both lanes are closed and empty, and an empty batch when
    /// only deferred rows are due.
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

    /// Returns how long deferred rows wait for a job to be written with.
    fn patience(&self) -> Duration {
        let refused = self.core.refused.len() >= self.batch_max;
        let standings = self.core.clients.standings.lock().waiting() >= STANDINGS_PER_COMMIT;
        patience(self.well, refused, standings)
    }

    /// Returns the deferred rows for the next commit. Standings have random keys, which cost a page
    /// each, so they are written at most twice a second, unless many wait or no job does (`idle`).
    fn behind(&mut self, idle: bool) -> Behind {
        let waiting = self.core.clients.standings.lock().waiting();
        let due = idle || waiting >= STANDINGS_PER_COMMIT || self.standings_at.elapsed() >= WRITE_BEHIND;
        if due {
            self.standings_at = Instant::now();
        }
        Behind::due(self.core, self.batch_max, if due { STANDINGS_PER_COMMIT } else { 0 })
    }

    /// Applies a batch, with the deferred rows.
    fn commit(&mut self, batch: Vec<Job>, behind: Behind) {
        if batch.is_empty() && behind.is_empty() {
            return;
        }
        #[cfg(feature = "testing")]
        let batch = self.acknowledge_early(batch);
        let mut commands: Vec<Command> = Vec::new();
        let commit_seq = self.core.store.head().commit_seq + 1;
        let mut talk = Vec::with_capacity(batch.len());
        for mut job in batch {
            job.reply.part_of(commit_seq);
            talk.push((job.commands.len(), job.effect, job.reply));
            commands.extend(job.commands);
        }
        let asked = commands.len();
        behind.add_to(&mut commands);
        let applied = self.apply(&commands);
        self.well = applied.is_ok();
        match applied {
            Ok(outcomes) => {
                behind.written(self.core);
                let mut outcomes = outcomes.into_iter();
                for (count, effect, reply) in talk {
                    let fate = Fate::Stored(outcomes.by_ref().take(count).collect());
                    effect.run(&fate);
                    if let Fate::Stored(outcomes) = fate {
                        tell(self.core, reply, Ok(outcomes));
                    }
                }
            }
            Err(CommitFailure::RolledBack(error)) => {
                if error.is_one_row() && (talk.len() > 1 || behind.has_rows()) {
                    commands.truncate(asked);
                    self.one_by_one(commands, talk, &behind);
                } else {
                    self.rolled_back(&error, talk);
                }
            }
            Err(CommitFailure::Unknown { commit_seq, outcomes, error }) => {
                let mut effects = Vec::new();
                for (count, effect, reply) in talk {
                    effects.push((count, effect));
                    tell(self.core, reply, Err(WriteError::Unconfirmed { commit_seq, what: error.to_string() }));
                }
                self.limbo.push(Limbo { commit_seq, outcomes, effects, behind });
                self.recover(&error);
            }
        }
    }

    fn apply(&self, commands: &[Command]) -> Result<Vec<Outcome>, CommitFailure> {
        #[cfg(feature = "gate")]
        let started = Instant::now();
        let applied = self.core.store.apply(commands, self.core.time.now_ms());
        match &applied {
            Err(CommitFailure::RolledBack(error)) if error.is_one_row() => {}
            other => self.core.tallies.commit(other.is_ok()),
        }
        #[cfg(feature = "gate")]
        metrics::histogram!("pouw_commit_seconds").record(started.elapsed().as_secs_f64());
        Ok(applied?.outcomes)
    }

    /// Tries each job and token by itself, after one row that does not fit made the whole batch
    /// roll back. Only the job or token with that row fails.
    fn one_by_one(&mut self, mut commands: Vec<Command>, talk: Vec<(usize, Effect, Reply)>, behind: &Behind) {
        for (count, effect, reply) in talk {
            let rest = commands.split_off(count.min(commands.len()));
            self.commit(vec![Job { commands, effect, reply }], Behind::default());
            commands = rest;
        }
        for piece in behind.pieces() {
            let mut commands = Vec::new();
            piece.add_to(&mut commands);
            match self.apply(&commands) {
                Ok(_) => piece.written(self.core),
                Err(CommitFailure::RolledBack(error)) if error.is_one_row() => {
                    piece.written(self.core);
                    self.core.events.emit(Event::CorruptionFound { tree: None, what: error.to_string() });
                }
                Err(CommitFailure::RolledBack(error) | CommitFailure::Unknown { error, .. }) => {
                    self.recover(&error);
                    return;
                }
            }
        }
    }

    /// Handles a batch of which nothing is stored. Unless one row is to blame, the storage is
    /// opened again.
    fn rolled_back(&mut self, error: &StoreError, talk: Vec<(usize, Effect, Reply)>) {
        if !error.is_one_row() {
            self.recover(error);
        } else if talk.is_empty() {
            self.core.events.corruption(None, error.to_string());
        }
        let closed = self.core.store.is_closed();
        for (_, effect, reply) in talk {
            let one_row = error.is_one_row();
            effect.run(&if one_row { Fate::RowDamaged(error.to_string()) } else { Fate::NotStored });
            let error = if closed { WriteError::Closed } else { WriteError::NotStored(error.to_string()) };
            tell(self.core, reply, Err(error));
        }
    }

    /// Opens the store again, with growing pauses, and settles the commits with an unknown outcome.
    /// After a failed sync, or if it cannot be opened, the store stays closed and they stay
    /// unknown.
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
            for Limbo { commit_seq, outcomes, effects, behind } in self.limbo.drain(..) {
                if commit_seq <= last {
                    behind.written(self.core);
                }
                let mut outcomes = outcomes.into_iter();
                for (count, effect) in effects {
                    let own: Vec<Outcome> = outcomes.by_ref().take(count).collect();
                    effect.run(&if commit_seq <= last { Fate::Stored(own) } else { Fate::NotStored });
                }
            }
        }
        self.report(cause.to_string(), recovered);
    }

    /// Reports a failure. That the store stays closed is reported once, with the reason.
    fn report(&mut self, what: String, recovered: bool) {
        let closed = self.core.store.is_closed();
        if !(closed && self.told) {
            self.told = closed;
            self.core.events.emit(Event::StorageFailed { what: self.core.writer.failure_or(what), recovered });
        }
    }

    /// Settles what is left once nothing more is written. If that is because of a failure, reports
    /// it, once.
    fn give_up(mut self) {
        for (_, effect) in self.limbo.drain(..).flat_map(|limbo| limbo.effects) {
            if contained(|| effect.run(&Fate::Unknown)).is_err() {
                self.core.events.emit(Event::CallbackPanicked);
            }
        }
        if let Some(why) = self.core.store.failure() {
            self.report(why.to_owned(), false);
        }
    }

    #[cfg(feature = "testing")]
    fn acknowledge_early(&self, batch: Vec<Job>) -> Vec<Job> {
        if !self.core.config.makes(crate::engine::mistake::Mistake::AcknowledgeEarly) {
            return batch;
        }
        let early = |job: Job| {
            if !matches!(job.commands.as_slice(), [Command::Settle(_)]) {
                return job;
            }
            let seq = self.core.store.head().next_ledger;
            let outcome = Outcome::Settled { seq, first_leaf: false, leaves_complete: false, interior_complete: false };
            tell(self.core, job.reply, Ok(vec![outcome; job.commands.len()]));
            Job { commands: job.commands, effect: job.effect, reply: Reply::new(|_| {}) }
        };
        batch.into_iter().map(early).collect()
    }

    fn waiting_behind(&self) -> usize {
        self.core.refused.len() + self.core.clients.standings.lock().waiting()
    }

    fn finish(&mut self) {
        loop {
            let before = self.waiting_behind();
            let behind = Behind::due(self.core, self.batch_max, STANDINGS_AT_CLOSE);
            self.commit(Vec::new(), behind);
            let after = self.waiting_behind();
            if after == 0 || after >= before {
                break;
            }
        }
        // A full checkpoint shortens the next open; the ledger does not need it. The clock is
        // written in any case: with an older one, and a wall clock set back, expired tokens would
        // be valid again.
        let limit = usize::MAX;
        let scrub = self.core.scrub.unwritten().map(|row| Command::PutScrub(Box::new(row)));
        let behind = self.core.time.now_ms() > self.core.store.head().clock_ms;
        if self.core.store.dirty_clients() > 0 || behind || scrub.is_some() {
            let mut last = vec![Command::Checkpoint { limit }, Command::Touch];
            last.extend(scrub);
            let done = self.core.store.apply(&last, self.core.time.now_ms());
            if let Err(error) = done {
                self.report(error.to_string(), self.core.store.is_open());
            }
        }
    }
}

/// Returns how long deferred rows wait for a job to be written with. `refused` and `standings`:
/// there are enough of these for a full commit. A failing store (not `well`) is never hurried, or
/// it would fail in a tight loop.
fn patience(well: bool, refused: bool, standings: bool) -> Duration {
    match (well, refused, standings) {
        (true, true, _) => Duration::ZERO,
        (true, false, true) => CATCH_UP,
        (false, ..) | (true, false, false) => WRITE_BEHIND,
    }
}

/// Calls `reply`. If it panics, only that call ends.
fn tell(core: &Core, reply: Reply, answer: Result<Vec<Outcome>, WriteError>) {
    if contained(|| reply.send(answer)).is_err() {
        core.events.emit(Event::CallbackPanicked);
    }
}

/// Starts the writer's thread. However its loop ends, the lanes are closed and every job in them is
/// answered: no caller waits for a thread that is gone.
pub(in crate::engine) fn start(core: Arc<Core>, inbox: Inbox) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("pouw-writer".into()).spawn(move || {
        let _running = core.writer.pulse.while_running();
        run(&core, &inbox);
        #[cfg(feature = "testing")]
        if core.store.is_closed() && core.config.makes(crate::engine::mistake::Mistake::PanicLeavesJobs) {
            return std::mem::forget(inbox);
        }
        core.writer.lanes.close();
        inbox.drain(|job| {
            if contained(|| job.fail(WriteError::Closed)).is_err() {
                core.events.emit(Event::CallbackPanicked);
            }
        });
        core.store.close();
    })
}

/// How long deferred rows wait for a commit to be part of.
const WRITE_BEHIND: Duration = Duration::from_millis(500);
/// The same while more standings wait than one commit takes, unless the store fails: a flood of new
/// clients makes thousands a second.
const CATCH_UP: Duration = Duration::from_millis(20);
/// Standings written with one commit, and with one at close.
const STANDINGS_PER_COMMIT: usize = 256;
const STANDINGS_AT_CLOSE: usize = 16_384;
/// Longest pause between two tries to open the store again.
const RECOVER_PAUSE_MAX: Duration = Duration::from_millis(128);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writer_hurries_only_while_more_waits_than_one_commit_takes_and_the_store_is_well() {
        assert_eq!(patience(true, false, false), WRITE_BEHIND);
        assert_eq!(patience(true, false, true), CATCH_UP);
        assert_eq!([false, true].map(|standings| patience(true, true, standings)), [Duration::ZERO; 2]);
        for (refused, standings) in [(false, false), (false, true), (true, false), (true, true)] {
            assert_eq!(patience(false, refused, standings), WRITE_BEHIND);
        }
    }
}
