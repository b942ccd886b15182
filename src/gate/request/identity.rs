//! Identifies the client of a request, and its network.
//!
//! No header is trusted by default. `Forwarded` and `X-Forwarded-For` count only if the peer is in
//! a configured proxy network; they are then read from right to left. A header that the setting
//! `client_ip_header` names takes their place.

use std::net::Ipv6Addr;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use ipnet::IpNet;

use crate::guard::contained;
use crate::hash::sha3_512;

use super::client::{ClientKey, NAME_BYTES_MAX, NetworkPrefix, translated};
use super::head::{Caller, Head};

pub use super::forwarded::believed_address;
pub(in crate::gate) use super::forwarded::is_trusted;

/// A function that returns the client key of a request.
#[derive(Clone)]
pub struct Extractor(Arc<KeyOf>);

type KeyOf = dyn Fn(&dyn Head, &Caller<'_>) -> Option<ClientKey> + Send + Sync;

impl Extractor {
    /// Returns the key of a request; `None` if the function panics, too.
    fn key(&self, head: &dyn Head, caller: &Caller<'_>) -> Option<ClientKey> {
        contained(|| (self.0)(head, caller)).ok().flatten()
    }
}

/// The property of a request that identifies a client.
///
/// # Examples
///
/// One limit for each tenant, which is the first part of the path:
///
/// ```
/// use pouw::{ClientKey, GateConfig, IdentifierStrategy};
///
/// let by_tenant = IdentifierStrategy::custom(|head, _| {
///     let tenant = head.path().split('/').nth(1)?;
///     Some(ClientKey::Custom(tenant.as_bytes().into()))
/// });
/// let config = GateConfig::builder().identifier_strategy(by_tenant).build()?;
/// # let _ = config;
/// # Ok::<(), pouw::ConfigError>(())
/// ```
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
    /// The key that a function of the host returns for a request; the client's address if it
    /// returns none. Made by [`custom`](Self::custom).
    Custom(#[doc(hidden)] Extractor),
}

impl IdentifierStrategy {
    /// Identifies a client by the key that `key` returns for a request, and by the client's address
    /// if it returns none or panics.
    pub fn custom(key: impl Fn(&dyn Head, &Caller<'_>) -> Option<ClientKey> + Send + Sync + 'static) -> Self {
        Self::Custom(Extractor(Arc::new(key)))
    }
}

/// The settings that decide who is one client.
#[derive(Clone, Copy)]
pub(in crate::gate) struct IdentityRules<'a> {
    pub(in crate::gate) strategy: &'a IdentifierStrategy,
    /// Leading bits of an IPv6 address that identify one client.
    pub(in crate::gate) ipv6_prefix: u8,
    /// Networks of proxies whose forwarding headers are trusted.
    pub(in crate::gate) trusted_proxies: &'a [IpNet],
    /// Header in which those proxies send the client's address, lower case; empty for none.
    pub(in crate::gate) client_ip_header: &'a str,
    /// Prefixes of 96 bits, in which the network's NAT64 translators embed IPv4 addresses.
    pub(in crate::gate) nat64_prefixes: &'a [Ipv6Addr],
}

/// The client of a request, and its network.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::gate) struct Identity {
    pub(in crate::gate) client: ClientKey,
    pub(in crate::gate) network: NetworkPrefix,
    /// Whether the client is its address, or anonymous because that is not known.
    pub(in crate::gate) by_address: bool,
}

/// Returns the client of a request, and its network.
pub(in crate::gate) fn identify(head: &dyn Head, caller: &Caller<'_>, rules: &IdentityRules<'_>) -> Identity {
    let believed = believed_address(caller.peer, head, rules.trusted_proxies, rules.client_ip_header);
    // Only now: trust is about the address as it is, not about one embedded in it.
    let address = believed.map(|address| translated(address, rules.nat64_prefixes));
    let of_address =
        || address.map_or(ClientKey::Anonymous, |address| ClientKey::of_address(address, rules.ipv6_prefix));
    let user = || caller.user.map(|user| ClientKey::User(bounded(user)));
    let named = match rules.strategy {
        IdentifierStrategy::Ip => None,
        IdentifierStrategy::User => Some(user().unwrap_or(ClientKey::Anonymous)),
        IdentifierStrategy::ApiKey => {
            Some(caller.api_key.map_or(ClientKey::Anonymous, |key| ClientKey::ApiKey(bounded(key))))
        }
        IdentifierStrategy::UserOrIp => user(),
        IdentifierStrategy::Custom(extractor) => extractor.key(head, caller).map(limited),
    };
    let by_address = named.is_none();
    Identity { client: named.unwrap_or_else(of_address), network: NetworkPrefix::of(address), by_address }
}

fn bounded(name: &str) -> Arc<str> {
    if name.len() <= NAME_BYTES_MAX { name.into() } else { digest(name.as_bytes()).into() }
}

/// Replaces a long key from the host by its digest.
fn limited(key: ClientKey) -> ClientKey {
    match key {
        ClientKey::User(name) => ClientKey::User(bounded(&name)),
        ClientKey::ApiKey(key) => ClientKey::ApiKey(bounded(&key)),
        ClientKey::Custom(bytes) if bytes.len() > NAME_BYTES_MAX => {
            ClientKey::Custom(digest(&bytes).into_bytes().into())
        }
        other => other,
    }
}

fn digest(bytes: &[u8]) -> String {
    HEXLOWER.encode(sha3_512(bytes).as_bytes())
}

#[cfg(test)]
mod tests;
