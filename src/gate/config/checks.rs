//! The rules of the settings.

use std::collections::HashSet;

use crate::engine::{Bounded, Config, ConfigError, check_setting as check};
use crate::policy::window::WindowRules;

use super::builder::{GateConfig, GateConfigBuilder};
use super::choices::{NAT64_RULE, NETWORK_RULE, OpenChallenges};
use super::routes::Pattern;
use super::sizes::{PREFIX_CHARS_MAX, encoded};

impl GateConfig {
    /// Checks these settings against the engine's.
    pub(in crate::gate) fn fits(&self, engine: &Config) -> Result<(), ConfigError> {
        let bytes = self.settings.bytes_in_flight;
        let rule = "it must hold a challenge of the largest unit: four thirds of unit_bytes of the high tier, and 3072";
        check("bytes_in_flight", bytes, bytes >= encoded(engine.send_cap() as u64), rule)
    }
}

impl GateConfigBuilder {
    /// Checks the settings. Those that depend on the engine's are checked when the gate is made.
    ///
    /// # Errors
    /// [`ConfigError`] with the field, the value and the rule of the first setting that is out of
    /// range.
    pub fn build(mut self) -> Result<GateConfig, ConfigError> {
        // A document sets the field itself.
        self.client_ip_header.make_ascii_lowercase();
        let windows = self.check_policies()?;
        if let Some(network) = &self.no_network {
            check("trusted_proxies", network, false, NETWORK_RULE)?;
        }
        if let Some(network) = &self.no_nat64 {
            check("nat64_prefixes", network, false, NAT64_RULE)?;
        }
        self.check_client_ip_header()?;
        self.check_page()?;
        self.check_site()?;
        self.check_table()?;
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
            policy.check_answer_buys()?;
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

    fn check_client_ip_header(&self) -> Result<(), ConfigError> {
        let name = self.client_ip_header.as_str();
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let good = plain && name.len() <= 64 && !["forwarded", "x-forwarded-for"].contains(&name);
        let rule = "it must be empty, or the name of a header with one address: at most 64 characters of A-Z, a-z, 0-9 \
                    and -, and neither Forwarded nor X-Forwarded-For, which are read without this setting";
        check("client_ip_header", name, good, rule)
    }

    fn check_page(&self) -> Result<(), ConfigError> {
        let path = &self.challenge_page;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-.".contains(&byte);
        let good = path.starts_with('/') && path.ends_with('/') && path.len() <= PREFIX_CHARS_MAX;
        let rule = "it must be empty, or a path of at most 128 characters of A-Z, a-z, 0-9, /, _, - and . that begins and ends \
                    with /";
        check("challenge_page", path, path.is_empty() || (good && path.bytes().all(plain)), rule)
    }

    pub(super) fn check_difficulty_threshold(&self) -> Result<(), ConfigError> {
        check_reputation("reputation_difficulty_threshold", self.reputation_difficulty_threshold)
    }

    pub(super) fn check_exemption_threshold(&self) -> Result<(), ConfigError> {
        check_reputation("reputation_exemption_threshold", self.reputation_exemption_threshold)
    }

    /// Checks the ceilings on paid admissions and on open challenges.
    pub(super) fn check_ceilings(&self) -> Result<(), ConfigError> {
        for (field, admissions) in [
            ("paid_admissions_per_window", self.paid_admissions_per_window.unwrap_or(0)),
            ("paid_admissions_per_prefix", self.paid_admissions_per_prefix.unwrap_or(0)),
            ("paid_admissions_in_all", self.paid_admissions_in_all),
        ] {
            admissions.check_within(field, ..=1_000_000, "it must be at most 1000000")?;
        }
        let OpenChallenges { by_address, by_name } = self.open_challenges;
        for open in [by_address, by_name] {
            open.check_within("open_challenges", 1..=64, "it must be from 1 to 64")?;
        }
        Ok(())
    }

    pub(super) fn check_buffered_bytes(&self) -> Result<(), ConfigError> {
        let least = self.body_limit_bytes as u128;
        self.buffered_bytes_max.check_within("buffered_bytes_max", least.., "it must be at least body_limit_bytes")
    }
}

fn check_reputation(field: &'static str, reputation: f64) -> Result<(), ConfigError> {
    let good = reputation.is_finite() && reputation >= 0.0;
    check(field, reputation, good, "it must be a finite number, 0 or more")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::config::choices::Policy;
    use std::time::Duration;

    #[test]
    fn the_default_has_the_rules_that_its_policy_is_built_with() {
        let built = GateConfig::builder().build().unwrap();
        assert_eq!(GateConfig::default().windows, built.windows);
    }

    #[test]
    fn the_header_of_a_document_is_checked_and_looked_up_in_lower_case() {
        let built = |name: &str| {
            let document = serde_json::json!({ "client_ip_header": name });
            let settings: crate::gate::settings::Settings = serde_json::from_value(document).unwrap();
            settings.gate(GateConfig::builder()).build()
        };
        assert_eq!(built("X-Real-IP").unwrap().settings.identity().client_ip_header, "x-real-ip");
        for list in ["Forwarded", "X-Forwarded-For", "x-forwarded-for"] {
            assert_eq!(built(list).unwrap_err().field, "client_ip_header", "{list}");
        }
    }

    #[test]
    fn each_policy_has_the_rules_of_its_own_limit_and_window() {
        let second = Policy::new("second", 5, Duration::from_secs(2));
        let built = GateConfig::builder().rate_limit(7).policy(second).build().unwrap();
        let seen: Vec<_> = built.windows.iter().map(|rules| (rules.limit(), rules.window_ms())).collect();
        assert_eq!(seen, [(7, 60_000), (5, 2_000)]);
    }
}
