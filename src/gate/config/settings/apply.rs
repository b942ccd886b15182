//! Applies a document to the builders of engine and gate.

use std::time::Duration;

use crate::engine::ConfigBuilder;
use crate::gate::config::builder::GateConfigBuilder;
use crate::gate::config::choices::AnswerBuys;

use super::keys::Settings;

impl Settings {
    /// Applies the keys that are set to the engine's builder.
    pub fn engine(&self, mut builder: ConfigBuilder) -> ConfigBuilder {
        self.fill_engine(&mut builder);
        builder
    }

    /// Applies the keys that are set to the gate's builder. Routes, proxies and prefixes are added
    /// to those that the builder has.
    pub fn gate(&self, mut builder: GateConfigBuilder) -> GateConfigBuilder {
        self.fill_gate(&mut builder);
        if let Some(requests) = self.rate_limit {
            builder = builder.rate_limit(requests);
        }
        if let Some(ms) = self.window_ms {
            builder = builder.window(Duration::from_millis(ms));
        }
        if let Some(bought) = self.answer_buys.map(AnswerBuys::from) {
            builder = builder.answer_buys(bought.requests, bought.time);
        }
        if let Some(admissions) = self.paid_admissions_per_window {
            builder = builder.paid_admissions_per_window(admissions);
        }
        if let Some(admissions) = self.paid_admissions_per_prefix {
            builder = builder.paid_admissions_per_prefix(admissions);
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
        for network in self.nat64_prefixes.iter().flatten() {
            builder = builder.nat64_prefix(network);
        }
        builder
    }
}
