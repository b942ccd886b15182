//! Reads the effective values back from the builders of engine and gate.

use crate::engine::{Config, ConfigBuilder, whole_ms};
use crate::gate::config::builder::{GateConfig, GateConfigBuilder};
use crate::gate::config::choices::{OpenChallenges, Policy};

use super::keys::Settings;
use super::words::{ClientIdentifier, ProxyNetwork, RouteOverride};

/// Stores values read back from a builder.
macro_rules! take {
    ($settings:ident: $($name:ident)*) => {
        $($settings.$name = Some($name);)*
    };
}

impl Settings {
    /// Returns all settings with their effective values: the value set here, else the default. Only
    /// the names of the files with secrets stay as they are.
    pub fn effective(&self) -> Self {
        let mut all = self.clone();
        all.take_engine(self.engine(Config::builder([0; 32])));
        all.take_gate(self.gate(GateConfig::builder()));
        all
    }

    /// Reads the values back from the builder. A new setting of the builder does not compile until
    /// it has a key here, or a reason above why it has none.
    fn take_engine(&mut self, builder: ConfigBuilder) {
        let ConfigBuilder {
            hmac_secret: _,
            previous_secrets: _,
            token_ttl,
            min_queue_depth,
            work_unit_max_age,
            award_joule_credits,
            micro_joules_per_hash,
            award_basis,
            floor,
            unit_bytes,
            calibrate,
            calibrate_target,
            calibrate_bytes_min,
            interior_units,
            leases_max,
            synthetic_max,
            ready_bytes_max,
            commit_ops_max,
            waiting_answers_max: waiting_commits_max,
            ledger_entries_kept,
            quorum_wait,
            default_difficulty,
            max_difficulty,
            escalation_window,
            cool_down,
            difficulty_clients_max,
            accept_clock_ahead: _,
            scrub_bytes_per_second,
            scrub_every,
            background: _,
            #[cfg(feature = "testing")]
                mistake: _,
            #[cfg(feature = "testing")]
                audit_seed: _,
        } = builder;
        take!(self: min_queue_depth award_joule_credits micro_joules_per_hash award_basis calibrate calibrate_bytes_min
            interior_units leases_max synthetic_max ready_bytes_max commit_ops_max waiting_commits_max
            ledger_entries_kept default_difficulty max_difficulty difficulty_clients_max scrub_bytes_per_second);
        self.token_ttl_seconds = Some(token_ttl.as_secs());
        self.work_unit_max_age_ms = Some(whole_ms(work_unit_max_age));
        self.floor_ms = Some(floor.map(whole_ms).into());
        self.unit_bytes = Some(unit_bytes.into());
        self.calibrate_target_ms = Some(calibrate_target.map(whole_ms));
        self.quorum_wait_ms = Some(whole_ms(quorum_wait));
        self.escalation_window_ms = Some(whole_ms(escalation_window));
        self.cool_down_ms = Some(whole_ms(cool_down));
        self.scrub_every_ms = Some(whole_ms(scrub_every));
    }

    /// The same as [`take_engine`](Self::take_engine), for the gate.
    fn take_gate(&mut self, builder: GateConfigBuilder) {
        let (paid_admissions_per_window, paid_admissions_per_prefix) = builder.paid_admissions();
        let GateConfigBuilder {
            policies,
            exempt_routes,
            identifier_strategy,
            ipv6_prefix,
            trusted_proxies,
            no_network: _,
            ratelimit_draft,
            challenge_page,
            circuit_breaker_threshold,
            circuit_breaker_probe_interval,
            fallback_behavior,
            security_alert_threshold,
            reputation_difficulty_threshold,
            reputation_exemption_threshold,
            paid_admissions_per_window: _,
            paid_admissions_per_prefix: _,
            paid_admissions_in_all,
            bytes_per_minute,
            prefix_bytes_per_minute,
            bytes_per_second,
            bytes_in_flight,
            open_challenges: OpenChallenges { by_address, by_name },
            tracked_clients_max,
            body_limit_bytes,
            buffered_bytes_max,
            body_timeout,
            write_timeout,
            synthetic,
            shadow,
            judge_threads,
            waiting_answers_max,
        } = builder;
        self.open_challenges = Some([by_address, by_name]);
        self.identifier_strategy = ClientIdentifier::of(&identifier_strategy);
        let mut policies = policies.into_iter();
        if let Some(Policy { rate_limit, window, .. }) = policies.next() {
            let window_ms = whole_ms(window);
            take!(self: rate_limit window_ms);
        }
        let [circuit_breaker_probe_interval_ms, body_timeout_ms, write_timeout_ms] =
            [circuit_breaker_probe_interval, body_timeout, write_timeout].map(whole_ms);
        let route_overrides = policies.map(RouteOverride::from).collect();
        let trusted_proxies = trusted_proxies.into_iter().map(ProxyNetwork::new).collect();
        take!(self: route_overrides exempt_routes ipv6_prefix trusted_proxies ratelimit_draft challenge_page circuit_breaker_threshold
            circuit_breaker_probe_interval_ms fallback_behavior security_alert_threshold reputation_difficulty_threshold
            reputation_exemption_threshold paid_admissions_per_window paid_admissions_per_prefix paid_admissions_in_all
            bytes_per_minute prefix_bytes_per_minute bytes_per_second bytes_in_flight tracked_clients_max
            body_limit_bytes buffered_bytes_max body_timeout_ms write_timeout_ms synthetic shadow judge_threads
            waiting_answers_max);
    }
}
