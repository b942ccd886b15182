//! The choices in the gate's settings: how a client is identified, limits for routes, forms of
//! headers, and the action when a window cannot be reached.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::facts::{Caller, Head};
use super::identity::ClientKey;

/// A function that returns the client key of a request.
pub type Extractor = dyn Fn(&dyn Head, &Caller<'_>) -> Option<ClientKey> + Send + Sync;

/// The property of a request that identifies a client.
#[derive(Clone)]
#[non_exhaustive]
pub enum IdentifierStrategy {
    /// The client's address.
    Ip,
    /// The authenticated user; all requests without one count as one client.
    User,
    /// The validated API key; all requests without one count as one client.
    ApiKey,
    /// The authenticated user, else the client's address.
    UserOrIp,
    /// The key that this function returns for a request; the client's address if it returns none.
    Custom(Arc<Extractor>),
}

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

/// A limit and its routes.
#[derive(Debug, Clone, PartialEq, Eq)]
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
