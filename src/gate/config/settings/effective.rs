//! Reads the effective values back from the builders of engine and gate.

use crate::engine::{Config, whole_ms};
use crate::gate::config::builder::{GateConfig, GateConfigBuilder};
use crate::gate::config::choices::Policy;

use super::keys::Settings;
use super::words::{Bought, ProxyNetwork, RouteOverride};

impl Settings {
    /// Returns all settings with their effective values: the value set here, else the default. Only
    /// the names of the files with secrets stay as they are.
    pub fn effective(&self) -> Self {
        let mut all = self.clone();
        all.take_engine(&self.engine(Config::builder([0; 32])));
        let gate = self.gate(GateConfig::builder());
        all.take_gate(&gate);
        all.take_by_hand(gate);
        all
    }

    /// Reads back the keys of the gate whose entry in the table names no field.
    fn take_by_hand(&mut self, gate: GateConfigBuilder) {
        let (client, prefix) = gate.paid_admissions();
        self.paid_admissions_per_window = Some(client);
        self.paid_admissions_per_prefix = Some(prefix);
        let mut policies = gate.policies.into_iter();
        if let Some(Policy { rate_limit, window, answer_buys, .. }) = policies.next() {
            self.answer_buys = answer_buys.map(Bought::from);
            self.rate_limit = Some(rate_limit);
            self.window_ms = Some(whole_ms(window));
        }
        self.route_overrides = Some(policies.map(RouteOverride::from).collect());
        self.exempt_routes = Some(gate.exempt_routes);
        self.trusted_proxies = Some(gate.trusted_proxies.into_iter().map(ProxyNetwork::new).collect());
        self.nat64_prefixes = Some(gate.nat64_prefixes.into_iter().map(|prefix| format!("{prefix}/96")).collect());
    }
}
