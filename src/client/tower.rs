//! A tower [`Layer`] that solves challenges, around any service that sends [`http`] requests.
//!
//! ```
//! # fn wrap<S>(service: S) -> pouw::client::tower::Solve<S> {
//! use pouw::client::{Report, Terms};
//! use pouw::client::tower::SolveLayer;
//! use tower_layer::Layer;
//!
//! let layer = SolveLayer::new(Terms::default()).on_report(|report| {
//!     if let Report::Accepted(accepted) = report {
//!         println!("paid: {}", accepted.receipt);
//!     }
//! });
//! layer.layer(service)
//! # }
//! ```

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use crate::protocol::grpc::is_grpc;
use crate::protocol::header;

use super::passes::Passes;
use super::pay::{Attempt, Carried, Payer, Reply, Unanswered};
use super::place::Place;
use super::replay::read;
use super::{BoxError, ClientError, Offer, Report, Terms};

pub use super::replay::ResponseBody;

/// Wraps a service in [`Solve`]. All services of one layer, and their clones, solve one challenge
/// at a time.
///
/// # Examples
///
/// Work on made-up data is declined:
///
/// ```
/// # fn wrap<S>(service: S) -> pouw::client::tower::Solve<S> {
/// use pouw::client::{Terms, tower::SolveLayer};
/// use tower_layer::Layer;
///
/// SolveLayer::new(Terms::default()).confirm(|offer| !offer.synthetic).layer(service)
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct SolveLayer {
    payer: Payer,
}

impl SolveLayer {
    /// A layer that solves challenges within `terms`.
    pub fn new(terms: Terms) -> Self {
        Self { payer: Payer::new(terms) }
    }

    /// Calls `report` with each [`Report`]. [`Report::Hashed`] is called on the hashing thread,
    /// which waits for the call to return.
    pub fn on_report(mut self, report: impl Fn(Report<'_>) + Send + Sync + 'static) -> Self {
        self.payer.hooks.on_report = Some(std::sync::Arc::new(report));
        self
    }

    /// Calls `confirm` before a challenge within the terms is solved; if it returns `false`, the
    /// request ends with [`ClientError::Declined`].
    pub fn confirm(mut self, confirm: impl Fn(&Offer) -> bool + Send + Sync + 'static) -> Self {
        self.payer.hooks.confirm = Some(std::sync::Arc::new(confirm));
        self
    }

    /// Sets whether to use what an answer buys beside its own request; default true. See
    /// [passes](super#passes).
    pub fn passes(mut self, keeps: bool) -> Self {
        self.payer.passes = std::sync::Arc::new(Passes::new(keeps));
        self
    }
}

impl<S> Layer<S> for SolveLayer {
    type Service = Solve<S>;

    fn layer(&self, inner: S) -> Solve<S> {
        Solve { inner, payer: self.payer.clone() }
    }
}

/// A service that solves the challenge of a 429 and retries. Made by [`SolveLayer`].
///
/// Requests are cloned for each sending, so their bodies must be `Clone`: `Full<Bytes>` or `Empty`,
/// not a stream.
///
/// Put a layer that follows redirects outside this one. Inside, it would copy the headers of the
/// answer, which counts once only, to the next address, and the gate there would refuse it; and the
/// name of a pass, which is for its own origin only.
#[derive(Debug, Clone)]
pub struct Solve<S> {
    inner: S,
    payer: Payer,
}

impl<S, B, R> Service<Request<B>> for Solve<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Clone + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = ClientError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ClientError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        self.inner.poll_ready(context).map_err(|error| ClientError::Transport(error.into()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let fresh = self.inner.clone();
        let service = std::mem::replace(&mut self.inner, fresh);
        let payer = self.payer.clone();
        Box::pin(async move { payer.pay(Call { service, ready: true, request }, Instant::now()).await })
    }
}

/// A request and the service that sends it.
struct Call<S, B> {
    service: S,
    /// Whether `poll_ready` was asked for the next sending.
    ready: bool,
    request: Request<B>,
}

impl<S, B, R> Attempt for Call<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Send,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Clone + Send,
    R: Body<Data = Bytes> + Send,
    R::Error: Into<BoxError>,
{
    type Reply = Response<ResponseBody<R>>;

    fn place(&self) -> Option<Place> {
        Place::of(&self.request)
    }

    async fn send(&mut self, carried: Carried<'_>) -> Result<Self::Reply, Unanswered> {
        if !std::mem::take(&mut self.ready) {
            let ready = poll_fn(|context| self.service.poll_ready(context)).await;
            ready.map_err(|error| Unanswered::NotSent(error.into()))?;
        }
        let mut request = self.request.clone();
        write_carried(carried, request.headers_mut()).map_err(Unanswered::NotSent)?;
        let response = self.service.call(request).await.map_err(|error| Unanswered::Lost(error.into()))?;
        Ok(response.map(ResponseBody::untouched))
    }
}

impl<R> Reply for Response<ResponseBody<R>>
where
    R: Body<Data = Bytes> + Send,
    R::Error: Into<BoxError>,
{
    fn status(&self) -> u16 {
        Response::status(self).as_u16()
    }

    fn headers(&self) -> &HeaderMap {
        Response::headers(self)
    }

    async fn read(self, limit_bytes: usize) -> Result<(Bytes, Self), BoxError> {
        let (head, body) = self.into_parts();
        let (text, body) = read(body, limit_bytes).await.map_err(Into::into)?;
        Ok((text, Self::from_parts(head, body)))
    }
}

/// Puts what a request carries among its headers, and what this client can compute. Refusals of
/// gRPC are not solved, so the header would ask for units in vain.
pub(super) fn write_carried(carried: Carried<'_>, into: &mut HeaderMap) -> Result<(), BoxError> {
    let is_grpc = into.get(CONTENT_TYPE).is_some_and(|content_type| is_grpc(content_type.as_bytes()));
    let mut write = |(name, value)| -> Result<(), BoxError> {
        into.insert(HeaderName::from_static(name), HeaderValue::from_str(value)?);
        Ok(())
    };
    if !is_grpc {
        write(super::Exchange::ABILITIES)?;
    }
    match carried {
        Carried::Nothing => Ok(()),
        Carried::Answer(answer) => answer.into_iter().try_for_each(write),
        Carried::Pass(name) => write((header::PASS, name)),
    }
}
