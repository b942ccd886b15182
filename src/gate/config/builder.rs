//! Settings of the gate: the paper's names in snake_case and its defaults. The engine's own (the
//! secret, token lifetime, floors, unit sizes, difficulty, credits) are in
//! [`Config`](crate::Config).

use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};

use crate::engine::{Bounded, ConfigError, MS_MAX, POSITIVE, settings};
use crate::gate::request::identity::{IdentifierStrategy, IdentityRules};
use crate::policy::window::WindowRules;

use super::choices::{AnswerBuys, FallbackBehavior, OpenChallenges, Policy, RateLimitDraft};

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

settings! {
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
    pub struct GateConfigBuilder with pub(in crate::gate) fields {
        // The default policy is the first.
        policies: Vec<Policy> =
            vec![Policy::new("default", DEFAULT_LIMIT, Duration::from_millis(DEFAULT_WINDOW_MS))],
        exempt_routes: Vec<String> = Vec::new(),
        trusted_proxies: Vec<IpNet> = Vec::new(),
        // The first text that is not a network.
        no_network: Option<String> = None,
        // Lower case; empty for none.
        client_ip_header: String = String::new(),
        // The addresses of these networks of 96 bits, and the first text that is none.
        nat64_prefixes: Vec<Ipv6Addr> = Vec::new(),
        no_nat64: Option<String> = None,
        // Empty for none.
        challenge_page: String = String::new(),
        site_name: String = String::new(),
        site_color: String = String::new(),
        site_contact: String = String::new(),
        // Per client in the default window; `None` is the default policy's limit.
        paid_admissions_per_window: Option<u32> = None,
        paid_admissions_per_prefix: Option<u32> = None,
        open_challenges: OpenChallenges = OpenChallenges { by_address: 4, by_name: 4 },
    }

    settings:
    /// How clients are identified; default by user, else by address.
    identifier_strategy(strategy: IdentifierStrategy) = IdentifierStrategy::UserOrIp;
    /// Leading bits of an IPv6 address that identify one client, 16 to 128; default 64.
    ipv6_prefix(bits: u8) = 64, in 16..=128, "it must be from 16 to 128";
    /// Form of the IETF's headers; default: one that programs for any version since 7 can read.
    ratelimit_draft(draft: RateLimitDraft) = RateLimitDraft::Compatible;
    /// Failures of the store in a row that open the breaker, 1 or more; default 10.
    circuit_breaker_threshold(failures: u32) = 10, in 1.., "it must be 1 or more";
    /// What to do when a window outside the process cannot be reached; default: use those in
    /// memory.
    fallback_behavior(behavior: FallbackBehavior) = FallbackBehavior::InMemory;
    /// Failures of one client in a row that raise an alert, 0 for never; default 5.
    security_alert_threshold(failures: u32) = 5;
    /// Clients with at least this reputation get work one tier lower; a finite number, 0 or more;
    /// default 0.7.
    reputation_difficulty_threshold(reputation: f64) = 0.7, by check_difficulty_threshold;
    /// Clients with at least this reputation get a 429 without work; a finite number, 0 or more;
    /// default 0.95; 1.1 switches this off.
    reputation_exemption_threshold(reputation: f64) = 0.95, by check_exemption_threshold;
    /// Requests admitted by work in a default window: all clients together, up to 1 000 000;
    /// default 1 000 000.
    paid_admissions_in_all(admissions: u32) = 1_000_000, by check_ceilings;
    /// Bytes of challenges sent to one client in a minute; default 2 MiB.
    bytes_per_minute(bytes: u64) = 2 << 20;
    /// The same for one network prefix; default 16 MiB.
    prefix_bytes_per_minute(bytes: u64) = 16 << 20;
    /// The same for all together, in a second; default 16 MiB.
    bytes_per_second(bytes: u64) = 16 << 20;
    // Checked with the engine's settings: `GateConfig::fits`.
    /// Bytes of challenges being sent at one time, at least one of the engine's largest units,
    /// encoded; default 64 MiB.
    bytes_in_flight(bytes: u64) = 64 << 20;
    /// Clients remembered at once, 1 000 to 16 777 216; default 1 000 000.
    tracked_clients_max(clients: usize) = 1_000_000, in 1_000..=16_777_216, "it must be from 1000 to 16777216";
    /// Maximum bytes of a body that may contain a result, 16 KiB to 64 MiB; default 256 KiB.
    body_limit_bytes(bytes: usize) = 256 << 10, in 16 << 10..=64 << 20, "it must be from 16384 to 67108864";
    /// Maximum bytes of all such bodies together, at least `body_limit_bytes`; default 64 MiB.
    buffered_bytes_max(bytes: usize) = 64 << 20, by check_buffered_bytes;
    /// Time between probes of an open breaker, 1 ms or more; default 30 seconds.
    circuit_breaker_probe_interval(interval: Duration) = Duration::from_secs(30), in 1..=MS_MAX, POSITIVE;
    /// Time for such a body to arrive, 1 ms or more; default 10 seconds.
    body_timeout(time: Duration) = Duration::from_secs(10), in 1..=MS_MAX, POSITIVE;
    /// Bytes of a refused request's body that are read and dropped before the refusal is sent, up
    /// to 64 MiB; 0 for none; default 1 MiB. A client that is still sending when its connection
    /// closes may lose the refusal.
    drain_bytes(bytes: u64) = 1 << 20, in 0..=64 << 20, "it must be at most 67108864";
    /// Time for that, 1 ms to 1 minute; default 2 seconds.
    drain_timeout(time: Duration) = Duration::from_secs(2), in 1..=60_000, "it must be from 1 ms to 60000 ms";
    /// Time for a client to read a challenge, 1 ms or more; default 30 seconds.
    write_timeout(time: Duration) = Duration::from_secs(30), in 1..=MS_MAX, POSITIVE;
    /// Whether made-up work is issued when the backlog is empty; default true.
    synthetic(issue: bool) = true;
    /// Decide and count as usual, but let requests over the limit through; default false.
    shadow(shadow: bool) = false;
    /// Whether a request that shows a mistake in the setup ([`SelfCheck`](crate::SelfCheck)) is
    /// answered with a 500 that names it; default false. For tests and trials: the text is about
    /// your setup, and a client gets it.
    strict_checks(strict: bool) = false;
    /// Threads that judge answers, 1 to 64; default 2.
    judge_threads(threads: usize) = 2, in 1..=64, "it must be from 1 to 64";
    /// Maximum number of answers waiting to be judged, 1 to 65 536; default 1 024.
    waiting_answers_max(answers: usize) = 1_024, in 1..=65_536, "it must be from 1 to 65536";
}

