//! Settings that are allowed and probably not meant.

use ipnet::IpNet;

use crate::gate::plain::{DATA_BYTES_MIN, encoded};
use crate::protocol::DifficultyTier;

use super::keys::Settings;
use super::words::{ClientIdentifier, RouteOverride};

/// How much a [`Risk`] weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Weight {
    /// Worth knowing.
    Note,
    /// Probably not meant.
    Warning,
}

/// Something to think over before such a configuration serves anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Risk {
    /// How much it weighs.
    pub weight: Weight,
    /// The key to change.
    pub key: &'static str,
    /// What will happen.
    pub what: String,
}

/// Less than this after the floor is little for a phone on a slow line.
const TIME_TO_ANSWER_MS: u64 = 10_000;
/// Paid admissions beside the limit, from which on the limit means little.
const PAID_FACTOR_MAX: u32 = 10;

/// Collects what is found.
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
    /// Combinations that are allowed and probably not meant, warnings first. The defaults carry no warning.
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
            "it is off: its target and its least bytes change nothing",
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
            "a floor of 0 is the bare paper: an answer costs a program a fraction of a millisecond of hashing",
        );
        let left_ms = ttl_ms.saturating_sub(floors.into_iter().max().unwrap_or_default());
        found.warn(
            left_ms < TIME_TO_ANSWER_MS,
            "token_ttl_seconds",
            format!("{left_ms} ms are left for an answer between floor and expiry: slow lines will miss it"),
        );
        let late = |(floor, target): (&u64, &u64)| floor.saturating_add(*target) >= ttl_ms;
        found.warn(
            self.calibrate == Some(true)
                && floors[1..].iter().zip(&self.calibrate_target_ms.unwrap_or_default()).any(late),
            "calibrate_target_ms",
            "no answer can be that late, since its token expires before: units of that tier never shrink",
        );
        let limit = self.rate_limit.unwrap_or_default();
        let client = self.paid_admissions_per_window.unwrap_or_default();
        let prefix = self.paid_admissions_per_prefix.unwrap_or_default();
        let in_all = self.paid_admissions_in_all.unwrap_or_default();
        found.warn(
            client > limit.saturating_mul(PAID_FACTOR_MAX),
            "paid_admissions_per_window",
            format!("work admits {client} requests beside the limit of {limit}: the limit means little"),
        );
        let nobody = client == 0 || prefix == 0 || in_all == 0;
        found.warn(nobody, "paid_admissions_per_window", "a ceiling of 0 asks nobody for work: a plain rate limiter");
        found.warn(
            !nobody && prefix < client,
            "paid_admissions_per_prefix",
            format!("one client may have {client} paid admissions, its whole network {prefix}"),
        );
        found.warn(
            !nobody && in_all < client,
            "paid_admissions_in_all",
            format!("one client may have {client} paid admissions, all together {in_all}"),
        );
        let (first, last) = (self.default_difficulty, self.max_difficulty);
        found.note(
            first == last,
            "max_difficulty",
            "default and highest tier are the same: difficulty never rises, whatever a client does",
        );
        found.warn(
            first == Some(DifficultyTier::High),
            "default_difficulty",
            "the first challenge of every client is the hardest, and the largest to send",
        );
        let (lower, exempt) = (self.reputation_difficulty_threshold, self.reputation_exemption_threshold);
        found.warn(
            exempt <= lower,
            "reputation_exemption_threshold",
            "who would get softer work gets none at all: the exemption comes first. 1.1 switches it off",
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
                format!("{bytes} bytes are less than the smallest challenge ({least}): none will ever go out"),
            );
            found.warn(
                (least..whole).contains(&bytes),
                key,
                format!("{bytes} bytes are less than the largest challenge ({whole}): they shrink or are refused"),
            );
        }
        let depth = self.min_queue_depth.unwrap_or_default();
        let ready = self.ready_bytes_max.unwrap_or_default();
        found.note(
            depth.saturating_mul(unit_bytes[2]) > ready,
            "ready_bytes_max",
            format!("{ready} bytes do not hold {depth} units of the largest size: fewer will be ready"),
        );
    }

    fn client_risks(&self, found: &mut Risks) {
        let strategy = self.identifier_strategy;
        let by_address = matches!(strategy, Some(ClientIdentifier::Ip | ClientIdentifier::UserOrIp));
        let prefix = self.ipv6_prefix.unwrap_or_default();
        found.warn(
            by_address && prefix > 64,
            "ipv6_prefix",
            format!("one line has 2^64 IPv6 addresses; at {prefix} bits its owner has a fresh limit whenever it likes"),
        );
        found.note(
            by_address && prefix < 48,
            "ipv6_prefix",
            format!("{prefix} bits put many subscribers of a provider under one limit"),
        );
        let proxies = self.trusted_proxies.as_deref().unwrap_or_default();
        found.note(
            by_address && proxies.is_empty(),
            "trusted_proxies",
            "no forwarding header is believed: behind a proxy or a load balancer everybody is one client",
        );
        found.warn(
            proxies.iter().any(|network| network.prefix_len() == 0),
            "trusted_proxies",
            "a network of all addresses lets every client choose its own address",
        );
        let public = |network: &IpNet| match network {
            IpNet::V4(v4) => (1..8).contains(&v4.prefix_len()),
            IpNet::V6(v6) => (1..16).contains(&v6.prefix_len()),
        };
        found.warn(
            proxies.iter().any(public),
            "trusted_proxies",
            "a network this large is hardly one of proxies: whoever is in it chooses its own address",
        );
        let [shared, _] = self.open_challenges.unwrap_or_default();
        found.warn(
            by_address && shared == 1,
            "open_challenges",
            "one open challenge for each address: one person behind a shared address shuts out the others",
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
                    "{name:?} admits {in_default} requests in {window_ms} ms, and work {paid} more: \
                     paid_admissions_per_window is one for all policies"
                ),
            );
        }
        for entry in overrides.iter().filter(|entry| entry.routes.is_empty()) {
            found.warn(true, "route_overrides", format!("{:?} has no routes: it limits nothing", entry.name));
        }
        found.warn(
            exempt.iter().any(|route| route == "/*"),
            "exempt_routes",
            "/* exempts every route that has no limit of its own: hardly anything is limited",
        );
        found.note(self.shadow == Some(true), "shadow", "shadow mode: nobody is limited");
    }
}
