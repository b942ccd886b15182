//! Settings of the gate: the paper's names in snake_case and its defaults. The engine's own (the
//! secret, token lifetime, floors, unit sizes, difficulty, credits) are in
//! [`Config`](crate::Config).

use std::time::Duration;

use ipnet::IpNet;

use crate::gate::request::identity::{IdentifierStrategy, IdentityRules};
use crate::policy::window::WindowRules;

use super::choices::{FallbackBehavior, OpenChallenges, Policy, RateLimitDraft};

/// Limit of the default policy, its window in milliseconds, and the rules made of both.
const DEFAULT_LIMIT: u32 = 100;
const DEFAULT_WINDOW_MS: u64 = 60_000;
const DEFAULT_RULES: WindowRules =
    WindowRules::new(DEFAULT_LIMIT, DEFAULT_WINDOW_MS).expect("the defaults are within the limits");

/// The valid settings of a gate.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use pouw::{GateConfig, Policy};
///
/// let config = GateConfig::builder()
///     .rate_limit(60)
///     .policy(Policy::new("upload", 5, Duration::from_secs(60)).route("POST /files/*"))
///     .exempt_route("GET /health")
///     .trusted_proxy("10.0.0.0/8")
///     .build()?;
/// # let _ = config;
/// # Ok::<(), pouw::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct GateConfig {
    pub(in crate::gate) settings: GateConfigBuilder,
    /// The rules of each policy, in the order of the policies.
    pub(in crate::gate) windows: Vec<WindowRules>,
}

/// A builder of [`GateConfig`]; [`GateConfigBuilder::build`] checks the settings.
///
/// # Examples
///
/// An error names the setting, its value and the rule:
///
/// ```
/// let error = pouw::GateConfig::builder().trusted_proxy("10.0.0.0/33").build().unwrap_err();
/// assert_eq!((error.field, &*error.value), ("trusted_proxies", "10.0.0.0/33"));
/// assert_eq!(error.rule, "it is a network as ADDRESS/BITS, like 10.0.0.0/8");
/// ```
#[derive(Clone)]
#[must_use]
pub struct GateConfigBuilder {
    /// The default policy is the first.
    pub(in crate::gate) policies: Vec<Policy>,
    pub(in crate::gate) exempt_routes: Vec<String>,
    pub(in crate::gate) identifier_strategy: IdentifierStrategy,
    pub(in crate::gate) ipv6_prefix: u8,
    pub(in crate::gate) trusted_proxies: Vec<IpNet>,
    /// The first text that is not a network.
    pub(in crate::gate) no_network: Option<String>,
    pub(in crate::gate) ratelimit_draft: RateLimitDraft,
    /// Empty for none.
    pub(in crate::gate) challenge_page: String,
    pub(in crate::gate) circuit_breaker_threshold: u32,
    pub(in crate::gate) circuit_breaker_probe_interval: Duration,
    pub(in crate::gate) fallback_behavior: FallbackBehavior,
    pub(in crate::gate) security_alert_threshold: u32,
    pub(in crate::gate) reputation_difficulty_threshold: f64,
    pub(in crate::gate) reputation_exemption_threshold: f64,
    /// Per client in the default window; `None` is the default policy's limit.
    pub(in crate::gate) paid_admissions_per_window: Option<u32>,
    pub(in crate::gate) paid_admissions_per_prefix: Option<u32>,
    pub(in crate::gate) paid_admissions_in_all: u32,
    pub(in crate::gate) bytes_per_minute: u64,
    pub(in crate::gate) prefix_bytes_per_minute: u64,
    pub(in crate::gate) bytes_per_second: u64,
    pub(in crate::gate) bytes_in_flight: u64,
    pub(in crate::gate) open_challenges: OpenChallenges,
    pub(in crate::gate) tracked_clients_max: usize,
    pub(in crate::gate) body_limit_bytes: usize,
    pub(in crate::gate) buffered_bytes_max: usize,
    pub(in crate::gate) body_timeout: Duration,
    pub(in crate::gate) write_timeout: Duration,
    pub(in crate::gate) synthetic: bool,
    pub(in crate::gate) shadow: bool,
    pub(in crate::gate) judge_threads: usize,
    pub(in crate::gate) waiting_answers_max: usize,
}

