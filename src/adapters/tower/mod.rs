//! The gate as a tower [`Layer`], for axum, hyper, tonic and other servers that use the `http`
//! crate.
//!
//! No thread of the executor waits for a disk: answers are judged on the gate's own threads. A
//! request body is buffered only if the gate asks for it, and the service gets it byte for byte;
//! every other body passes unchanged. Headers of the gate replace those of the same name in the
//! service's response.
//!
//! # Bodies of refused requests
//!
//! A client that sends all of a body before it reads loses the response of a server that closes
//! the connection meanwhile. So the layer reads and drops the body of a refused request, up to
//! [`drain_bytes`](crate::GateConfigBuilder::drain_bytes) and
//! [`drain_timeout`](crate::GateConfigBuilder::drain_timeout), before it sends the refusal. Longer
//! bodies are left unread, and the refusal closes the connection: wrap the connections in
//! [`Linger`], which closes them gently. hyper alone, and so `axum::serve` on a plain listener,
//! closes at once, and such a client often loses the refusal; `LingerListener` (feature `axum`)
//! cures that. Nothing is read for a client that sent `Expect: 100-continue`. With HTTP/2 the
//! refusal is sent at once. Its stream ends when the body has, or after one second or 64 MiB,
//! because some clients lose a response whose stream is reset; the connection goes on.
//!
//! # The peer's address
//!
//! Clients are identified by the address of the other end of the connection. The layer reads it
//! from the request's extensions: [`PeerAddr`], else axum's `ConnectInfo` of a `SocketAddr` or a
//! [`PeerAddr`] (feature `axum`). [`PouwLayer::peer_from`] reads another extension;
//! [`PouwLayer::with_peer`] calls your function. All requests without an address count as one
//! client; the gate reports the first one ([`SelfCheck::NoPeer`](crate::SelfCheck::NoPeer)).
//!
//! # Examples
//!
//! A complete server with axum (feature `axum`):
//!
#![cfg_attr(feature = "axum", doc = "```no_run")]
#![cfg_attr(not(feature = "axum"), doc = "```ignore")]
//! use std::net::SocketAddr;
//!
//! use axum::{Router, routing::get};
//! use pouw::Gate;
//! use pouw::tower::PouwLayer;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // A real service reads its secret from its environment or a file.
//!     let gate = Gate::open("pouw-data", "a secret of thirty-two bytes or more")?;
//!     let app = Router::new().route("/", get(|| async { "hello" })).layer(PouwLayer::new(gate));
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//!     axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
//!     Ok(())
//! }
//! ```
//!
//! # gRPC
//!
//! With tonic, `Server::builder().layer(PouwLayer::new(gate).with_peer(..))`, where the function
//! reads `TcpConnectInfo` from the extensions; `examples/tonic.rs` is a whole server. If the content
//! type of a request begins with `application/grpc`, its refusal is a response of headers only with
//! the HTTP status 200 and a gRPC status: `RESOURCE_EXHAUSTED` over the limit, with a `RetryInfo` in
//! `grpc-status-details-bin` and the headers about the limit.
//! [`Refusal::for_content_type`](crate::Refusal::for_content_type) lists the codes.
//!
//! A client waits, or it answers: its calls have the metadata `x-pouw-accept`, and the refusal then
//! has a token in `x-pouw-challenge` and a unit of at most 4 KiB of data in `x-pouw-unit`. The client
//! repeats the call with the metadata `x-pouw-response` and `x-pouw-result`. The example has a client
//! that does both. Other clients get no challenge.

mod answer;
mod body;
mod future;
mod head;
mod linger;
mod lingering;
#[cfg(feature = "axum")]
mod listener;
mod peer;

use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Extensions, Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use crate::gate::{Caller, Decision, Gate, Step};

#[cfg(doc)]
use super::PeerAddr;
use super::{AuthenticatedUser, ValidatedApiKey};

pub use super::own_body::SlowReader;
pub use body::{RequestBody, ResponseBody};
pub use future::ResponseFuture;
pub use linger::Linger;
#[cfg(feature = "axum")]
pub use listener::LingerListener;
pub use peer::PeerSource;

