//! The gate: everything between an HTTP request and the engine, framework-neutral and synchronous.
//!
//! **Guarantee.** A request is let through when its client is under its limit, or for work that has
//! been verified and is durable; each token is used once, and lets through one request, or as many
//! as the policy says an answer buys. Every other request gets the refusal that the wire protocol's
//! table of responses lists. Only the decision on a request with a token waits for a commit or a
//! disk, and it comes by callback.
//!
//! **After a restart** windows, budgets, ceilings, passes, and violations that are not counted yet
//! are gone; difficulty, credits and used tokens are kept.
//!
//! ```text
//! head --on_request--> identity, route, token? --no--> window --under--> Pass
//!                                     |                  |
//!                                     |                 over: breaker, reputation, budgets, engine.issue --> Refuse(429 + unit)
//!                                    yes --(body?)--> Pending --> engine.submit --durable--> Pass
//! ```
//!
//! Everything in memory has a bound; above it: windows ([`GateConfig`]:
//! `tracked_clients_max`; new clients share their network's window), accounts of clients over their
//! limit (the same bound; no challenge), passes (the same; an answer buys one request), challenge
//! bytes in flight (a plain 429), request bodies
//! being buffered and answers waiting to be judged (`try_again`).
//!
//! Its folders, each of which imports only those before it: `request` (what a request is), `config`
//! (what the operator chose), `memory` (the parts that remember, each with its own lock), `state`
//! (all parts of one gate), `reply` (what is sent), `decide` (what happens to a request), `report`
//! (what the operator sees).

mod config;
mod decide;
mod error;
mod event;
mod memory;
mod reply;
mod report;
mod request;
mod runtime;
mod self_check;
mod state;
mod tallies;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Config, PouwEngine, bump, whole_ms};
use crate::protocol::DifficultyTier;
use crate::store::random;

pub use crate::policy::window::Quota;
pub use config::builder::{GateConfig, GateConfigBuilder};
pub use config::choices::{AnswerBuys, FallbackBehavior, Policy, RateLimitDraft};
pub use config::settings;
pub use decide::body::{BodyRead, NeedsBody};
pub use decide::drain::Drain;
pub use decide::pending::{Pending, Verdict};
pub use decide::self_checks::ResponseCheck;
pub use decide::step::Step;
pub use error::GateError;
pub use event::{GateEvent, GateEventSink};
pub use memory::flight::Flight;
pub use memory::shared_window::{Admission, SharedWindow, WindowError};
pub use reply::decision::{AcceptedWork, Decision, Pass, Refusal};
pub use reply::rate_headers::Headers;
pub use report::health::{Health, HealthCondition, PartHealth};
pub use report::stats::GateStats;
pub use request::client::{ClientKey, NetworkPrefix};
pub use request::cookies::AnswerCookie;
pub use request::facts::{Facts, PassPresented, PolicyId};
pub use request::head::{Caller, Head};
pub use request::identity::{self, IdentifierStrategy};
pub use request::navigation::Navigation;
pub use request::presented::{Presented, ResultText};
pub use runtime::GateRuntime;
pub use self_check::SelfCheck;
pub use state::Gate;

use config::routes::{RouteMatch, Routes};
use decide::threads;
use memory::breaker::Watch;
use memory::buffers::Buffers;
use memory::challenges::Challenges;
use memory::digest::Digester;
use memory::flight::Runway;
use memory::jobs::Jobs;
use memory::limit::Limits;
use memory::passes::Passes;
use memory::replaced::Replaced;
use memory::self_checks::SelfChecks;
use memory::shared_window::HostWindow;
use request::head::is_preflight;
use request::navigation::navigation;
use request::presented::presented;
use state::Inner;
use tallies::Tallies;

impl Gate {
    /// Opens the store in `directory`, which is made if it is missing, and returns a gate in front
    /// of it with all defaults: [`Config::new`] for the engine and [`GateConfig::default`] for the
    /// gate.
    ///
    /// By default each client (user, else address; IPv6 by /64) has 100 requests in 60 seconds. A
    /// client over its limit gets a challenge of the low tier with a floor of 1.5 seconds; while
    /// nothing is ingested the work in it is made up. `secret` signs the challenges: 32 bytes or
    /// more, the same after each restart.
    ///
    /// ```no_run
    /// let gate = pouw::Gate::open("pouw-data", "a secret of thirty-two bytes or more")?;
    /// # Ok::<(), pouw::GateError>(())
    /// ```
    ///
    /// # Errors
    /// [`GateError::Config`] for a secret that is too short, [`GateError::Open`] if the store
    /// cannot be opened, and those of [`Gate::new`].
    pub fn open(directory: impl AsRef<Path>, secret: impl Into<Vec<u8>>) -> Result<Self, GateError> {
        let engine = PouwEngine::open(directory, Config::new(secret)?)?;
        Self::new(engine, GateConfig::default())
    }

    /// Returns a gate in front of `engine`.
    ///
    /// # Errors
    /// [`GateError`], if a setting does not fit the engine's, or the operating system gives no
    /// thread or random bytes.
    pub fn new(engine: PouwEngine, config: GateConfig) -> Result<Self, GateError> {
        Self::with_runtime(engine, config, GateRuntime::default())
    }

