//! Handing commands to the writer, and waiting for their fate.

pub(super) mod behind;
pub(super) mod job;
pub(super) mod reply;
pub(super) mod thread;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::store::{Command, Outcome, Store};

use super::error::WriteError;
use super::locks::{Rank, Ranked};
use super::pulse::Pulse;
use job::{Fate, Inbox, Job, Lane, lanes};

/// Why commands were not written.
#[derive(Debug)]
pub(in crate::engine) enum Unwritten {
    /// A row they need is missing or does not decode: a repeat fares no better.
    Row(String),
    /// The storage or the engine is to blame, and no row of theirs.
    Storage(WriteError),
}

/// The way to the thread that writes.
#[derive(Debug)]
pub(in crate::engine) struct Writer {
    store: Arc<dyn Store>,
    pub(in crate::engine) lanes: Lane,
    pub(in crate::engine) pulse: Pulse,
    closing: AtomicBool,
}

impl Writer {
    /// With what the thread takes its jobs from.
    pub(in crate::engine) fn new(store: Arc<dyn Store>, waiting_answers: usize, now_ms: u64) -> (Self, Inbox) {
        let (lanes, inbox) = lanes(waiting_answers);
        (Self { store, lanes, pulse: Pulse::new("pouw-writer", now_ms), closing: AtomicBool::new(false) }, inbox)
    }

    pub(in crate::engine) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Stops taking writes. The thread ends after the jobs already handed in.
    pub(in crate::engine) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.lanes.close();
        if self.store.is_read_only() {
            // It has no thread that would do so.
            self.store.close();
        }
    }

    /// Whether the engine is being closed.
    pub(in crate::engine) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Whether the engine is being closed, or the store stays closed until a restart.
    pub(in crate::engine) fn takes_no_writes(&self) -> bool {
        self.is_closing() || self.store.is_closed()
    }

    pub(in crate::engine) fn may_write(&self) -> Result<(), WriteError> {
        match (self.takes_no_writes(), self.store.is_read_only()) {
            (true, _) => Err(WriteError::Closed),
            (false, true) => Err(WriteError::ReadOnly),
            (false, false) => Ok(()),
        }
    }

    /// Returns why the store stays closed, else `what`.
    pub(in crate::engine) fn failure_or(&self, what: String) -> String {
        self.store.failure().map_or(what, str::to_owned)
    }

    /// Hands a job to the writer. Fails with `Busy` if too many are waiting.
    pub(in crate::engine) fn write_soon(&self, job: Job) -> Result<(), (Job, WriteError)> {
        if let Err(error) = self.may_write() {
            return Err((job, error));
        }
        self.lanes.offer(job)
    }

    /// Writes one command in the lane of answers, and waits.
    pub(in crate::engine) fn write(&self, command: Command) -> Result<Outcome, WriteError> {
        let (job, answer) = Job::waiting(vec![command], |_| {});
        self.write_soon(job).map_err(|(_, error)| error)?;
        let mut outcomes = answer.wait().ok_or(WriteError::Closed)??;
        outcomes.pop().ok_or(WriteError::Closed)
    }

    /// Writes commands in the lane that answers overtake, and waits.
    pub(in crate::engine) fn write_bulk(&self, commands: Vec<Command>) -> Result<Vec<Outcome>, WriteError> {
        self.write_bulk_then(commands, |_| {})
    }

    /// Does the same, and runs `effect` once the fate of the commands is known: a commit reported
    /// as unknown may prove to be stored.
    pub(in crate::engine) fn write_bulk_then(
        &self,
        commands: Vec<Command>,
        effect: impl FnOnce(&Fate) + Send + 'static,
    ) -> Result<Vec<Outcome>, WriteError> {
        self.may_write()?;
        let (job, answer) = Job::waiting(commands, effect);
        self.lanes.send_bulk(job)?;
        answer.wait().ok_or(WriteError::Closed)?
    }

    /// Writes commands in the same lane. If they are not written, the error says whether one of
    /// their rows is to blame.
    pub(in crate::engine) fn write_rows(&self, commands: Vec<Command>) -> Result<Vec<Outcome>, Unwritten> {
        let at_fault = Arc::new(Ranked::new(Rank::AtFault, None));
        let noted = at_fault.clone();
        let written = self.write_bulk_then(commands, move |fate| {
            if let Fate::RowDamaged(what) = fate {
                *noted.lock() = Some(what.clone());
            }
        });
        written.map_err(|error| match at_fault.lock().take() {
            Some(what) => Unwritten::Row(what),
            None => Unwritten::Storage(error),
        })
    }

    /// Writes commands of which each has rows of its own, and adds what became of each: its
    /// outcome, or what is wrong with one of its rows. Such a command is found by halving, and the
    /// others are written. Those behind a failure of the storage have no fate.
    pub(in crate::engine) fn write_each(
        &self,
        commands: &[Command],
        fates: &mut Vec<Result<Outcome, String>>,
    ) -> Result<(), WriteError> {
        if commands.is_empty() {
            return Ok(());
        }
        match self.write_rows(commands.to_vec()) {
            Ok(outcomes) => fates.extend(outcomes.into_iter().map(Ok)),
            Err(Unwritten::Row(what)) if commands.len() == 1 => fates.push(Err(what)),
            Err(Unwritten::Row(_)) => {
                let (first, rest) = commands.split_at(commands.len() / 2);
                self.write_each(first, fates)?;
                self.write_each(rest, fates)?;
            }
            Err(Unwritten::Storage(error)) => return Err(error),
        }
        Ok(())
    }
}
