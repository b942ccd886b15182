//! The parts of a gate that the host may supply.

use std::fmt;
use std::sync::Arc;

use super::event::GateEventSink;
use super::memory::shared_window::SharedWindow;
use super::request::client::ClientKey;

/// Returns the host's reputation of a client, 0 to 1.
pub(super) type ReputationProvider = Arc<dyn Fn(&ClientKey) -> Option<f64> + Send + Sync>;

/// The parts of a gate that the host may supply: a subscriber of events, a source of reputations,
/// windows outside the process, and a clock tick. Used by
/// [`Gate::with_runtime`](crate::Gate::with_runtime).
///
/// # Examples
///
/// ```no_run
/// use pouw::{ClientKey, Config, Gate, GateConfig, GateRuntime, PouwEngine};
///
/// let config = Config::new("a secret of thirty-two bytes or more")?;
/// let engine = PouwEngine::open("pouw-data", config)?;
/// // Users who pay get work one tier lower.
/// let runtime = GateRuntime::default().reputation(|client| match client {
///     ClientKey::User(name) => name.starts_with("paying-").then_some(0.8),
///     _ => None,
/// });
/// let gate = Gate::with_runtime(engine, GateConfig::default(), runtime)?;
/// # let _ = gate;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct GateRuntime {
    pub(super) events: GateEventSink,
    pub(super) reputation: Option<ReputationProvider>,
    pub(super) window: Option<Arc<dyn SharedWindow>>,
    pub(super) ticked_by_host: bool,
}

impl GateRuntime {
    /// Sends events to `events`.
    pub fn events(mut self, events: GateEventSink) -> Self {
        self.events = events;
        self
    }

    /// Asks `provider` for the reputation of clients over their limit. A panic in it, or a number
    /// that is not between 0 and 1, has no effect.
    pub fn reputation(mut self, provider: impl Fn(&ClientKey) -> Option<f64> + Send + Sync + 'static) -> Self {
        self.reputation = Some(Arc::new(provider));
        self
    }

    /// Uses windows outside the process. If they cannot be reached, `fallback_behavior` applies.
    pub fn window(mut self, window: Arc<dyn SharedWindow>) -> Self {
        self.window = Some(window);
        self
    }

    /// Leaves [`Gate::tick`](crate::Gate::tick) to the host. Otherwise a thread of the gate calls
    /// it about once a second.
    pub fn ticked_by_host(mut self) -> Self {
        self.ticked_by_host = true;
        self
    }
}

impl fmt::Debug for GateRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateRuntime")
            .field("events", &self.events)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}