use future::{Asked, Check, Rest};
use head::RequestHead;
use peer::PeerReader;

/// A [`Layer`] that puts a [`Gate`] in front of a service.
///
/// # Examples
///
/// ```
/// # fn layer(gate: pouw::Gate) {
/// use std::net::SocketAddr;
///
/// use pouw::tower::PouwLayer;
///
/// // Your accept loop puts the peer's address into each request.
/// let layer = PouwLayer::new(gate).peer_from::<SocketAddr>();
/// # let _ = layer;
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct PouwLayer {
    gate: Gate,
    peer: Arc<PeerReader>,
}

/// A service behind a [`Gate`].
#[derive(Clone)]
pub struct PouwService<S> {
    inner: S,
    layer: PouwLayer,
}

impl PouwLayer {
    /// Returns a layer for `gate`. It reads the peer's address from the request extension
    /// [`PeerAddr`], else from axum's `ConnectInfo` of a `SocketAddr` or a [`PeerAddr`] (feature
    /// `axum`).
    pub fn new(gate: Gate) -> Self {
        Self { gate, peer: Arc::new(peer::known_peer) }
    }

    /// Reads the peer's address only from the request extension `T`.
    ///
    /// ```
    /// # fn layer(gate: pouw::Gate) -> pouw::tower::PouwLayer {
    /// use pouw::tower::PouwLayer;
    ///
    /// PouwLayer::new(gate).peer_from::<std::net::SocketAddr>()
    /// # }
    /// ```
    pub fn peer_from<T: PeerSource>(self) -> Self {
        self.with_peer(peer::peer_in::<T>)
    }

    /// Reads the peer's address only with this function, from the request's extensions.
    pub fn with_peer(mut self, read: impl Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.peer = Arc::new(read);
        self
    }
}

impl<S> Layer<S> for PouwLayer {
    type Service = PouwService<S>;

    fn layer(&self, inner: S) -> PouwService<S> {
        PouwService { inner, layer: self.clone() }
    }
}

impl<S, B, R> Service<Request<B>> for PouwService<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone,
    B: Body + Send + 'static,
    B::Data: Into<Bytes>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let extensions = request.extensions();
        let caller = Caller {
            peer: (self.layer.peer)(extensions),
            user: extensions.get::<AuthenticatedUser>().map(|user| user.0.as_str()),
            api_key: extensions.get::<ValidatedApiKey>().map(|key| key.0.as_str()),
        };
        let step = self.layer.gate.on_request(&RequestHead::of(&request), &caller);
        match step {
            Step::Exempt => ResponseFuture::inner(self.inner.call(request.map(RequestBody::untouched)), None, None),
            Step::Decided(Decision::Pass(pass)) => {
                let headers = Some(pass.headers(&self.layer.gate));
                let check = Check::of(self.layer.gate.response_check(false), request.headers());
                ResponseFuture::inner(self.inner.call(request.map(RequestBody::untouched)), headers, check)
            }
            Step::Decided(Decision::Refuse(refusal)) => ResponseFuture::refused(refusal, request, &self.layer.gate),
            Step::Judge(pending) => {
                let (gate, request) = (self.layer.gate.clone(), request.map(RequestBody::untouched));
                let rest = Rest::InRequest;
                let asked = Asked { request, service: self.take_ready(), gate, rest, body_read: false };
                ResponseFuture::pending(pending, asked)
            }
            Step::Body(needs) => {
                let gate = self.layer.gate.clone();
                ResponseFuture::body(needs, request, self.take_ready(), gate)
            }
        }
    }
}

impl<S: Clone> PouwService<S> {
    /// Takes the service that `poll_ready` made ready, and puts a new one in its place.
    fn take_ready(&mut self) -> S {
        let fresh = self.inner.clone();
        std::mem::replace(&mut self.inner, fresh)
    }
}

impl std::fmt::Debug for PouwLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PouwLayer").field("gate", &self.gate).finish_non_exhaustive()
    }
}

impl<S: std::fmt::Debug> std::fmt::Debug for PouwService<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PouwService").field("inner", &self.inner).field("layer", &self.layer).finish()
    }
}
