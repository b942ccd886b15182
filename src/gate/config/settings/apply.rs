//! Applies a document to the builders of engine and gate.

use std::time::Duration;

use crate::engine::ConfigBuilder;
use crate::gate::config::builder::GateConfigBuilder;
use crate::protocol::ByTier;

use super::keys::Settings;

/// Passes the values that are set to a builder.
macro_rules! fill {
    ($settings:ident, $builder:ident: $($name:ident)*) => {
        $(if let Some(value) = &$settings.$name {
            $builder = $builder.$name(value.clone());
        })*
    };
}

/// The same for values that are converted from the unit of their key.
macro_rules! convert {
    ($settings:ident, $builder:ident: $($key:ident => $setter:ident($convert:expr)),* $(,)?) => {
        $(if let Some(value) = $settings.$key {
            $builder = $builder.$setter($convert(value));
        })*
    };
}

impl Settings {
    /// Applies the keys that are set to the engine's builder.
    pub fn engine(&self, mut builder: ConfigBuilder) -> ConfigBuilder {
        fill!(self, builder: min_queue_depth award_joule_credits micro_joules_per_hash award_basis calibrate
            calibrate_bytes_min interior_units leases_max synthetic_max ready_bytes_max commit_ops_max
            ledger_entries_kept default_difficulty max_difficulty difficulty_clients_max scrub_bytes_per_second);
        let ms = Duration::from_millis;
        convert!(self, builder:
            token_ttl_seconds => token_ttl(Duration::from_secs),
            work_unit_max_age_ms => work_unit_max_age(ms),
            floor_ms => floor(|by_tier| ByTier::from(by_tier).map(ms)),
            unit_bytes => unit_bytes(ByTier::from),
            quorum_wait_ms => quorum_wait(ms),
            escalation_window_ms => escalation_window(ms),
            cool_down_ms => cool_down(ms),
            scrub_every_ms => scrub_every(ms));
        if let Some([medium, high]) = self.calibrate_target_ms {
            builder = builder.calibrate_target(ms(medium), ms(high));
        }
        match self.waiting_commits_max {
            Some(answers) => builder.waiting_answers_max(answers),
            None => builder,
        }
    }

    /// Applies the keys that are set to the gate's builder. Routes and proxies are added to those
    /// that the builder has.
    pub fn gate(&self, mut builder: GateConfigBuilder) -> GateConfigBuilder {
        fill!(self, builder: rate_limit ipv6_prefix ratelimit_draft challenge_page circuit_breaker_threshold
            fallback_behavior security_alert_threshold reputation_difficulty_threshold
            reputation_exemption_threshold paid_admissions_per_window paid_admissions_per_prefix paid_admissions_in_all
            bytes_per_minute prefix_bytes_per_minute bytes_per_second bytes_in_flight tracked_clients_max
            body_limit_bytes buffered_bytes_max synthetic shadow judge_threads
            waiting_answers_max);
        let ms = Duration::from_millis;
        convert!(self, builder:
            window_ms => window(ms),
            circuit_breaker_probe_interval_ms => circuit_breaker_probe_interval(ms),
            body_timeout_ms => body_timeout(ms),
            write_timeout_ms => write_timeout(ms));
        if let Some([by_address, by_name]) = self.open_challenges {
            builder = builder.open_challenges(by_address, by_name);
        }
        if let Some(word) = self.identifier_strategy {
            builder = builder.identifier_strategy(word.into());
        }
        for policy in self.route_overrides.iter().flatten() {
            builder = builder.policy(policy.into());
        }
        for route in self.exempt_routes.iter().flatten() {
            builder = builder.exempt_route(route);
        }
        for network in self.trusted_proxies.iter().flatten() {
            builder = builder.trusted_proxy(network.to_string());
        }
        builder
    }
}
