//! What settings of the gate choose from: who is one client, limits for routes, forms of headers, and what to do
//! without a window.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::facts::{Caller, Head};
use super::identity::ClientKey;

/// Makes a client key of a request.
pub type Extractor = dyn Fn(&dyn Head, &Caller<'_>) -> Option<ClientKey> + Send + Sync;

/// Which property of a request tells clients apart.
#[derive(Clone)]
#[non_exhaustive]
pub enum IdentifierStrategy {
    /// The believed address.
    Ip,
    /// The authenticated user; all others are one client together.
    User,
    /// The validated API key; all others are one client together.
    ApiKey,
    /// The authenticated user, else the believed address.
    UserOrIp,
    /// The key that this function returns for a request; the believed address if it returns none.
    Custom(Arc<Extractor>),
}

/// What happens when a window kept outside the process cannot be consulted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FallbackBehavior {
    /// Judge by the windows in memory.
    InMemory,
    /// Let the request through.
    Allow,
    /// Answer 503.
    Deny,
}

/// Which form of the IETF's rate limit headers (draft-ietf-httpapi-ratelimit-headers) a response carries beside
/// `X-RateLimit-*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RateLimitDraft {
    /// None of them.
    None,
    /// `RateLimit-Policy: 100;w=60` and `RateLimit: limit=100, remaining=0, reset=30`.
    Draft7,
    /// `RateLimit-Policy: "default";q=100;w=60` and `RateLimit: "default";r=0;t=30`; the form since version 8.
    Draft8,
}

/// A limit and the routes it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Name, as sent in `RateLimit-Policy`.
    pub name: String,
    /// Admitted requests in one window.
    pub rate_limit: u32,
    /// Length of the window.
    pub window: Duration,
    /// Routes: a path, or a path ending in `/*` for all below it, with a method and a space before it if
    /// it is for that method only. The longest match counts. Empty for the default policy.
    pub routes: Vec<String>,
}

impl Policy {
    /// A policy for no route yet.
    pub fn new(name: impl Into<String>, rate_limit: u32, window: Duration) -> Self {
        Self { name: name.into(), rate_limit, window, routes: Vec::new() }
    }

    /// Adds a route.
    #[must_use]
    pub fn route(mut self, route: impl Into<String>) -> Self {
        self.routes.push(route.into());
        self
    }
}
