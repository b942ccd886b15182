//! What a gate checks about its own surroundings while it serves, and the advice for each finding.

use std::fmt;

/// A mistake in how the gate is set up that shows in the requests it gets and the responses it
/// passes on. Each is reported once by a gate, as [`GateEvent::Misconfigured`]. With
/// [`strict_checks`] a request that shows one is answered with a 500.
///
/// [`GateEvent::Misconfigured`]: crate::GateEvent::Misconfigured
/// [`strict_checks`]: crate::GateConfigBuilder::strict_checks
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SelfCheck {
    /// `no_peer`: clients are identified by address, and a request has no address of the other end
    /// of its connection.
    NoPeer,
    /// `unnamed_proxy`: a private or loopback address sends forwarding headers and is not in
    /// `trusted_proxies`, so a proxy counts as the client.
    UnnamedProxy,
    /// `one_client`: from the first request on all count as one client, with at least eight
    /// different `User-Agent`s: they come from one address, probably of a proxy that hides its
    /// clients, or trusted proxies do not send the client's address. Several browsers at one
    /// address are usual, so one request from a second address ends this check. `Cookie` has no
    /// part in it, because one browser sends different cookies over time.
    OneClient,
    /// `cors_inside`: a response of the service has `Access-Control-Allow-Origin`, so CORS is
    /// handled inside of the gate, and scripts of other origins cannot read the gate's refusals.
    CorsInside,
    /// `body_limit`: the service answers with 413 to a body that the gate read for the answer in
    /// it, so the limit of the service is below `body_limit_bytes`.
    BodyLimit,
}

impl SelfCheck {
    /// Every check.
    pub const ALL: [Self; 5] = [Self::NoPeer, Self::UnnamedProxy, Self::OneClient, Self::CorsInside, Self::BodyLimit];

    /// Returns the name of the check, which does not change.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoPeer => "no_peer",
            Self::UnnamedProxy => "unnamed_proxy",
            Self::OneClient => "one_client",
            Self::CorsInside => "cors_inside",
            Self::BodyLimit => "body_limit",
        }
    }

    /// Returns what was found, and what to do.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::NoPeer => {
                "a request has no peer address: all clients without one share one limit. With axum, enable the feature \
                 `axum` and serve with `into_make_service_with_connect_info::<SocketAddr>()`; with other servers, \
                 insert `pouw::PeerAddr` into the request's extensions, call `PouwLayer::peer_from`, or pass \
                 `Caller::from_peer`"
            }
            Self::UnnamedProxy => {
                "a request from a private address has a forwarding header, which is not read: if this is your proxy, \
                 all clients behind it share one limit. Name its network in trusted_proxies, or let it remove the \
                 header"
            }
            Self::OneClient => {
                "all requests so far count as one client, with many different User-Agents: they came from one address, \
                 or from trusted proxies without a client's address. If that is a proxy, all clients behind it share \
                 one limit. Name its network in trusted_proxies, and let it send X-Forwarded-For or Forwarded; if \
                 client_ip_header is set, let it send that header, once, with one address"
            }
            Self::CorsInside => {
                "a response of the service has Access-Control-Allow-Origin, but the gate's refusals get none: scripts \
                 of other origins see a network error in place of a 429 with work. Put the CORS layer outside of the \
                 gate, with the headers of `header::EXPOSED` exposed"
            }
            Self::BodyLimit => {
                "the service refused with 413 a body that the gate had read: the work in it is spent. Raise the body \
                 limit of the service, or lower body_limit_bytes to it"
            }
        }
    }

    pub(super) const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for SelfCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
