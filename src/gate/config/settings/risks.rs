//! Settings that are allowed but probably not intended.

use ipnet::IpNet;

use crate::gate::config::sizes::{DATA_BYTES_MIN, encoded};
use crate::protocol::DifficultyTier;

use super::keys::Settings;
use super::words::{ClientIdentifier, ProxyNetwork, RouteOverride};

/// How serious a [`Risk`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Weight {
    /// Worth knowing.
    Note,
    /// Probably not intended.
    Warning,
}

/// A risk in a configuration, to consider before it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Risk {
    /// How serious it is.
    pub weight: Weight,
    /// The key to change.
    pub key: &'static str,
    /// What will happen.
    pub what: String,
}

/// Less time than this between floor and expiry is too short for a phone on a slow line.
const TIME_TO_ANSWER_MS: u64 = 10_000;
/// If work admits more than this multiple of the limit, the limit has little effect.
const PAID_FACTOR_MAX: u32 = 10;

/// Collects the risks found.
#[derive(Default)]
struct Risks(Vec<Risk>);

impl Risks {
    fn warn(&mut self, applies: bool, key: &'static str, what: impl Into<String>) {
        self.add(applies, Weight::Warning, key, what.into());
    }

    fn note(&mut self, applies: bool, key: &'static str, what: impl Into<String>) {
        self.add(applies, Weight::Note, key, what.into());
    }

    fn add(&mut self, applies: bool, weight: Weight, key: &'static str, what: String) {
        if applies {
            self.0.push(Risk { weight, key, what });
        }
    }
}

impl Settings {
    /// Returns combinations that are allowed but probably not intended, warnings first. The
    /// defaults have no warning.
    pub fn risks(&self) -> Vec<Risk> {
        let all = self.effective();
        let mut found = Risks::default();
        all.price_risks(&mut found);
        all.byte_risks(&mut found);
        all.client_risks(&mut found);
        all.route_risks(&mut found);
        found.note(
            all.calibrate == Some(false) && (self.calibrate_target_ms.is_some() || self.calibrate_bytes_min.is_some()),
            "calibrate",
            "it is off, so calibrate_target_ms and calibrate_bytes_min have no effect",
        );
        found.0.sort_by_key(|risk| std::cmp::Reverse(risk.weight));
        found.0
    }

    fn price_risks(&self, found: &mut Risks) {
        let floors = self.floor_ms.unwrap_or_default();
        let ttl_ms = self.token_ttl_seconds.unwrap_or_default().saturating_mul(1_000);
        found.warn(
            floors.contains(&0),
            "floor_ms",
            "with a floor of 0 an answer costs a program only a fraction of a millisecond of hashing",
        );
        let left_ms = ttl_ms.saturating_sub(floors.into_iter().max().unwrap_or_default());
        found.warn(
            left_ms < TIME_TO_ANSWER_MS,
            "token_ttl_seconds",
            format!("only {left_ms} ms remain for an answer between floor and expiry: slow lines will be late"),
        );
        let escalation_ms = self.escalation_window_ms.unwrap_or_default();
        found.warn(
            escalation_ms < ttl_ms,
            "escalation_window_ms",
            "violations are at least a token's lifetime apart, so two are never within it and the tier rises by wrong \
             answers only",
        );
        let late = |(floor, target): (&u64, &u64)| floor.saturating_add(*target) >= ttl_ms;
        found.warn(
            self.calibrate == Some(true)
                && floors[1..].iter().zip(&self.calibrate_target_ms.unwrap_or_default()).any(late),
            "calibrate_target_ms",
            "floor and target together reach the token's lifetime, so units of that tier never become smaller",
        );
        self.ceiling_risks(found);
        let (first, last) = (self.default_difficulty, self.max_difficulty);
        found.note(first == last, "max_difficulty", "default and highest tier are the same, so difficulty never rises");
        found.warn(
            first == Some(DifficultyTier::High),
            "default_difficulty",
            "every client begins with the hardest challenge, which is also the largest to send",
        );
        let (lower, exempt) = (self.reputation_difficulty_threshold, self.reputation_exemption_threshold);
        found.warn(
            exempt <= lower,
            "reputation_exemption_threshold",
            "the exemption applies first, so no client ever gets work one tier lower; 1.1 switches the exemption off",
        );
    }

    fn ceiling_risks(&self, found: &mut Risks) {
        let limit = self.rate_limit.unwrap_or_default();
        let bought = self.answer_buys.map_or(1, |bought| bought.requests);
        let client = self.paid_admissions_per_window.unwrap_or_default();
        let prefix = self.paid_admissions_per_prefix.unwrap_or_default();
        let in_all = self.paid_admissions_in_all.unwrap_or_default();
        found.warn(
            client > limit.saturating_mul(PAID_FACTOR_MAX),
            "paid_admissions_per_window",
            format!("work admits {client} requests in addition to the limit of {limit}: the limit has little effect"),
        );
        found.warn(
            client > 0 && client < bought,
            "paid_admissions_per_window",
            format!("an answer buys {bought} requests, but only {client} of one client are admitted by work"),
        );
        let nobody = client == 0 || prefix == 0 || in_all == 0;
        found.warn(
            nobody,
            "paid_admissions_per_window",
            "with a ceiling of 0 no client gets work: a plain rate limiter",
        );
        found.warn(
            !nobody && prefix < client,
            "paid_admissions_per_prefix",
            format!("one client may have {client} paid admissions, but its whole network only {prefix}"),
        );
        found.warn(
            !nobody && in_all < client,
            "paid_admissions_in_all",
            format!("one client may have {client} paid admissions, but all clients together only {in_all}"),
        );
    }

