//! The part of the engine that only the gate uses.

use std::sync::Arc;

#[cfg(feature = "gate")]
use crate::guard::Panicked;

use super::core::Core;
use super::handle::PouwEngine;
#[cfg(feature = "gate")]
use super::pulse::Pulse;

/// The calls of the gate: the steps of checking an answer one by one, difficulty, and a probe of
/// the storage.
#[derive(Debug, Clone, Copy)]
pub struct ForGate<'e>(&'e PouwEngine);

impl PouwEngine {
    /// The calls of the gate.
    pub(crate) fn for_gate(&self) -> ForGate<'_> {
        ForGate(self)
    }
}

/// The same for tests and benchmarks.
pub fn for_gate(engine: &PouwEngine) -> ForGate<'_> {
    engine.for_gate()
}

impl ForGate<'_> {
    /// What a thread of the gate needs to give signs of life. It does not keep the engine open.
    #[cfg(feature = "gate")]
    pub(crate) fn reporter(&self) -> Reporter {
        Reporter(self.core().clone())
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        self.0.core()
    }

    /// The clock of rate limit windows: engine time at the first call, then as
    /// [`Clock::window`](super::Clock::window) advances. Not comparable with
    /// [`PouwEngine::now`].
    #[cfg(feature = "gate")]
    pub fn window_ms(&self) -> u64 {
        self.core().time.window_ms()
    }
}

/// Reports on threads of a gate. The engine closes when its last handle goes, whether or not one of
/// these is left.
#[cfg(feature = "gate")]
pub(crate) struct Reporter(Arc<Core>);

#[cfg(feature = "gate")]
impl Reporter {
    pub(crate) fn now_ms(&self) -> u64 {
        self.0.time.now_ms()
    }

    pub(crate) fn survived(&self, pulse: &Pulse, panicked: Panicked) {
        self.0.events.survived(pulse, self.0.time.now_ms(), panicked);
    }
}
