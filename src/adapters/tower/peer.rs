//! The address of the other end of the connection, as the server left it in a request's extensions.

use std::net::{IpAddr, SocketAddr};

use http::Extensions;

use super::super::PeerAddr;

/// A request extension that holds the address of the other end of the connection.
pub trait PeerSource: Send + Sync + 'static {
    /// Returns the address; `None` if it is unknown.
    fn peer_ip(&self) -> Option<IpAddr>;
}

impl PeerSource for PeerAddr {
    fn peer_ip(&self) -> Option<IpAddr> {
        Some(self.0.ip())
    }
}

impl PeerSource for SocketAddr {
    fn peer_ip(&self) -> Option<IpAddr> {
        Some(self.ip())
    }
}

impl PeerSource for IpAddr {
    fn peer_ip(&self) -> Option<IpAddr> {
        Some(*self)
    }
}

#[cfg(feature = "axum")]
impl<T: PeerSource> PeerSource for axum::extract::ConnectInfo<T> {
    fn peer_ip(&self) -> Option<IpAddr> {
        self.0.peer_ip()
    }
}

/// A function that reads the peer's address from a request's extensions.
pub(super) type PeerReader = dyn Fn(&Extensions) -> Option<IpAddr> + Send + Sync;

/// Returns the address in [`PeerAddr`], else in axum's `ConnectInfo` of a `SocketAddr` or a
/// [`PeerAddr`].
pub(super) fn known_peer(extensions: &Extensions) -> Option<IpAddr> {
    peer_in::<PeerAddr>(extensions).or_else(|| connect_info(extensions))
}

/// Returns the address in the extension of this type.
pub(super) fn peer_in<T: PeerSource>(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<T>()?.peer_ip()
}

#[cfg(feature = "axum")]
fn connect_info(extensions: &Extensions) -> Option<IpAddr> {
    use axum::extract::ConnectInfo;
    let found = peer_in::<ConnectInfo<SocketAddr>>(extensions);
    found.or_else(|| peer_in::<ConnectInfo<PeerAddr>>(extensions))
}

#[cfg(not(feature = "axum"))]
fn connect_info(_: &Extensions) -> Option<IpAddr> {
    None
}