    fn byte_risks(&self, found: &mut Risks) {
        let least = encoded(DATA_BYTES_MIN);
        let unit_bytes = self.unit_bytes.unwrap_or_default();
        let whole = encoded(unit_bytes[2] as u64);
        for (key, bytes) in [
            ("bytes_per_minute", self.bytes_per_minute),
            ("prefix_bytes_per_minute", self.prefix_bytes_per_minute),
            ("bytes_per_second", self.bytes_per_second),
        ] {
            let bytes = bytes.unwrap_or_default();
            found.warn(
                bytes < least,
                key,
                format!("{bytes} bytes are less than the smallest challenge ({least}), so none is ever sent"),
            );
            found.warn(
                (least..whole).contains(&bytes),
                key,
                format!(
                    "{bytes} bytes are less than the largest challenge ({whole}), so large ones shrink or are refused"
                ),
            );
        }
        found.note(
            self.drain_bytes == Some(0),
            "drain_bytes",
            "bodies of refused requests are not read, so a client that is still sending one may lose the refusal",
        );
        let depth = self.min_queue_depth.unwrap_or_default();
        let ready = self.ready_bytes_max.unwrap_or_default();
        found.note(
            depth.saturating_mul(unit_bytes[2]) > ready,
            "ready_bytes_max",
            format!("{ready} bytes do not hold {depth} units of the largest size, so fewer will be ready"),
        );
    }

    fn client_risks(&self, found: &mut Risks) {
        let strategy = self.identifier_strategy;
        let by_address = matches!(strategy, Some(ClientIdentifier::Ip | ClientIdentifier::UserOrIp));
        let prefix = self.ipv6_prefix.unwrap_or_default();
        found.warn(
            by_address && prefix > 64,
            "ipv6_prefix",
            format!("one subscriber has 2^64 IPv6 addresses; at {prefix} bits it can get a new limit at any time"),
        );
        found.note(
            by_address && prefix < 48,
            "ipv6_prefix",
            format!("at {prefix} bits many subscribers of a provider share one limit"),
        );
        let proxies = self.trusted_proxies.as_deref().unwrap_or_default();
        found.note(
            by_address && proxies.is_empty(),
            "trusted_proxies",
            "no forwarding header is trusted: behind a proxy or a load balancer all clients count as one",
        );
        let header = self.client_ip_header.as_deref().unwrap_or_default();
        found.warn(
            proxies.is_empty() && !header.is_empty(),
            "client_ip_header",
            format!("{header} is never read: it is trusted only from trusted_proxies, and there are none"),
        );
        found.warn(
            proxies.iter().any(|network| network.get().prefix_len() == 0),
            "trusted_proxies",
            "this network has all addresses, so every client can choose its own address",
        );
        let public = |network: &ProxyNetwork| match network.get() {
            IpNet::V4(v4) => (1..8).contains(&v4.prefix_len()),
            IpNet::V6(v6) => (1..16).contains(&v6.prefix_len()),
        };
        found.warn(
            proxies.iter().any(public),
            "trusted_proxies",
            "this network is too large for proxies alone; any client in it can choose its own address",
        );
        let [shared, _] = self.open_challenges.unwrap_or_default();
        found.warn(
            by_address && shared == 1,
            "open_challenges",
            "with one open challenge for each address, one person behind a shared address blocks the others",
        );
    }

    fn route_risks(&self, found: &mut Risks) {
        let overrides = self.route_overrides.as_deref().unwrap_or_default();
        let exempt = self.exempt_routes.as_deref().unwrap_or_default();
        let (paid, window_ms) =
            (self.paid_admissions_per_window.unwrap_or_default(), self.window_ms.unwrap_or_default());
        for RouteOverride { name, rate_limit, window_ms: own_ms, .. } in overrides {
            let in_default = u128::from(*rate_limit) * u128::from(window_ms) / u128::from((*own_ms).max(1));
            found.warn(
                u128::from(paid) > in_default.max(1) * u128::from(PAID_FACTOR_MAX),
                "route_overrides",
                format!(
                    "{name:?} admits {in_default} requests in {window_ms} ms, and work admits {paid} more: \
                     paid_admissions_per_window applies to all policies"
                ),
            );
        }
        for entry in overrides.iter().filter(|entry| entry.routes.is_empty()) {
            found.warn(true, "route_overrides", format!("{:?} has no routes: it limits nothing", entry.name));
        }
        found.warn(
            exempt.iter().any(|route| route == "/*"),
            "exempt_routes",
            "/* exempts every route without a separate limit, so almost nothing is limited",
        );
        found.note(self.shadow == Some(true), "shadow", "shadow mode: requests over the limit are let through");
    }
}
