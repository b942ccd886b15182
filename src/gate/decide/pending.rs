//! A request with a token, whose decision needs the store.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use crate::gate::memory::buffers::Buffered;
use crate::gate::memory::jobs::Job;
use crate::gate::reply::decision::Decision;
use crate::gate::request::facts::Facts;
use crate::gate::state::Gate;

use super::token::OpenedToken;

/// A request whose decision needs the store.
#[derive(Debug)]
#[must_use]
pub struct Pending {
    gate: Gate,
    facts: Facts,
    /// The token, if it has been opened already.
    token: Option<Arc<OpenedToken>>,
    /// The reservation for the body with the result: an adapter keeps that body until the decision.
    buffered: Option<Buffered>,
}

impl Pending {
    /// Counts a request with a token, which is judged later.
    pub(in crate::gate) fn new(
        gate: &Gate,
        facts: Facts,
        token: Option<Arc<OpenedToken>>,
        buffered: Option<Buffered>,
    ) -> Self {
        gate.inner.tallies.requests.bump();
        Self { gate: gate.clone(), facts, token, buffered }
    }

    /// Judges on this thread and waits until the answer is durable.
    pub fn wait(self) -> Decision {
        let Self { gate, facts, token, buffered: _buffered } = self;
        let facts = Arc::new(facts);
        let (sender, receiver) = sync_channel(1);
        let (hand_over, handed_over) = sync_channel::<Job>(1);
        // The receiver exists, and the channel has room for the only message.
        let hand_over = move |job| {
            let _ = hand_over.send(job);
        };
        gate.judge(facts.clone(), token, hand_over, move |decision| {
            let _ = sender.send(decision);
        });
        // No message arrives if the decision needs no commit.
        if let Ok(job) = handed_over.recv() {
            job();
        }
        gate.dressed(&facts, receiver.recv().unwrap_or_else(|_| gate.try_again(&facts)))
    }

    /// Judges on a thread of the gate and calls `done` on such a thread. It never blocks, so it may
    /// be called on a thread of an async executor. Keep `done` short. At the maximum of waiting
    /// answers, `done` is called at once with `try_again`; also if judging panics, by a bug or in
    /// the host's code.
    pub fn then(self, done: impl FnOnce(Decision) + Send + 'static) {
        let Self { gate, facts, token, buffered } = self;
        let done = move |decision| {
            drop(buffered);
            done(decision);
        };
        let facts = Arc::new(facts);
        let owed = Owed { gate: gate.clone(), facts: facts.clone(), done: Some(Box::new(done)) };
        let judging = gate.clone();
        let job: Job = Box::new(move || {
            let finishing = judging.clone();
            let finish = move |verdict| finishing.inner.jobs.finish(verdict);
            judging.judge(facts, token, finish, move |decision| owed.settle(decision));
        });
        // A job that is not accepted is dropped, which calls `done` with `try_again`.
        drop(gate.inner.jobs.offer(job));
    }
}

/// The gate's view of a request when nothing more has to be read of it.
#[derive(Debug)]
#[must_use]
pub enum Verdict {
    /// The decision is made.
    Decided(Decision),
    /// The request presents a token, so the decision needs the store: wait for it, or have it
    /// called back.
    Judge(Pending),
}

impl Verdict {
    /// Returns the decision; waits for the store if it needs it. See [`Pending::wait`].
    pub fn wait(self) -> Decision {
        match self {
            Self::Decided(decision) => decision,
            Self::Judge(pending) => pending.wait(),
        }
    }

    /// Calls `done` with the decision: at once if it is made, else as [`Pending::then`] does.
    pub fn then(self, done: impl FnOnce(Decision) + Send + 'static) {
        match self {
            Self::Decided(decision) => done(decision),
            Self::Judge(pending) => pending.then(done),
        }
    }
}

/// A caller that waits for a decision. If the decision is lost, dropping this reports `try_again`.
struct Owed {
    gate: Gate,
    facts: Arc<Facts>,
    done: Option<Box<dyn FnOnce(Decision) + Send>>,
}

impl Owed {
    fn settle(mut self, decision: Decision) {
        self.deliver(decision);
    }

    fn deliver(&mut self, decision: Decision) {
        if let Some(done) = self.done.take() {
            done(self.gate.dressed(&self.facts, decision));
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if self.done.is_some() {
            self.deliver(self.gate.try_again(&self.facts));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Config, PouwEngine};
    use crate::gate::{ClientKey, GateConfig, NetworkPrefix, Presented};
    use crate::protocol::{Reason, header};

    #[test]
    fn a_verdict_that_is_lost_on_the_way_asks_to_try_again() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::builder([7; 32]).background(false).build().unwrap();
        let engine = PouwEngine::open(directory.path(), config).unwrap();
        let gate = Gate::new(engine, GateConfig::default()).unwrap();
        let mut facts = Facts::new(ClientKey::User("u".into()), NetworkPrefix::of(None));
        facts.answer = Some(Presented { token: "token".to_owned(), result: None });
        let (sender, receiver) = sync_channel(1);
        let done: Box<dyn FnOnce(Decision) + Send> = Box::new(move |decision| sender.send(decision).unwrap());
        let owed = Owed { gate, facts: Arc::new(facts), done: Some(done) };
        let lost = std::thread::spawn(move || {
            let _owed = owed;
            panic!("a bug");
        });
        assert!(lost.join().is_err());
        let Ok(Decision::Refuse(refusal)) = receiver.try_recv() else { panic!("nothing was said") };
        assert_eq!((refusal.status, refusal.reason), (429, Reason::TryAgain));
        assert_eq!((refusal.token(), refusal.headers.find(header::RETRY_AFTER)), (Some("token"), Some("1")));
    }
}
