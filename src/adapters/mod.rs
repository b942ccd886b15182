//! Thin shells around the [gate](crate::gate) for web frameworks. They decide nothing: they hand the gate a request's
//! head, buffer a body when it asks for one, and turn its decision into the framework's response.
//!
//! What the host knows of a request's sender travels as request extensions of the types below.

#[cfg(feature = "actix")]
pub mod actix;
#[cfg(feature = "tower")]
pub mod tower;

use std::net::SocketAddr;

/// Address of the other end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// Name of the user, put there by the host after it authenticated the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticatedUser(pub String);

/// API key, put there by the host after it validated it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatedApiKey(pub String);
