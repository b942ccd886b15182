//! A request that presents a token.

use std::sync::mpsc::sync_channel;

use super::Gate;
use super::answer::OpenedToken;
use super::buffers::Buffered;
use super::decision::Decision;
use super::facts::Facts;
use super::judges::Job;

/// A request whose decision needs the store.
#[derive(Debug)]
#[must_use]
pub struct Pending {
    pub(super) gate: Gate,
    pub(super) facts: Facts,
    /// The token, if it has been opened already.
    pub(super) token: Option<Box<OpenedToken>>,
    /// The place of the body that the result was found in: an adapter holds that body until the verdict.
    pub(super) buffered: Option<Buffered>,
}

impl Pending {
    /// Judges on this thread and waits until the answer is durable.
    pub fn wait(self) -> Decision {
        let Self { gate, facts, token, buffered: _buffered } = self;
        let dress = (gate.clone(), facts.clone());
        let (sender, receiver) = sync_channel(1);
        let (hand_over, handed_over) = sync_channel::<Job>(1);
        // Each other end is here, and there is room for the one thing that comes.
        let hand_over = move |job| {
            let _ = hand_over.send(job);
        };
        gate.judge(facts, token, hand_over, move |decision| {
            let _ = sender.send(decision);
        });
        // Nothing comes if the verdict needed no commit.
        if let Ok(job) = handed_over.recv() {
            job();
        }
        dress.0.dressed(&dress.1, receiver.recv().unwrap_or_else(|_| dress.0.try_again(&dress.1)))
    }

    /// Judges on a thread of the gate's own and calls `done` on such a thread; blocks for nothing, so it may be
    /// called on a thread of an async executor. Keep `done` short. At the bound of waiting answers it is called at once,
    /// with `try_again`, and so it is if judging panics, a bug or a panic of the host's own code.
    pub fn then(self, done: impl FnOnce(Decision) + Send + 'static) {
        let Self { gate, facts, token, buffered } = self;
        let done = move |decision| {
            drop(buffered);
            done(decision);
        };
        let owed = Owed { gate: gate.clone(), facts: facts.clone(), done: Some(Box::new(done)) };
        let judging = gate.clone();
        let job: Job = Box::new(move || {
            let finishing = judging.clone();
            let finish = move |verdict| finishing.inner.judges.finish(verdict);
            judging.judge(facts, token, finish, move |decision| owed.settle(decision));
        });
        // One that is not taken is dropped, and what is owed with it.
        drop(gate.inner.judges.offer(job));
    }
}

/// Somebody waits for a verdict: if it is lost on the way, this says `try_again`.
struct Owed {
    gate: Gate,
    facts: Facts,
    done: Option<Box<dyn FnOnce(Decision) + Send>>,
}

impl Owed {
    fn settle(mut self, decision: Decision) {
        self.tell(decision);
    }

    fn tell(&mut self, decision: Decision) {
        if let Some(done) = self.done.take() {
            done(self.gate.dressed(&self.facts, decision));
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if self.done.is_some() {
            self.tell(self.gate.try_again(&self.facts));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Config, PouwEngine};
    use crate::gate::identity::NetworkPrefix;
    use crate::gate::{ClientKey, GateConfig, Presented};
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
        let owed = Owed { gate, facts, done: Some(done) };
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