impl GateConfig {
    /// Returns a builder with the defaults.
    pub fn builder() -> GateConfigBuilder {
        GateConfigBuilder::defaults()
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

    /// What an answer buys under the default policy: requests, with the one that has the answer,
    /// and the time for them. Default: that one request, and on a challenge page 60 requests within
    /// 120 seconds, so that a page comes with its images.
    ///
    /// The ceilings on paid admissions count each of them.
    pub fn answer_buys(mut self, requests: u32, time: Duration) -> Self {
        self.policies[0].answer_buys = Some(AnswerBuys { requests, time });
        self
    }

    /// Name of the site on the challenge page, at most 64 characters. Empty, the default: the host
    /// of the page's address.
    pub fn site_name(mut self, name: impl Into<String>) -> Self {
        self.site_name = name.into();
        self
    }

    /// Colour of the strip with the site's name on the challenge page, as `#RGB` or `#RRGGBB`. The
    /// text on it is black or white, whichever is easier to read. Empty, the default: no strip.
    pub fn site_color(mut self, color: impl Into<String>) -> Self {
        self.site_color = color.into();
        self
    }

    /// Where a visitor of the challenge page can ask, at most 128 characters: `mailto:` with an
    /// address or `https://` with a host make a link, anything else is a text. Of a `mailto:` link
    /// with a query only the address is shown. Empty, the default: nothing.
    pub fn site_contact(mut self, contact: impl Into<String>) -> Self {
        self.site_contact = contact.into();
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

    /// Header in which your proxies send the client's address, as one single address, like
    /// `X-Real-IP`, `CF-Connecting-IP` or `Fly-Client-IP`. It is trusted only from peers in
    /// [`trusted_proxy`](Self::trusted_proxy), and then takes the place of `Forwarded` and
    /// `X-Forwarded-For`, which are not read. Requests of such a peer in which it is missing,
    /// repeated or not an address count together as one client. Empty, the default: none.
    pub fn client_ip_header(mut self, name: impl Into<String>) -> Self {
        self.client_ip_header = name.into().to_ascii_lowercase();
        self
    }

    /// Adds a prefix of 96 bits, as `ADDRESS/96`, in which the NAT64 translators of your network
    /// embed IPv4 addresses (RFC 6052). An address in it counts as the IPv4 client in its last 32
    /// bits; so does one in 64:ff9b::/96 without any setting. None by default.
    pub fn nat64_prefix(mut self, network: impl AsRef<str>) -> Self {
        match network.as_ref().parse::<Ipv6Net>() {
            Ok(network) if network.prefix_len() == 96 && network.addr() == network.network() => {
                self.nat64_prefixes.push(network.addr());
            }
            _ => self.no_nat64 = self.no_nat64.or_else(|| Some(network.as_ref().to_owned())),
        }
        self
    }

    /// Open challenges of a client identified by address, and of one identified by name or key,
    /// each 1 to 64; default 4 and 4.
    pub fn open_challenges(mut self, by_address: u32, by_name: u32) -> Self {
        self.open_challenges = OpenChallenges { by_address, by_name };
        self
    }

    /// Requests of one client admitted by work in a default window; default the default policy's
    /// limit, and at least what four answers buy if they buy more than one request. 0 means none.
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
            client_ip_header: &self.client_ip_header,
            nat64_prefixes: &self.nat64_prefixes,
        }
    }

    /// Returns what an answer buys under this policy; `page` if it is from a challenge page.
    pub(in crate::gate) fn answer_buys_of(&self, policy: &Policy, page: bool) -> AnswerBuys {
        let has_page = page && !self.challenge_page.is_empty();
        policy.answer_buys.unwrap_or(if has_page { AnswerBuys::PAGE } else { AnswerBuys::ONE })
    }

    /// Returns the ceilings on paid admissions of a client and of a prefix.
    pub(in crate::gate) fn paid_admissions(&self) -> (u32, u32) {
        let bought = |policy: &Policy| self.answer_buys_of(policy, true).requests;
        let most_bought = self.policies.iter().map(bought).max().unwrap_or(1);
        let least = if most_bought > 1 { most_bought.saturating_mul(4).min(1_000_000) } else { 0 };
        let client = self.paid_admissions_per_window.unwrap_or(self.policies[0].rate_limit.max(least));
        (client, self.paid_admissions_per_prefix.unwrap_or(client.saturating_mul(8)))
    }
}
