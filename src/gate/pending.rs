//! A request that presents a token.

use std::sync::mpsc::sync_channel;

use super::Gate;
use super::buffers::Buffered;
use super::decision::Decision;
use super::facts::Facts;

/// A verdict that needs the store.
#[derive(Debug)]
#[must_use]
pub struct Pending {
    pub(super) gate: Gate,
    pub(super) facts: Facts,
    /// The place of the body that the result was found in: an adapter holds that body until the verdict.
    pub(super) buffered: Option<Buffered>,
}

impl Pending {
    /// Judges on this thread and waits until the answer is durable. Never returns [`Decision::Pending`].
    pub fn wait(self) -> Decision {
        let Self { gate, facts, buffered: _buffered } = self;
        let (sender, receiver) = sync_channel(1);
        let unheard = facts.clone();
        gate.judge(facts, move |decision| {
            // The other end waits below for as long as this end exists.
            let _ = sender.send(decision);
        });
        receiver.recv().unwrap_or_else(|_| gate.try_again(&unheard))
    }

    /// Judges on a thread of the gate's own and calls `done` there or on the engine's writer; blocks for
    /// nothing, so it may be called on a thread of an async executor. Keep `done` short. `done` never
    /// gets a [`Decision::Pending`]. At the bound of waiting answers it is called at once, with `try_again`.
    pub fn then(self, done: impl FnOnce(Decision) + Send + 'static) {
        let Self { gate, facts, buffered } = self;
        let done = move |decision| {
            drop(buffered);
            done(decision);
        };
        gate.judge_soon(facts, Box::new(done));
    }
}
