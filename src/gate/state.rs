//! What all handles of a gate share: its parts.

use std::fmt;
use std::sync::Arc;

use crate::engine::PouwEngine;

use super::config::builder::GateConfigBuilder;
use super::config::routes::Routes;
use super::event::GateEventSink;
use super::memory::breaker::Watch;
use super::memory::buffers::Buffers;
use super::memory::challenges::Challenges;
use super::memory::flight::Runway;
use super::memory::jobs::Jobs;
use super::memory::limit::Limits;
use super::memory::passes::Passes;
use super::memory::replaced::Replaced;
use super::memory::self_checks::SelfChecks;
use super::memory::shared_window::HostWindow;
use super::runtime::ReputationProvider;
use super::tallies::Tallies;

/// A rate limiter in front of a service, framework-neutral and synchronous. Cheap to clone; clones
/// share everything.
///
/// **Guarantee.** A request passes when its client is under its limit, or for work that has been
/// verified and is durable; each token lets one request pass. Every other request gets the refusal
/// that the wire protocol's table of responses lists. Only the decision on a request with a token
/// waits for a commit or a disk, and it comes by callback.
///
/// **After a restart** windows, budgets and ceilings are empty; difficulty, credits and used tokens
/// are kept.
///
/// **Bounds.** Everything in memory has a bound: windows
/// ([`tracked_clients_max`](crate::GateConfigBuilder::tracked_clients_max); new clients share their
/// network's window), accounts of clients over their limit (the same bound; no challenge),
/// challenge bytes in flight ([`bytes_in_flight`](crate::GateConfigBuilder::bytes_in_flight); a 429
/// without work), buffered request bodies and answers waiting to be judged (`try_again`).
#[derive(Debug, Clone)]
pub struct Gate {
    pub(super) inner: Arc<Inner>,
}

/// The parts of a gate. Each has its own lock.
pub(super) struct Inner {
    pub(super) engine: PouwEngine,
    pub(super) settings: GateConfigBuilder,
    pub(super) routes: Routes,
    pub(super) limits: Limits,
    /// Data that a unit of each tier may carry: a single leaf at Low may be as long as a High unit.
    pub(super) unit_bytes: [u64; 3],
    pub(super) challenges: Challenges,
    pub(super) passes: Passes,
    pub(super) in_flight: Arc<Runway>,
    pub(super) buffers: Arc<Buffers>,
    pub(super) breaker: Watch,
    pub(super) replaced: Replaced,
    pub(super) window: HostWindow,
    pub(super) reputation: Option<ReputationProvider>,
    pub(super) tallies: Tallies,
    pub(super) checks: SelfChecks,
    pub(super) events: GateEventSink,
    pub(super) jobs: Jobs,
}

/// All threads of a server share one gate.
const _: fn() = || {
    fn is_shared<T: Send + Sync + Clone>() {}
    is_shared::<Gate>();
};

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("engine", &self.engine).finish_non_exhaustive()
    }
}
