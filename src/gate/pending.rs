//! A request that presents a token.

use std::sync::mpsc::sync_channel;

use super::Gate;
use super::decision::Decision;
use super::facts::Facts;
use super::flight::Flight;
use super::judges::Job;

/// A verdict that needs the store.
#[derive(Debug)]
#[must_use]
pub struct Pending {
    pub(super) gate: Gate,
    pub(super) facts: Facts,
    /// Room for the body that the result was found in: an adapter holds that body until the verdict.
    pub(super) booked: Option<Flight>,
}

impl Pending {
    /// Judges on this thread and waits until the answer is durable. Never returns [`Decision::Pending`].
    pub fn wait(self) -> Decision {
        let Self { gate, facts, booked: _booked } = self;
        let (sender, receiver) = sync_channel(1);
        let (hand_over, handed_over) = sync_channel::<Job>(1);
        let unheard = facts.clone();
        // Each other end is here, and there is room for the one thing that comes.
        let hand_over = move |job| {
            let _ = hand_over.send(job);
        };
        gate.judge(facts, hand_over, move |decision| {
            let _ = sender.send(decision);
        });
        // Nothing comes if the verdict needed no commit.
        if let Ok(job) = handed_over.recv() {
            job();
        }
        receiver.recv().unwrap_or_else(|_| gate.try_again(&unheard))
    }

    /// Judges on a thread of the gate's own and calls `done` on such a thread; blocks for nothing, so it may be
    /// called on a thread of an async executor. Keep `done` short. `done` never gets a [`Decision::Pending`]. At the
    /// bound of waiting answers it is called at once, with `try_again`.
    pub fn then(self, done: impl FnOnce(Decision) + Send + 'static) {
        let Self { gate, facts, booked } = self;
        let done = move |decision| {
            drop(booked);
            done(decision);
        };
        gate.judge_soon(facts, Box::new(done));
    }
}
