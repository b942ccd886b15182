//! Settings of the gate: the paper's names in snake_case and its defaults. The engine's own (the secret,
//! token lifetime, floors, unit sizes, difficulty, credits) stand in [`engine::Config`](crate::engine::Config).

use std::sync::Arc;

use ipnet::IpNet;

use super::facts::{Caller, Head};
use super::identity::ClientKey;

/// Which property of a request tells clients apart.
#[derive(Clone)]
#[non_exhaustive]
pub enum IdentifierStrategy {
    /// The believed address.
    Ip,
    /// The authenticated user; everybody else is one client together.
    User,
    /// The validated API key; everybody else is one client together.
    ApiKey,
    /// The authenticated user, else the believed address.
    UserOrIp,
    /// What this function makes of a request; where it returns nothing, the believed address.
    Custom(Arc<dyn Fn(&dyn Head, &Caller<'_>) -> Option<ClientKey> + Send + Sync>),
}

/// What happens when a window kept outside the process cannot be consulted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FallbackBehavior {
    /// Judge by the windows in memory.
    InMemory,
    /// Let the request through.
    Allow,
    /// Answer 503.
    Deny,
}

/// A limit and the routes it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Name, as it stands in `RateLimit-Policy`.
    pub name: String,
    /// Admitted requests in one window.
    pub rate_limit: u32,
    /// Length of the window, milliseconds.
    pub window_ms: u64,
    /// Routes: a path, or a path ending in `/*` for all below it, with a method and a space before it if
    /// it is for that method only. The longest match counts. Empty for the default policy.
    pub routes: Vec<String>,
}

/// Settings of one gate. One that exists is valid.
#[derive(Clone)]
pub struct GateConfig {
    pub(super) settings: GateConfigBuilder,
}

/// Collects settings; [`GateConfigBuilder::build`] judges them.
#[derive(Clone)]
#[must_use]
pub struct GateConfigBuilder {
    /// The default policy is the first.
    pub(super) policies: Vec<Policy>,
    pub(super) exempt_routes: Vec<String>,
    pub(super) identifier_strategy: IdentifierStrategy,
    pub(super) ipv6_prefix: u8,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) circuit_breaker_threshold: u32,
    pub(super) circuit_breaker_probe_interval_ms: u64,
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
    /// Per address key, per authenticated key.
    pub(super) open_challenges: [u32; 2],
    pub(super) tracked_clients_max: usize,
    pub(super) body_limit_bytes: usize,
    pub(super) buffered_bytes_max: usize,
    pub(super) body_timeout_ms: u64,
    pub(super) write_timeout_ms: u64,
    pub(super) synthetic: bool,
    pub(super) shadow: bool,
    pub(super) judge_threads: usize,
    pub(super) waiting_answers_max: usize,
}