    /// Returns a gate with parts that the host supplies: a subscriber, reputations, windows.
    ///
    /// # Errors
    /// As [`Gate::new`].
    pub fn with_runtime(engine: PouwEngine, config: GateConfig, runtime: GateRuntime) -> Result<Self, GateError> {
        config.fits(engine.config())?;
        let digests = Digester::new(random().map_err(|error| GateError::Random(error.to_string()))?);
        let limits = Limits::new(&config, digests);
        let settings = config.settings;
        let window_ms = settings.policies.first().map_or(60_000, |policy| whole_ms(policy.window));
        let (jobs, inbox) = Jobs::new(settings.waiting_answers_max, settings.judge_threads, engine.now().0);
        let cap = engine.config().unit_bytes(DifficultyTier::High) as u64;
        let probe_interval_ms = whole_ms(settings.circuit_breaker_probe_interval);
        let inner = Arc::new(Inner {
            routes: Routes::new(&settings.policies, &settings.exempt_routes),
            limits,
            unit_bytes: [cap, engine.config().unit_bytes(DifficultyTier::Medium) as u64, cap],
            challenges: Challenges::new(&settings, window_ms, digests),
            passes: Passes::new(&settings, digests),
            in_flight: Runway::new(settings.bytes_in_flight),
            buffers: Buffers::new(settings.buffered_bytes_max as u64),
            breaker: Watch::new(settings.circuit_breaker_threshold, probe_interval_ms),
            replaced: Replaced::default(),
            window: HostWindow::new(runtime.window),
            reputation: runtime.reputation,
            tallies: Tallies::default(),
            checks: SelfChecks::new(settings.strict_checks),
            events: runtime.events,
            jobs,
            engine,
            settings,
        });
        // The first reading calibrates: not while a request waits.
        inner.engine.for_gate().window_ms();
        threads::start(&inbox, &inner, (!runtime.ticked_by_host).then_some(Self::tick))?;
        Ok(Self { inner })
    }

    /// Returns the engine behind the gate.
    pub fn engine(&self) -> &PouwEngine {
        &self.inner.engine
    }

    /// Returns the time that a client has to read a challenge.
    pub fn write_timeout(&self) -> Duration {
        self.inner.settings.write_timeout
    }

    /// Returns the time in which a body that may contain a result has to arrive.
    pub fn body_timeout(&self) -> Duration {
        self.inner.settings.body_timeout
    }

    /// Does the work that is due about once a second: publishes metrics, probes an open breaker
    /// whose interval is over, and reports changes of the breaker that are not reported yet. Waits
    /// for no commit.
    pub fn tick(&self) {
        self.probe_if_due();
        self.report_changes();
        self.record_metrics();
    }

    /// Decides on a request by its head. It reads only the engine's clock and never waits.
    pub fn on_request(&self, head: &dyn Head, caller: &Caller<'_>) -> Step {
        let inner = &*self.inner;
        let policy = match inner.routes.policy_of(head.method(), head.path()) {
            RouteMatch::Policy(policy) if !is_preflight(head) => policy,
            _ => {
                bump(&inner.tallies.exempt_routes, 1);
                return Step::Exempt;
            }
        };
        let identity = identity::identify(head, caller, &inner.settings.identity());
        if (caller.peer.is_none() || inner.checks.look_at_requests())
            && let Some(refusal) = self.check_request(head, caller, &identity)
        {
            return Step::Decided(Decision::Refuse(refusal));
        }
        let mut facts = Facts { policy, ..Facts::new(identity.client, identity.network) };
        facts.navigation = (!inner.settings.challenge_page.is_empty()).then(|| navigation(head)).flatten();
        let token = match presented(head) {
            Ok(None) => match self.take_answer(&mut facts, head) {
                Some(token) => Some(token),
                None => {
                    inner.tallies.requests.bump();
                    return Step::Decided(self.without_token(&mut facts, head));
                }
            },
            Ok(presented) => {
                facts.answer = presented;
                None
            }
            Err(malformed) => {
                inner.tallies.requests.bump();
                let refused = self.malformed(&facts, None, &malformed);
                return Step::Decided(self.dressed(&facts, refused));
            }
        };
        // Whatever becomes of the answer, its client may get another unit.
        facts.read_over_limit(head);
        let in_header = facts.answer.as_ref().is_some_and(|presented| presented.result.is_some());
        if in_header || !head.has_body() {
            return Step::Judge(Pending::new(self, facts, token, None));
        }
        self.ask_for_body(head, facts)
    }
}

/// Decides on a request by its facts: the door of the package's own tests and benchmarks, without a
/// head to read. For a request with a token it returns [`Verdict::Judge`].
pub fn decide(gate: &Gate, facts: Facts) -> Verdict {
    if facts.answer.is_some() {
        return Verdict::Judge(Pending::new(gate, facts, None, None));
    }
    gate.inner.tallies.requests.bump();
    Verdict::Decided(gate.by_window(&facts))
}
