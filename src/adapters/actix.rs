//! The gate as an actix-web [`Transform`].
//!
//! No thread of the runtime waits for a disk: answers are judged on the gate's own threads. A payload is buffered
//! only when the gate asks for it, and is put back byte for byte; every other one passes untouched. Headers of the
//! gate replace those of the same name in the service's response. The peer's address is the connection's; user
//! and API key are the extensions [`AuthenticatedUser`] and [`ValidatedApiKey`].

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, EitherBody, MessageBody};
use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web::{Bytes, BytesMut};
use actix_web::{Error, HttpMessage, HttpResponse};
use futures_util::StreamExt;
use tokio::sync::oneshot;

use crate::gate::{BodyRead, Caller, Decision, Flight, Gate, Head, Headers, NeedsBody, Refusal, Step};

use super::{AuthenticatedUser, ValidatedApiKey};

/// Bytes of a challenge handed to the connection at once.
const FRAME_BYTES: usize = 16 << 10;

/// Puts a [`Gate`] in front of an actix-web application: `App::new().wrap(Pouw::new(gate))`.
#[derive(Debug, Clone)]
pub struct Pouw {
    gate: Gate,
}

impl Pouw {
    /// A middleware that asks `gate`.
    pub fn new(gate: Gate) -> Self {
        Self { gate }
    }
}

/// A service behind a [`Gate`].
#[derive(Debug)]
pub struct PouwMiddleware<S> {
    gate: Gate,
    inner: Rc<S>,
}

type Respond<B> = Pin<Box<dyn Future<Output = Result<ServiceResponse<EitherBody<B, OwnBody>>, Error>>>>;

impl<S, B> Transform<S, ServiceRequest> for Pouw
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B, OwnBody>>;
    type Error = Error;
    type Transform = PouwMiddleware<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(PouwMiddleware { gate: self.gate.clone(), inner: Rc::new(inner) }))
    }
}

impl<S, B> Service<ServiceRequest> for PouwMiddleware<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B, OwnBody>>;
    type Error = Error;
    type Future = Respond<B>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Respond<B> {
        let step = {
            let extensions = request.extensions();
            let caller = Caller {
                peer: request.peer_addr().map(|peer| peer.ip()),
                user: extensions.get::<AuthenticatedUser>().map(|user| user.0.as_str()),
                api_key: extensions.get::<ValidatedApiKey>().map(|key| key.0.as_str()),
            };
            self.gate.on_request(&RequestHead(&request), &caller)
        };
        let (inner, timeout_ms) = (self.inner.clone(), self.gate.write_timeout_ms());
        Box::pin(async move {
            let (decision, request) = match step {
                Step::Exempt => return Ok(inner.call(request).await?.map_into_left_body()),
                Step::Decided(decision) => (decision, request),
                Step::Body(needs) => buffered(needs, request).await,
            };
            let decision = match decision {
                Decision::Pending(pending) => {
                    let (sender, verdict) = oneshot::channel();
                    pending.then(move |decision| {
                        // Whoever asked may have hung up; the answer is judged all the same.
                        let _ = sender.send(decision);
                    });
                    verdict.await.map_err(actix_web::error::ErrorServiceUnavailable)?
                }
                decided => decided,
            };
            match decision {
                Decision::Pass(pass) => {
                    let mut response = inner.call(request).await?;
                    write_headers(&pass.headers, response.headers_mut());
                    Ok(response.map_into_left_body())
                }
                Decision::Refuse(refusal) => Ok(refuse(request, refusal, timeout_ms)),
                Decision::Pending(_) => Err(actix_web::error::ErrorServiceUnavailable("no verdict")),
            }
        })
    }
}

/// Reads the payload as far as the gate wants it, and puts it back.
async fn buffered(needs: NeedsBody, mut request: ServiceRequest) -> (Decision, ServiceRequest) {
    let limit = needs.limit_bytes;
    let patience = Duration::from_millis(needs.timeout_ms);
    let mut payload = request.take_payload();
    let mut bytes = BytesMut::new();
    let read = tokio::time::timeout(patience, async {
        while let Some(chunk) = payload.next().await {
            let Ok(chunk) = chunk else {
                return BodyRead::Incomplete;
            };
            if bytes.len() + chunk.len() > limit {
                return BodyRead::TooLarge;
            }
            bytes.extend_from_slice(&chunk);
        }
        BodyRead::Whole(&[])
    });
    let outcome = read.await.unwrap_or(BodyRead::Incomplete);
    let bytes: Bytes = bytes.freeze();
    let decision = needs.complete(match outcome {
        BodyRead::Whole(_) => BodyRead::Whole(&bytes),
        other => other,
    });
    request.set_payload(Payload::from(bytes));
    (decision, request)
}

fn refuse<B>(request: ServiceRequest, refusal: Refusal, timeout_ms: u64) -> ServiceResponse<EitherBody<B, OwnBody>> {
    let Refusal { status, headers, body, flight, .. } = refusal;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
    let until = Instant::now() + Duration::from_millis(timeout_ms);
    let mut response = HttpResponse::with_body(status, OwnBody { rest: body.into(), flight, until });
    write_headers(&headers, response.headers_mut());
    request.into_response(response).map_into_right_body()
}

fn write_headers(headers: &Headers, into: &mut actix_web::http::header::HeaderMap) {
    for (name, value) in headers.iter() {
        if let Ok(value) = HeaderValue::from_str(value) {
            into.insert(HeaderName::from_static(name), value);
        }
    }
}

/// A request as the gate sees it.
struct RequestHead<'a>(&'a ServiceRequest);

impl Head for RequestHead<'_> {
    fn method(&self) -> &str {
        self.0.method().as_str()
    }

    fn path(&self) -> &str {
        self.0.path()
    }

    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        for value in self.0.headers().get_all(name) {
            each(value.as_bytes());
        }
    }

    fn has_body(&self) -> bool {
        let headers = self.0.headers();
        let empty = headers.get("content-length").is_some_and(|length| length.as_bytes() == b"0");
        !empty && (headers.contains_key("content-length") || headers.contains_key("transfer-encoding"))
    }
}

/// The body of a response of the gate's own, in frames of bounded size.
#[derive(Debug)]
pub struct OwnBody {
    rest: Bytes,
    flight: Option<Flight>,
    until: Instant,
}

/// The client took longer to read a challenge than it may.
#[derive(Debug, thiserror::Error)]
#[error("the client did not read its challenge in time")]
pub struct SlowReader;

impl MessageBody for OwnBody {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.rest.len() as u64)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            this.flight.take();
            return Poll::Ready(None);
        }
        if Instant::now() > this.until {
            this.rest.clear();
            this.flight.take();
            return Poll::Ready(Some(Err(SlowReader.into())));
        }
        let frame = this.rest.split_to(FRAME_BYTES.min(this.rest.len()));
        Poll::Ready(Some(Ok(frame)))
    }
}
