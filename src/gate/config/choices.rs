//! The choices in the gate's settings: limits for routes, forms of headers, and the action when a
//! window cannot be reached.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::{ConfigError, MS_MAX, check_setting as check, check_time, whole_ms};
use crate::policy::window::WindowRules;

/// The rule for a network of proxies.
pub(in crate::gate) const NETWORK_RULE: &str = "it is a network as ADDRESS/BITS, like 10.0.0.0/8";

/// The rule for a prefix of NAT64.
pub(in crate::gate) const NAT64_RULE: &str =
    "it is an IPv6 network of 96 bits whose last 32 bits are zero, like 2001:db8:64::/96";

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
    /// `RateLimit-Policy: "default";q=100;w=60` and `RateLimit: "default";r=0;t=30`; the form of
    /// versions 8 to 11.
    Draft8,
    /// The same policy, and `RateLimit: "default";a=0;w=30`; the form of version 12, which has
    /// other names for the two parameters.
    Draft12,
    /// The parameters of versions 8 to 12, and the numbers of version 7 under names that begin with
    /// `pouw-`: `"default";r=0;t=30;a=0;w=30;pouw-limit=100;pouw-remaining=0;pouw-reset=30`. All
    /// versions since 8 allow further parameters, and programs made for version 7 that search for
    /// `limit=`, `remaining=` and `reset=` find them.
    Compatible,
}

/// Most challenges that one client may have open.
#[derive(Debug, Clone, Copy)]
pub(in crate::gate) struct OpenChallenges {
    /// Of a client identified by address.
    pub(in crate::gate) by_address: u32,
    /// Of a client identified by name or key.
    pub(in crate::gate) by_name: u32,
}

/// What an answer buys: the request it comes with, and more of the same client under the same
/// policy for a time.
///
/// ```
/// use std::time::Duration;
///
/// let buys = pouw::AnswerBuys::new(60, Duration::from_secs(120));
/// assert_eq!((buys.requests, buys.time), (60, Duration::from_secs(120)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AnswerBuys {
    /// Requests, 1 to 1 000 000, with the one that has the answer.
    pub requests: u32,
    /// The time for them, 1 s to 1 day, from the answer on.
    pub time: Duration,
}

impl AnswerBuys {
    /// One request, the one with the answer.
    pub(in crate::gate) const ONE: Self = Self { requests: 1, time: Duration::from_secs(60) };
    /// A page with its images, scripts and styles.
    pub(in crate::gate) const PAGE: Self = Self { requests: 60, time: Duration::from_secs(120) };

    /// Returns these requests within this time.
    #[must_use]
    pub const fn new(requests: u32, time: Duration) -> Self {
        Self { requests, time }
    }
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
    /// What an answer buys under this policy. `None`, the default: the one request it comes with,
    /// and on a challenge page 60 requests within 120 seconds.
    pub answer_buys: Option<AnswerBuys>,
}

impl Policy {
    /// Returns a policy without routes.
    #[must_use]
    pub fn new(name: impl Into<String>, rate_limit: u32, window: Duration) -> Self {
        Self { name: name.into(), rate_limit, window, routes: Vec::new(), answer_buys: None }
    }

    /// Adds a route.
    #[must_use]
    pub fn route(mut self, route: impl Into<String>) -> Self {
        self.routes.push(route.into());
        self
    }

    /// Sets what an answer buys.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use pouw::Policy;
    ///
    /// // One answer opens a dashboard, which asks for up to 20 tiles.
    /// let dashboard = Policy::new("dashboard", 5, Duration::from_secs(60))
    ///     .route("/dashboard/*")
    ///     .answer_buys(20, Duration::from_secs(30));
    /// # let _ = dashboard;
    /// ```
    #[must_use]
    pub fn answer_buys(mut self, requests: u32, time: Duration) -> Self {
        self.answer_buys = Some(AnswerBuys { requests, time });
        self
    }

    /// Checks what an answer buys.
    pub(in crate::gate) fn check_answer_buys(&self) -> Result<(), ConfigError> {
        let Some(AnswerBuys { requests, time }) = self.answer_buys else {
            return Ok(());
        };
        let rule = "it must be from 1 to 1000000";
        check("answer_buys.requests", requests, (1..=1_000_000).contains(&requests), rule)?;
        check_time("answer_buys.seconds", time, 1_000..=86_400_000, "it must be from 1 s to 1 day")
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
