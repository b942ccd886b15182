//! The gate: everything between an HTTP request and the engine, framework-neutral and synchronous.

mod config;
mod decision;
mod facts;
mod flight;
pub mod identity;
mod pending;

use std::sync::Arc;

use crate::engine::PouwEngine;

pub use config::{FallbackBehavior, GateConfig, GateConfigBuilder, IdentifierStrategy, Policy};
pub use decision::{AcceptedWork, Decision, Headers, Pass, Refusal};
pub use facts::{BodyRead, Caller, Facts, Head, PolicyId, Presented, ResultText};
pub use flight::Flight;
pub use pending::Pending;

/// The gate. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: PouwEngine,
}

/// What to do with a request whose head has been seen.
#[derive(Debug)]
#[must_use]
pub enum Step {
    /// The route is exempt, or it is a CORS preflight: let it through, add nothing.
    Exempt,
    /// Here is the verdict.
    Decided(Decision),
    /// A result may be in the body: buffer it as told, then ask again. The body goes on to the service
    /// byte for byte if the request is let through.
    Body(NeedsBody),
}

/// A request whose body has to be seen.
#[derive(Debug)]
#[must_use]
pub struct NeedsBody {
    /// Buffer at most this many bytes; if there are more, say so with [`BodyRead::TooLarge`].
    pub limit_bytes: usize,
    /// Wait at most this long for all of it; after that say [`BodyRead::Incomplete`].
    pub timeout_ms: u64,
    gate: Gate,
    facts: Facts,
}

impl Gate {
    /// A gate in front of `engine`.
    pub fn new(engine: PouwEngine, _config: GateConfig) -> Self {
        Self { inner: Arc::new(Inner { engine }) }
    }

    /// The engine behind it.
    pub fn engine(&self) -> &PouwEngine {
        &self.inner.engine
    }

    /// Judges a request by its head. Reads no clock but the engine's and waits for nothing.
    pub fn on_request(&self, _head: &dyn Head, caller: &Caller<'_>) -> Step {
        let (client, prefix) = match caller.peer {
            Some(peer) => (identity::ClientKey::of_address(peer, 64), identity::NetworkPrefix::of(Some(peer))),
            None => (identity::ClientKey::Anonymous, identity::NetworkPrefix::of(None)),
        };
        Step::Decided(self.decide(Facts::new(client, prefix)))
    }

    /// Judges a request by its facts. A request that presents a token comes back as [`Decision::Pending`].
    pub fn decide(&self, facts: Facts) -> Decision {
        if facts.answer.is_some() {
            return Decision::Pending(Pending { gate: self.clone(), facts });
        }
        self.plain(&facts)
    }

    fn plain(&self, _facts: &Facts) -> Decision {
        Decision::Pass(Pass { headers: Headers::new(), accepted: None })
    }
}

impl NeedsBody {
    /// Goes on with what became of the body.
    pub fn complete(self, _body: BodyRead<'_>) -> Decision {
        self.gate.decide(self.facts)
    }
}
