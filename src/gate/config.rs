//! Settings of the gate: the paper's names in snake_case and its defaults. The engine's own (the
//! secret, token lifetime, floors, unit sizes, difficulty, credits) are in
//! [`Config`](crate::Config).

use std::collections::HashSet;
use std::time::Duration;

use ipnet::IpNet;

use crate::engine::{Config, ConfigError, MS_MAX, POSITIVE, check_setting as check, check_time};
use crate::policy::window::WindowRules;

use super::choices::{FallbackBehavior, IdentifierStrategy, NETWORK_RULE, OpenChallenges, Policy, RateLimitDraft};
use super::page::PREFIX_CHARS_MAX;
use super::plain::encoded;
use super::routes::Pattern;

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
    pub(super) settings: GateConfigBuilder,
    /// The rules of each policy, in the order of the policies.
    pub(super) windows: Vec<WindowRules>,
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
    pub(super) policies: Vec<Policy>,
    pub(super) exempt_routes: Vec<String>,
    pub(super) identifier_strategy: IdentifierStrategy,
    pub(super) ipv6_prefix: u8,
    pub(super) trusted_proxies: Vec<IpNet>,
    /// The first text that is not a network.
    pub(super) no_network: Option<String>,
    pub(super) ratelimit_draft: RateLimitDraft,
    /// Empty for none.
    pub(super) challenge_page: String,
    pub(super) circuit_breaker_threshold: u32,
    pub(super) circuit_breaker_probe_interval: Duration,
    pub(super) fallback_behavior: FallbackBehavior,
    pub(super) security_alert_threshold: u32,
    pub(super) reputation_difficulty_threshold: f64,
    pub(super) reputation_exemption_threshold: f64,
    /// Per client in the default window; `None` is the default policy's limit.
    pub(super) paid_admissions_per_window: Option<u32>,
    pub(super) paid_admissions_per_prefix: Option<u32>,
    pub(super) paid_admissions_in_all: u32,
    pub(super) bytes_per_minute: u64,
    pub(super) prefix_bytes_per_minute: u64,
    pub(super) bytes_per_second: u64,
    pub(super) bytes_in_flight: u64,
    pub(super) open_challenges: OpenChallenges,
    pub(super) tracked_clients_max: usize,
    pub(super) body_limit_bytes: usize,
    pub(super) buffered_bytes_max: usize,
    pub(super) body_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) synthetic: bool,
    pub(super) shadow: bool,
    pub(super) judge_threads: usize,
    pub(super) waiting_answers_max: usize,
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

    /// Checks these settings against the engine's.
    pub(super) fn fits(&self, engine: &Config) -> Result<(), ConfigError> {
        let bytes = self.settings.bytes_in_flight;
        let rule = "it must hold a challenge of the largest unit: four thirds of unit_bytes of the high tier, and 3072";
        check("bytes_in_flight", bytes, bytes >= encoded(engine.send_cap() as u64), rule)
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

    /// Returns the ceilings on paid admissions of a client and of a prefix.
    pub(super) fn paid_admissions(&self) -> (u32, u32) {
        let client = self.paid_admissions_per_window.unwrap_or(self.policies[0].rate_limit);
        (client, self.paid_admissions_per_prefix.unwrap_or(client.saturating_mul(8)))
    }

    /// Checks the settings. Those that depend on the engine's are checked when the gate is made.
    ///
    /// # Errors
    /// [`ConfigError`] with the field, the value and the rule of the first setting that is out of
    /// range.
    pub fn build(self) -> Result<GateConfig, ConfigError> {
        let windows = self.check_policies()?;
        if let Some(network) = &self.no_network {
            check("trusted_proxies", network, false, NETWORK_RULE)?;
        }
        self.check_page()?;
        self.check_numbers()?;
        Ok(GateConfig { settings: self, windows })
    }

    /// Checks the policies and the routes, and returns the rules of each policy.
    fn check_policies(&self) -> Result<Vec<WindowRules>, ConfigError> {
        let count = self.policies.len();
        check("policies", count - 1, count <= 1_000, "it must be at most 999 besides the default")?;
        let mut windows = Vec::with_capacity(count);
        for (at, policy) in self.policies.iter().enumerate() {
            let name = &policy.name;
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
            let good = (1..=64).contains(&name.len()) && name.bytes().all(plain);
            check("policies.name", name, good, "it must have 1 to 64 characters of a-z, 0-9, _ and -")?;
            let repeated = self.policies.iter().take(at).any(|other| other.name == *name);
            check("policies.name", name, !repeated, "each policy must have a different name")?;
            windows.push(policy.window_rules()?);
        }
        let routes = self.policies.iter().flat_map(|policy| &policy.routes).chain(&self.exempt_routes);
        let mut seen = HashSet::new();
        for route in routes {
            let pattern = Pattern::parse(route);
            let good = pattern.is_some();
            check(
                "routes",
                route,
                good,
                "it must be /path or /path/*, optionally with a method and a space before it",
            )?;
            check("routes", route, seen.insert(pattern), "each route must be given once, in one policy or as exempt")?;
        }
        Ok(windows)
    }

    fn check_page(&self) -> Result<(), ConfigError> {
        let path = &self.challenge_page;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-.".contains(&byte);
        let good = path.starts_with('/') && path.ends_with('/') && path.len() <= PREFIX_CHARS_MAX;
        let rule = "it must be empty, or a path of at most 128 characters of A-Z, a-z, 0-9, /, _, - and . that begins and ends \
                    with /";
        check("challenge_page", path, path.is_empty() || (good && path.bytes().all(plain)), rule)
    }

    fn check_numbers(&self) -> Result<(), ConfigError> {
        let within =
            |field, value: u64, low: u64, high: u64, rule| check(field, value, (low..=high).contains(&value), rule);
        within("ipv6_prefix", self.ipv6_prefix.into(), 16, 128, "it must be from 16 to 128")?;
        let positive = "it must be 1 or more";
        within("circuit_breaker_threshold", self.circuit_breaker_threshold.into(), 1, u64::MAX, positive)?;
        for (field, value) in [
            ("reputation_difficulty_threshold", self.reputation_difficulty_threshold),
            ("reputation_exemption_threshold", self.reputation_exemption_threshold),
        ] {
            check(field, value, value.is_finite() && value >= 0.0, "it must be a finite number, 0 or more")?;
        }
        let million = "it must be at most 1000000";
        for (field, value) in [
            ("paid_admissions_per_window", self.paid_admissions_per_window.unwrap_or(0)),
            ("paid_admissions_per_prefix", self.paid_admissions_per_prefix.unwrap_or(0)),
            ("paid_admissions_in_all", self.paid_admissions_in_all),
        ] {
            within(field, value.into(), 0, 1_000_000, million)?;
        }
        let OpenChallenges { by_address, by_name } = self.open_challenges;
        for open in [by_address, by_name] {
            within("open_challenges", open.into(), 1, 64, "it must be from 1 to 64")?;
        }
        let tracked = self.tracked_clients_max as u64;
        within("tracked_clients_max", tracked, 1_000, 16_777_216, "it must be from 1000 to 16777216")?;
        let limit = self.body_limit_bytes as u64;
        within("body_limit_bytes", limit, 16 << 10, 64 << 20, "it must be from 16384 to 67108864")?;
        let buffered = self.buffered_bytes_max as u64;
        within("buffered_bytes_max", buffered, limit, u64::MAX, "it must be at least body_limit_bytes")?;
        for (field, time) in [
            ("circuit_breaker_probe_interval", self.circuit_breaker_probe_interval),
            ("body_timeout", self.body_timeout),
            ("write_timeout", self.write_timeout),
        ] {
            check_time(field, time, 1..=MS_MAX, POSITIVE)?;
        }
        within("judge_threads", self.judge_threads as u64, 1, 64, "it must be from 1 to 64")?;
        within("waiting_answers_max", self.waiting_answers_max as u64, 1, 65_536, "it must be from 1 to 65536")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_the_rules_that_its_policy_is_built_with() {
        let built = GateConfig::builder().build().unwrap();
        assert_eq!(GateConfig::default().windows, built.windows);
    }

    #[test]
    fn each_policy_has_the_rules_of_its_own_limit_and_window() {
        let second = Policy::new("second", 5, Duration::from_secs(2));
        let built = GateConfig::builder().rate_limit(7).policy(second).build().unwrap();
        let seen: Vec<_> = built.windows.iter().map(|rules| (rules.limit(), rules.window_ms())).collect();
        assert_eq!(seen, [(7, 60_000), (5, 2_000)]);
    }
}
