//! The gate as actix-web middleware.
//!
//! The body of a refused request is read and dropped before the refusal, up to
//! [`drain_bytes`](crate::GateConfigBuilder::drain_bytes) and
//! [`drain_timeout`](crate::GateConfigBuilder::drain_timeout); a longer one is left unread and the
//! connection closes, after actix-web's `client_disconnect_timeout` if the client is still sending.
//!
//! Clients are identified by the peer address of the connection, unless the host sets the extension
//! [`PeerAddr`]. If an inner service returns an error instead of a response, the rendered error
//! gets the gate's headers.
//!
//! # Examples
//!
//! A complete server:
//!
//! ```no_run
//! use actix_web::{App, HttpServer, web};
//! use pouw::Gate;
//! use pouw::actix::PouwTransform;
//!
//! #[actix_web::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // A real service reads its secret from its environment or a file.
//!     let gate = Gate::open("pouw-data", "a secret of thirty-two bytes or more")?;
//!     let app = move || {
//!         let gate = PouwTransform::new(gate.clone());
//!         App::new().wrap(gate).route("/", web::get().to(|| async { "hello" }))
//!     };
//!     HttpServer::new(app).bind("127.0.0.1:3000")?.run().await?;
//!     Ok(())
//! }
//! ```

mod body;
mod head;

use std::fmt;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE,
};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::{Error, HttpMessage, HttpResponse, ResponseError};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use pin_project_lite::pin_project;

use crate::gate::{Caller, Decision, Gate, Headers, Refusal, ResponseCheck, Step, Verdict};

use super::own_body::OwnBody;
use super::{AuthenticatedUser, Formed, PeerAddr, ValidatedApiKey, judged, names_and_values, unheard};

use body::{Body, Unread, drain, drop_body, has_body, read_body};
use head::{RequestHead, known};

pub use super::own_body::SlowReader;

/// Middleware that puts a gate in front of an application, a scope or a resource.
///
/// # Examples
///
/// ```
/// # fn limited(gate: pouw::Gate) {
/// use actix_web::{App, web};
/// use pouw::actix::PouwTransform;
///
/// // Only the scope `/api` is limited.
/// let app = App::new().service(web::scope("/api").wrap(PouwTransform::new(gate)));
/// # let _ = app;
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct PouwTransform {
    gate: Gate,
}

/// A service with a gate in front of it.
#[derive(Debug)]
pub struct PouwMiddleware<S> {
    inner: Rc<S>,
    gate: Gate,
}

/// The result of a gated service.
type Answered<B> = Result<ServiceResponse<EitherBody<B>>, Error>;

impl PouwTransform {
    /// Returns middleware for `gate`. All workers share one gate: make it outside the application's
    /// factory.
    pub fn new(gate: Gate) -> Self {
        Self { gate }
    }
}

impl<S, B> Transform<S, ServiceRequest> for PouwTransform
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = PouwMiddleware<S>;
    type InitError = ();
    type Future = Ready<Result<PouwMiddleware<S>, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(PouwMiddleware { inner: Rc::new(inner), gate: self.gate.clone() }))
    }
}

impl<S, B> Service<ServiceRequest> for PouwMiddleware<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = GateFuture<S::Future, B>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let step = look(&self.gate, &mut request);
        let stage = match step {
            Step::Exempt => Stage::Serving { future: self.inner.call(request), headers: None, check: None },
            Step::Decided(Decision::Pass(pass)) => {
                let (headers, check) = (Some(pass.headers(&self.gate)), self.gate.response_check(false));
                Stage::Serving { future: self.inner.call(request), headers, check }
            }
            Step::Decided(Decision::Refuse(refusal)) => match drain(&self.gate, &mut request, Body::Unread) {
                Unread::No => Stage::Refused { response: Some(refused(&self.gate, request, refusal, false)) },
                Unread::Left => Stage::Refused { response: Some(refused(&self.gate, request, refusal, true)) },
                Unread::Drain(drain) => {
                    let gate = self.gate.clone();
                    let answering = async move {
                        let closes = !drop_body(&mut request, drain).await;
                        Ok(refused(&gate, request, refusal, closes))
                    };
                    Stage::Answering { answering: Box::pin(answering) }
                }
            },
            Step::Judge(pending) => {
                // Judging begins now, whether or not the future is ever polled.
                let verdict = judged(pending);
                let (gate, inner) = (self.gate.clone(), self.inner.clone());
                let answering = async move {
                    let decision = verdict.await.unwrap_or_else(|_| unheard());
                    conclude(&gate, &*inner, request, decision, Body::Unread, false).await
                };
                Stage::Answering { answering: Box::pin(answering) }
            }
            Step::Body(needs) => {
                let (gate, inner) = (self.gate.clone(), self.inner.clone());
                let answering = async move {
                    let (verdict, body) = read_body(&mut request, needs).await;
                    let decision = match verdict {
                        Verdict::Decided(decision) => decision,
                        Verdict::Judge(pending) => judged(pending).await.unwrap_or_else(|_| unheard()),
                    };
                    conclude(&gate, &*inner, request, decision, body, true).await
                };
                Stage::Answering { answering: Box::pin(answering) }
            }
        };
        GateFuture { stage }
    }
}

pin_project! {
    /// The future of the response.
    pub struct GateFuture<F, B> {
        #[pin]
        stage: Stage<F, B>,
    }
}

