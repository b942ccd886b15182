//! A request that presents a token.

use super::Gate;
use super::decision::Decision;
use super::facts::Facts;

/// A verdict that needs the store.
#[derive(Debug)]
#[must_use]
pub struct Pending {
    pub(super) gate: Gate,
    pub(super) facts: Facts,
}

impl Pending {
    /// Judges on this thread and waits until the answer is durable. Never returns [`Decision::Pending`].
    pub fn wait(self) -> Decision {
        self.gate.plain(&self.facts)
    }

    /// Judges on a thread of the gate's own and calls `done` there or on the engine's writer; blocks for
    /// nothing, so it may be called on a thread of an async executor. Keep `done` short. `done` never
    /// gets a [`Decision::Pending`].
    pub fn then(self, done: impl FnOnce(Decision) + Send + 'static) {
        done(self.gate.plain(&self.facts));
    }
}
