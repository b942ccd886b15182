//! The gate: everything between an HTTP request and the engine, framework-neutral and synchronous.
//!
//! **Guarantee.** A request is let through when its client is under its limit, or for work that has
//! been verified and is durable; each token lets one request through. Every other request gets the
//! refusal that the wire protocol's table of responses lists. Only the decision on a request with a
//! token waits for a commit or a disk, and it comes by callback.
//!
//! **After a restart** windows, budgets and ceilings are empty; difficulty, credits and used tokens
//! are kept.
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
//! limit (the same bound; no challenge), challenge bytes in flight (a plain 429), request bodies
//! being buffered and answers waiting to be judged (`try_again`).

mod accounts;
mod answer;
mod body;
mod breaker;
mod buffers;
mod choices;
mod config;
mod counters;
mod decision;
mod digest;
mod error;
mod event;
mod facts;
mod flight;
mod health;
pub mod identity;
mod judges;
mod limiter;
mod needs_body;
mod page;
mod pending;
mod plain;
mod reading;
mod replaced;
mod respond;
mod routes;
mod runtime;
pub mod settings;
mod share;
mod step;
mod usefulness;
mod window;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::Mutex;

use crate::engine::{Config, PouwEngine, bump, whole_ms};
use crate::policy::window::WindowRules;
use crate::protocol::DifficultyTier;
use crate::store::random;

pub use crate::policy::window::Quota;
pub use choices::{FallbackBehavior, IdentifierStrategy, Policy, RateLimitDraft};
pub use config::{GateConfig, GateConfigBuilder};
pub use counters::GateStats;
pub use decision::{AcceptedWork, Decision, Headers, Pass, Refusal};
pub use error::GateError;
pub use event::{GateEvent, GateEventSink};
pub use facts::{BodyRead, Caller, Facts, Head, Navigation, PolicyId, Presented, ResultText};
pub use flight::Flight;
pub use health::{Health, HealthCondition, PartHealth};
pub use identity::ClientKey;
pub use needs_body::NeedsBody;
pub use pending::Pending;
pub use runtime::GateRuntime;
pub use step::{Step, Verdict};
pub use window::{Admission, Window, WindowError};

use accounts::Accounts;
use answer::OpenedToken;
use breaker::Watch;
use buffers::{Buffered, Buffers};
use counters::Counters;
use digest::Digester;
use flight::Runway;
use judges::Judges;
use limiter::Limiter;
use replaced::Replaced;
use routes::{RouteMatch, Routes};
use runtime::ReputationProvider;

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
/// ([`tracked_clients_max`](GateConfigBuilder::tracked_clients_max); new clients share their
/// network's window), accounts of clients over their limit (the same bound; no challenge),
/// challenge bytes in flight ([`bytes_in_flight`](GateConfigBuilder::bytes_in_flight); a 429
/// without work), buffered request bodies and answers waiting to be judged (`try_again`).
#[derive(Debug, Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

struct Inner {
    engine: PouwEngine,
    settings: GateConfigBuilder,
    routes: Routes,
    places: Vec<Place>,
    /// Data that a unit of each tier may carry: a single leaf at Low may be as long as a High unit.
    unit_bytes: [u64; 3],
    accounts: Accounts,
    in_flight: Arc<Runway>,
    buffers: Arc<Buffers>,
    breaker: Mutex<Watch>,
    replaced: Mutex<Replaced>,
    window: Option<Arc<dyn Window>>,
    window_failing: AtomicBool,
    reputation: Option<ReputationProvider>,
    counters: Counters,
    events: GateEventSink,
    judges: Judges,
}

/// A policy and its windows.
#[derive(Debug)]
struct Place {
    id: PolicyId,
    policy: Policy,
    digest: u64,
    draft: RateLimitDraft,
    limiter: Limiter,
}