impl GateConfig {
    /// Returns a builder with the defaults.
    pub fn builder() -> GateConfigBuilder {
        GateConfigBuilder {
            policies: vec![Policy::new("default", DEFAULT_LIMIT, Duration::from_millis(DEFAULT_WINDOW_MS))],
            exempt_routes: Vec::new(),
            identifier_strategy: IdentifierStrategy::UserOrIp,
            ipv6_prefix: 64,
            trusted_proxies: Vec::new(),
            no_network: None,
            ratelimit_draft: RateLimitDraft::Draft8,
            challenge_page: String::new(),
            circuit_breaker_threshold: 10,
            circuit_breaker_probe_interval: Duration::from_secs(30),
            fallback_behavior: FallbackBehavior::InMemory,
            security_alert_threshold: 5,
            reputation_difficulty_threshold: 0.7,
            reputation_exemption_threshold: 0.95,
            paid_admissions_per_window: None,
            paid_admissions_per_prefix: None,
            paid_admissions_in_all: 1_000_000,
            bytes_per_minute: 2 << 20,
            prefix_bytes_per_minute: 16 << 20,
            bytes_per_second: 16 << 20,
            bytes_in_flight: 64 << 20,
            open_challenges: OpenChallenges { by_address: 4, by_name: 1 },
            tracked_clients_max: 1_000_000,
            body_limit_bytes: 256 << 10,
            buffered_bytes_max: 64 << 20,
            body_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            synthetic: true,
            shadow: false,
            judge_threads: 2,
            waiting_answers_max: 1_024,
        }
    }
}

impl Default for GateConfig {
    /// All defaults.
    fn default() -> Self {
        Self { settings: Self::builder(), windows: vec![DEFAULT_RULES] }
    }
}

impl std::fmt::Debug for GateConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GateConfig").field("policies", &self.settings.policies).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for GateConfigBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GateConfigBuilder").field("policies", &self.policies).finish_non_exhaustive()
    }
}

/// One documented setter for each plain setting.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        impl GateConfigBuilder {
            $($(#[$doc])*
            pub fn $name(mut self, $name: $type) -> Self {
                self.$name = $name;
                self
            })*
        }
    };
}

setters! {
    /// How clients are identified; default by user, else by address.
    identifier_strategy: IdentifierStrategy,
    /// Leading bits of an IPv6 address that identify one client, 16 to 128; default 64.
    ipv6_prefix: u8,
    /// Form of the IETF's headers; default that of version 8 and later.
    ratelimit_draft: RateLimitDraft,
    /// Failures of the store in a row that open the breaker, 1 or more; default 10.
    circuit_breaker_threshold: u32,
    /// Time between probes of an open breaker, 1 ms or more; default 30 seconds.
    circuit_breaker_probe_interval: Duration,
    /// What to do when a window outside the process cannot be reached; default: use those in
    /// memory.
    fallback_behavior: FallbackBehavior,
    /// Failures of one client in a row that raise an alert, 0 for never; default 5.
    security_alert_threshold: u32,
    /// Clients with at least this reputation get work one tier lower; a finite number, 0 or more;
    /// default 0.7.
    reputation_difficulty_threshold: f64,
    /// Clients with at least this reputation get a 429 without work; a finite number, 0 or more;
    /// default 0.95; 1.1 switches this off.
    reputation_exemption_threshold: f64,
    /// Requests admitted by work in a default window: all clients together, up to 1 000 000;
    /// default 1 000 000.
    paid_admissions_in_all: u32,
    /// Bytes of challenges sent to one client in a minute; default 2 MiB.
    bytes_per_minute: u64,
    /// The same for one network prefix; default 16 MiB.
    prefix_bytes_per_minute: u64,
    /// The same for all together, in a second; default 16 MiB.
    bytes_per_second: u64,
    /// Bytes of challenges being sent at one time, at least one of the engine's largest units,
    /// encoded; default 64 MiB.
    bytes_in_flight: u64,
    /// Clients remembered at once, 1 000 to 16 777 216; default 1 000 000.
    tracked_clients_max: usize,
    /// Maximum bytes of a body that may contain a result, 16 KiB to 64 MiB; default 256 KiB.
    body_limit_bytes: usize,
    /// Maximum bytes of all such bodies together, at least `body_limit_bytes`; default 64 MiB.
    buffered_bytes_max: usize,
    /// Time for such a body to arrive, 1 ms or more; default 10 seconds.
    body_timeout: Duration,
    /// Time for a client to read a challenge, 1 ms or more; default 30 seconds.
    write_timeout: Duration,
    /// Whether made-up work is issued when the backlog is empty; default true.
    synthetic: bool,
    /// Decide and count as usual, but let requests over the limit through; default false.
    shadow: bool,
    /// Threads that judge answers, 1 to 64; default 2.
    judge_threads: usize,
    /// Maximum number of answers waiting to be judged, 1 to 65 536; default 1 024.
    waiting_answers_max: usize,
}

