//! The address of the other end of the connection, as the server left it in a request's extensions.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Reads the peer's address from a request's extensions.
pub(super) struct PeerReader<F: ?Sized = dyn Fn(&Extensions) -> Option<IpAddr> + Send + Sync> {
    warned: AtomicBool,
    read: F,
}

impl PeerReader {
    /// Returns a reader that calls a function of the host.
    pub(super) fn new(read: impl Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(PeerReader { warned: AtomicBool::new(false), read })
    }

    /// Returns the peer's address. The first request without one logs a warning to `tracing`.
    pub(super) fn peer(&self, extensions: &Extensions) -> Option<IpAddr> {
        let peer = (self.read)(extensions);
        if peer.is_none() && !self.warned.load(Ordering::Relaxed) && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "no peer address in the request: all clients without one share one limit. With axum, enable the \
                 feature `axum` and serve with `into_make_service_with_connect_info::<SocketAddr>()`; with other \
                 servers, insert `pouw::PeerAddr` into the request's extensions or call `PouwLayer::peer_from`"
            );
        }
        peer
    }
}

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

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::sync::Mutex;

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    use super::*;

    /// Collects the texts of warnings.
    #[derive(Clone, Default)]
    struct Warnings(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Warnings {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() == Level::WARN
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            event.record(&mut self.clone());
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    impl Visit for Warnings {
        fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }

    #[test]
    fn requests_without_a_peer_are_reported_once_and_the_report_says_what_to_do() {
        let (warnings, reader) = (Warnings::default(), PeerReader::new(known_peer));
        let (without, mut with) = (Extensions::new(), Extensions::new());
        with.insert(PeerAddr(([192, 0, 2, 1], 80).into()));
        tracing::subscriber::with_default(warnings.clone(), || {
            assert_eq!(reader.peer(&with), Some([192, 0, 2, 1].into()));
            assert!(warnings.0.lock().unwrap().is_empty());
            assert_eq!([reader.peer(&without), reader.peer(&without)], [None, None]);
        });
        let warnings = warnings.0.lock().unwrap();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("into_make_service_with_connect_info"), "{warnings:?}");
    }
}