/// All threads of a server share one gate.
const _: fn() = || {
    fn is_shared<T: Send + Sync + Clone>() {}
    is_shared::<Gate>();
};

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
        let settings = config.settings;
        let digests = Digester::new(random().map_err(|error| GateError::Random(error.to_string()))?);
        let place = |(at, (policy, rules)): (usize, (&Policy, WindowRules))| {
            let limiter = Limiter::new(rules, settings.tracked_clients_max, digests);
            let id = PolicyId(u16::try_from(at).unwrap_or(0));
            let (digest, draft) = (routes::policy_digest(&policy.name), settings.ratelimit_draft);
            Place { id, digest, draft, policy: policy.clone(), limiter }
        };
        let places = settings.policies.iter().zip(config.windows).enumerate().map(place).collect();
        let window_ms = settings.policies.first().map_or(60_000, |policy| whole_ms(policy.window));
        let (judges, inbox) = Judges::new(settings.waiting_answers_max, settings.judge_threads, engine.now().0);
        let cap = engine.config().unit_bytes(DifficultyTier::High) as u64;
        let inner = Arc::new(Inner {
            routes: Routes::new(&settings.policies, &settings.exempt_routes),
            places,
            unit_bytes: [cap, engine.config().unit_bytes(DifficultyTier::Medium) as u64, cap],
            accounts: Accounts::new(&settings, window_ms, digests),
            in_flight: Runway::new(settings.bytes_in_flight),
            buffers: Buffers::new(settings.buffered_bytes_max as u64),
            breaker: Mutex::new(Watch::new(
                settings.circuit_breaker_threshold,
                whole_ms(settings.circuit_breaker_probe_interval),
            )),
            replaced: Mutex::default(),
            window: runtime.window,
            window_failing: AtomicBool::new(false),
            reputation: runtime.reputation,
            counters: Counters::default(),
            events: runtime.events,
            judges,
            engine,
            settings,
        });
        // The first reading calibrates: not while a request waits.
        inner.engine.for_gate().window_ms();
        judges::start(&inbox, &inner, !runtime.ticked_by_host)?;
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
            RouteMatch::Policy(policy) if !reading::is_preflight(head) => policy,
            _ => {
                bump(&inner.counters.exempt_routes, 1);
                return Step::Exempt;
            }
        };
        let (client, prefix) = identity::identify(head, caller, &inner.settings);
        let mut facts = Facts { client, prefix, policy, answer: None, reputation: None, navigation: None };
        let navigation = (!inner.settings.challenge_page.is_empty()).then(|| page::navigation(head)).flatten();
        facts.navigation = navigation.as_ref().map(|(navigation, _)| *navigation);
        let token = match reading::presented(head) {
            Ok(None) => match self.take_answer(&mut facts, navigation) {
                Some(token) => Some(token),
                None => {
                    inner.counters.requests.bump();
                    return Step::Decided(self.without_token(&facts));
                }
            },
            Ok(presented) => {
                facts.answer = presented;
                None
            }
            Err(malformed) => {
                inner.counters.requests.bump();
                let refused = self.malformed(&facts, None, &malformed);
                return Step::Decided(self.dressed(&facts, refused));
            }
        };
        let in_header = facts.answer.as_ref().is_some_and(|presented| presented.result.is_some());
        if in_header || !head.has_body() {
            return Step::Judge(self.pending(facts, token, None));
        }
        self.ask_for_body(head, facts)
    }

    /// Decides on a request without a token.
    #[inline(always)]
    fn without_token(&self, facts: &Facts) -> Decision {
        if facts.navigation.is_none() {
            // Made in place: moving it would be a large part of the cost of a decision.
            return self.plain(facts, None);
        }
        self.dressed(facts, self.plain(facts, None))
    }

    /// Counts a request with a token, which is judged later.
    fn pending(&self, facts: Facts, token: Option<Box<OpenedToken>>, buffered: Option<Buffered>) -> Pending {
        self.inner.counters.requests.bump();
        Pending { gate: self.clone(), facts, token, buffered }
    }

    /// Uses the first answer of a navigation whose token is valid for this client; returns that
    /// token.
    fn take_answer(
        &self,
        facts: &mut Facts,
        navigation: Option<(Navigation, Vec<Presented>)>,
    ) -> Option<Box<OpenedToken>> {
        let (navigation, answers) = navigation?;
        let mut opened = None;
        for answer in answers {
            if let Ok(token) = self.open_token(facts, &answer.token) {
                (opened, facts.answer) = (Some(token), Some(answer));
                break;
            }
        }
        facts.navigation = Some(Navigation { answered: opened.is_some(), ..navigation });
        opened
    }

    /// Adapts a decision to the form of its request.
    fn dressed(&self, facts: &Facts, decision: Decision) -> Decision {
        page::dress(decision, facts.navigation, &self.inner.settings.challenge_page)
    }

    fn place(&self, policy: PolicyId) -> &Place {
        // Policy ids are from this gate's routes; an id of another gate falls back to the default.
        self.inner.places.get(usize::from(policy.0)).unwrap_or(&self.inner.places[0])
    }

    fn emit(&self, event: &GateEvent) {
        self.inner.events.emit(event);
    }
}

/// Decides on a request by its facts: the door of the package's own tests and benchmarks, without a
/// head to read. For a request with a token it returns [`Verdict::Judge`].
pub fn decide(gate: &Gate, facts: Facts) -> Verdict {
    if facts.answer.is_some() {
        return Verdict::Judge(gate.pending(facts, None, None));
    }
    gate.inner.counters.requests.bump();
    Verdict::Decided(gate.without_token(&facts))
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("engine", &self.engine).finish_non_exhaustive()
    }
}