pin_project! {
    // Most requests need no allocation. Only an answer, which costs a commit anyway, is boxed.
    #[project = StageView]
    enum Stage<F, B> {
        Serving { #[pin] future: F, headers: Option<Headers>, check: Option<ResponseCheck> },
        Refused { response: Option<ServiceResponse<EitherBody<B>>> },
        Answering { answering: LocalBoxFuture<'static, Answered<B>> },
    }
}

impl<F, B> Future for GateFuture<F, B>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
{
    type Output = Answered<B>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().stage.project() {
            StageView::Serving { future, headers, check } => {
                let served = ready!(future.poll(context));
                Poll::Ready(with_headers(checked(served, check.take()), headers.take()))
            }
            StageView::Refused { response } => {
                Poll::Ready(Ok(response.take().expect("a future is not polled after it is done")))
            }
            StageView::Answering { answering } => answering.as_mut().poll(context),
        }
    }
}

fn look(gate: &Gate, request: &mut ServiceRequest) -> Step {
    let has_body = has_body(request);
    let extensions = request.extensions();
    let own = extensions.get::<PeerAddr>().map(|peer| peer.0);
    let caller = Caller {
        peer: own.or_else(|| request.peer_addr()).map(|peer| peer.ip()),
        user: extensions.get::<AuthenticatedUser>().map(|user| user.0.as_str()),
        api_key: extensions.get::<ValidatedApiKey>().map(|key| key.0.as_str()),
    };
    gate.on_request(&RequestHead { request, has_body }, &caller)
}

async fn conclude<S, B>(
    gate: &Gate,
    inner: &S,
    mut request: ServiceRequest,
    decision: Decision,
    body: Body,
    body_read: bool,
) -> Answered<B>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    match decision {
        Decision::Pass(pass) => {
            let (headers, check) = (Some(pass.headers(gate)), gate.response_check(body_read));
            with_headers(checked(inner.call(request).await, check), headers)
        }
        Decision::Refuse(refusal) => {
            let closes = match drain(gate, &mut request, body) {
                Unread::No => false,
                Unread::Left => true,
                Unread::Drain(drain) => !drop_body(&mut request, drain).await,
            };
            Ok(refused(gate, request, refusal, closes))
        }
    }
}

/// Returns the gate's own response. It `closes` the connection if the request's body was not read
/// to its end.
fn refused<B>(
    gate: &Gate,
    mut request: ServiceRequest,
    refusal: Refusal,
    closes: bool,
) -> ServiceResponse<EitherBody<B>> {
    let unread = closes.then(|| request.take_payload());
    let mut response = own(in_form(refusal, request.headers()), gate.write_timeout(), unread);
    if closes {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    request.into_response(response).map_into_right_body()
}

/// Returns the refusal in the form that the client of a request with these headers reads.
fn in_form(refusal: Refusal, headers: &HeaderMap) -> Formed {
    Formed::new(refusal, headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes))
}

/// The gate's own response.
fn own(Formed(refusal): Formed, timeout: Duration, unread: Option<Payload>) -> HttpResponse<BoxBody> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let own = OwnBody::new(refusal.body, refusal.flight, timeout);
    let body = BoxBody::new(RefusalBody { own, _unread: unread });
    let mut response = HttpResponse::with_body(status, body);
    add(response.headers_mut(), refusal.headers);
    response
}

/// Looks at the service's response for mistakes in the setup. In strict mode, a response that shows
/// one is replaced.
fn checked<B>(served: Result<ServiceResponse<B>, Error>, check: Option<ResponseCheck>) -> Answered<B> {
    let (response, check) = match (served, check) {
        (Ok(response), Some(check)) => (response, check),
        (served, _) => return served.map(ServiceResponse::map_into_left_body),
    };
    let timeout = check.gate().write_timeout();
    let allows_origin = response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN);
    Ok(match check.look(response.status().as_u16(), allows_origin) {
        Some(refusal) => {
            let refusal = in_form(refusal, response.request().headers());
            response.into_response(own(refusal, timeout, None)).map_into_right_body()
        }
        None => response.map_into_left_body(),
    })
}

fn with_headers<B>(answered: Answered<B>, headers: Option<Headers>) -> Answered<B> {
    match (answered, headers) {
        (Ok(mut response), Some(headers)) => {
            add(response.headers_mut(), headers);
            Ok(response)
        }
        (Err(error), Some(headers)) => Err(Gated { error, headers }.into()),
        (answered, None) => answered,
    }
}

fn add(map: &mut HeaderMap, headers: Headers) {
    for (name, value) in names_and_values(headers) {
        // The gate's values are visible ASCII, so this never fails.
        if let Ok(value) = HeaderValue::from_maybe_shared(value) {
            let name = known(name).cloned().unwrap_or_else(|| HeaderName::from_static(name));
            // The service's own cookies are kept.
            match name == SET_COOKIE {
                true => map.append(name, value),
                false => drop(map.insert(name, value)),
            }
        }
    }
}

/// An inner service's error, with the headers for the response it becomes.
#[derive(Debug)]
struct Gated {
    error: Error,
    headers: Headers,
}

impl fmt::Display for Gated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl ResponseError for Gated {
    fn status_code(&self) -> StatusCode {
        self.error.as_response_error().status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = self.error.error_response();
        add(response.headers_mut(), self.headers.clone());
        response
    }
}

/// The body of a refusal. It holds the payload of a request that was not read to its end: actix-web
/// would wait without a limit for the end of one in chunks that was dropped.
struct RefusalBody {
    own: OwnBody,
    _unread: Option<Payload>,
}

impl MessageBody for RefusalBody {
    type Error = SlowReader;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.own.len())
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, SlowReader>>> {
        Poll::Ready(self.own.next())
    }
}