impl GateConfigBuilder {
    /// Admitted requests in a window of the default policy, 1 to 1 000 000; default 100.
    pub fn rate_limit(mut self, rate_limit: u32) -> Self {
        self.policies[0].rate_limit = rate_limit;
        self
    }

    /// Length of the default policy's window, 1 ms to 1 day; default 60 seconds.
    pub fn window(mut self, window: Duration) -> Self {
        self.policies[0].window = window;
        self
    }

    /// Path of the challenge page, which browsers over the limit get: it does the work and repeats
    /// the request. Its files ([`crate::page`], feature `page`) have to be served below this path,
    /// which begins and ends with `/` and is not limited. Empty, the default: all clients get
    /// problem documents.
    pub fn challenge_page(mut self, path: impl Into<String>) -> Self {
        self.challenge_page = path.into();
        self
    }

    /// Adds a policy for some routes; the paper's `route_overrides`. At most 999.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policies.push(policy);
        self
    }

    /// Adds a route that is not limited. CORS preflights are always exempt.
    pub fn exempt_route(mut self, route: impl Into<String>) -> Self {
        self.exempt_routes.push(route.into());
        self
    }

    /// Adds a network of proxies whose `Forwarded` or `X-Forwarded-For` is trusted, as
    /// `ADDRESS/BITS`; none by default.
    pub fn trusted_proxy(mut self, network: impl AsRef<str>) -> Self {
        match network.as_ref().parse() {
            Ok(network) => self.trusted_proxies.push(network),
            Err(_) => self.no_network = self.no_network.or_else(|| Some(network.as_ref().to_owned())),
        }
        self
    }

    /// Open challenges of a client identified by address, and of one identified by name or key,
    /// each 1 to 64; default 4 and 1.
    pub fn open_challenges(mut self, by_address: u32, by_name: u32) -> Self {
        self.open_challenges = OpenChallenges { by_address, by_name };
        self
    }

    /// Requests of one client admitted by work in a default window; default the default policy's
    /// limit. 0 means none.
    pub fn paid_admissions_per_window(mut self, admissions: u32) -> Self {
        self.paid_admissions_per_window = Some(admissions);
        self
    }

    /// The same for one network prefix; default eight times the value for a client.
    pub fn paid_admissions_per_prefix(mut self, admissions: u32) -> Self {
        self.paid_admissions_per_prefix = Some(admissions);
        self
    }

    /// Returns the settings that decide who is one client.
    pub(in crate::gate) fn identity(&self) -> IdentityRules<'_> {
        IdentityRules {
            strategy: &self.identifier_strategy,
            ipv6_prefix: self.ipv6_prefix,
            trusted_proxies: &self.trusted_proxies,
        }
    }

    /// Returns the ceilings on paid admissions of a client and of a prefix.
    pub(in crate::gate) fn paid_admissions(&self) -> (u32, u32) {
        let client = self.paid_admissions_per_window.unwrap_or(self.policies[0].rate_limit);
        (client, self.paid_admissions_per_prefix.unwrap_or(client.saturating_mul(8)))
    }
}
