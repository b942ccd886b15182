//! The choices in the gate's settings: limits for routes, forms of headers, and the action when a
//! window cannot be reached.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::{ConfigError, MS_MAX, check_setting as check, check_time, whole_ms};
use crate::policy::window::WindowRules;

/// The rule for a network of proxies.
pub(in crate::gate) const NETWORK_RULE: &str = "it is a network as ADDRESS/BITS, like 10.0.0.0/8";

/// The action when a window outside the process cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FallbackBehavior {
    /// Use the windows in memory.
    InMemory,
    /// Let the request through.
    Allow,
    /// Answer 503.
    Deny,
}

/// The form of the IETF's rate limit headers (draft-ietf-httpapi-ratelimit-headers) that a response
/// has in addition to `X-RateLimit-*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RateLimitDraft {
    /// None of them.
    None,
    /// `RateLimit-Policy: 100;w=60` and `RateLimit: limit=100, remaining=0, reset=30`.
    Draft7,
    /// `RateLimit-Policy: "default";q=100;w=60` and `RateLimit: "default";r=0;t=30`; the form since
    /// version 8.
    Draft8,
}

/// Most challenges that one client may have open.
#[derive(Debug, Clone, Copy)]
pub(in crate::gate) struct OpenChallenges {
    /// Of a client identified by address.
    pub(in crate::gate) by_address: u32,
    /// Of a client identified by name or key.
    pub(in crate::gate) by_name: u32,
}

/// A limit and its routes.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use pouw::{GateConfig, Policy};
///
/// let upload = Policy::new("upload", 5, Duration::from_secs(60));
/// let upload = upload.route("POST /files/*").route("PUT /files/*");
/// let config = GateConfig::builder().policy(upload).build()?;
/// # let _ = config;
/// # Ok::<(), pouw::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// Name, as sent in `RateLimit-Policy`.
    pub name: String,
    /// Admitted requests in one window.
    pub rate_limit: u32,
    /// Length of the window.
    pub window: Duration,
    /// Routes: a path, or a path ending in `/*` for all paths below it, optionally with a method
    /// and a space before it. The longest match applies. Empty for the default policy.
    pub routes: Vec<String>,
}

impl Policy {
    /// Returns a policy without routes.
    #[must_use]
    pub fn new(name: impl Into<String>, rate_limit: u32, window: Duration) -> Self {
        Self { name: name.into(), rate_limit, window, routes: Vec::new() }
    }

    /// Adds a route.
    #[must_use]
    pub fn route(mut self, route: impl Into<String>) -> Self {
        self.routes.push(route.into());
        self
    }

    /// Returns the rules of its windows, if its limit and window are valid.
    pub(in crate::gate) fn window_rules(&self) -> Result<WindowRules, ConfigError> {
        let (limit, window, rule) = (self.rate_limit, self.window, "it must be from 1 ms to 1 day");
        check("rate_limit", limit, (1..=1_000_000).contains(&limit), "it must be from 1 to 1000000")?;
        // Only the whole milliseconds: the rules have the range.
        check_time("window", window, 0..=MS_MAX, rule)?;
        let refused = || ConfigError { field: "window", value: format!("{} ms", window.as_millis()), rule };
        WindowRules::new(limit, whole_ms(window)).ok_or_else(refused)
    }
}
