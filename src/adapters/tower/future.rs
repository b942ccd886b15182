//! The future of the layer: first the gate's decision, then the service.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::sync::oneshot;
use tokio::time::Sleep;
use tower_service::Service;

use crate::gate::{BodyRead, Decision, Gate, Headers, NeedsBody, Pending, Refusal, Verdict};

use super::super::{judged, unheard};
use super::answer::{refuse, write_headers};
use super::body::{RequestBody, ResponseBody};

pin_project! {
    /// The response, from the service or from the gate.
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<RequestBody<B>>>,
        B: Body,
    {
        #[pin]
        state: State<S, B>,
        timeout: Duration,
    }
}

pin_project! {
    #[project = Stage]
    enum State<S, B>
    where
        S: Service<Request<RequestBody<B>>>,
        B: Body,
    {
        Inner { #[pin] future: S::Future, headers: Option<Headers> },
        Refused { refusal: Option<Refusal> },
        Judging { #[pin] verdict: oneshot::Receiver<Decision>, asked: Option<Asked<S, B>> },
        Reading { reading: Option<Reading<B>>, #[pin] until: Sleep, service: Option<S> },
    }
}

/// A request on its way to the service, if the gate lets it through.
pub(super) struct Asked<S, B> {
    pub(super) request: Request<RequestBody<B>>,
    pub(super) service: S,
    pub(super) gate: Gate,
}

/// A body being buffered.
struct Reading<B> {
    needs: NeedsBody,
    head: http::request::Parts,
    body: Pin<Box<B>>,
    bytes: BytesMut,
    gate: Gate,
}

impl<S, B, R> ResponseFuture<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    B: Body,
    B::Data: Into<Bytes>,
{
    pub(super) fn inner(future: S::Future, headers: Option<Headers>) -> Self {
        Self { state: State::Inner { future, headers }, timeout: Duration::ZERO }
    }

    pub(super) fn refused(refusal: Refusal, timeout: Duration) -> Self {
        Self { state: State::Refused { refusal: Some(refusal) }, timeout }
    }

    pub(super) fn pending(pending: Pending, asked: Asked<S, B>) -> Self {
        let timeout = asked.gate.write_timeout();
        Self { state: State::Judging { verdict: judged(pending), asked: Some(asked) }, timeout }
    }

    pub(super) fn body(needs: NeedsBody, request: Request<B>, service: S, gate: Gate) -> Self {
        let timeout = gate.write_timeout();
        let until = tokio::time::sleep(needs.timeout);
        let (head, body) = request.into_parts();
        let reading = Some(Reading { needs, head, body: Box::pin(body), bytes: BytesMut::new(), gate });
        Self { state: State::Reading { reading, until, service: Some(service) }, timeout }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    B: Body,
    B::Data: Into<Bytes>,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                Stage::Inner { future, headers } => {
                    let mut response = ready!(future.poll(context))?;
                    if let Some(headers) = headers.take() {
                        write_headers(headers, response.headers_mut());
                    }
                    return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                }
                Stage::Refused { refusal } => match refusal.take() {
                    Some(refusal) => return Poll::Ready(Ok(refuse(refusal, *this.timeout))),
                    // The future was polled after it was ready.
                    None => return Poll::Pending,
                },
                Stage::Judging { verdict, asked } => {
                    let verdict = ready!(verdict.poll(context));
                    match asked.take() {
                        Some(asked) => proceed(verdict.unwrap_or_else(|_| unheard()), asked),
                        None => return Poll::Pending,
                    }
                }
                Stage::Reading { reading, until, service } => {
                    let late = until.poll(context).is_ready();
                    let Some(mut open) = reading.take() else {
                        return Poll::Pending;
                    };
                    match (open.poll(context), service.take()) {
                        (Poll::Ready(read), Some(service)) => open.judged(read, service),
                        (Poll::Pending, Some(service)) if late => open.judged(Read::Cut(BodyRead::Incomplete), service),
                        (_, waiting) => {
                            (*reading, *service) = (Some(open), waiting);
                            return Poll::Pending;
                        }
                    }
                }
            };
            this.state.set(next);
        }
    }
}

/// How the buffering of a body ended.
enum Read {
    Whole(Option<HeaderMap>),
    Cut(BodyRead<'static>),
}

impl<B> Reading<B>
where
    B: Body,
    B::Data: Into<Bytes>,
{
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Read> {
        loop {
            match ready!(self.body.as_mut().poll_frame(context)) {
                None => return Poll::Ready(Read::Whole(None)),
                Some(Err(_)) => return Poll::Ready(Read::Cut(BodyRead::Incomplete)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let data: Bytes = data.into();
                        if let Err(cut) = self.needs.arrived(self.bytes.len() + data.len()) {
                            return Poll::Ready(Read::Cut(cut));
                        }
                        self.bytes.extend_from_slice(&data);
                    }
                    Err(frame) => return Poll::Ready(Read::Whole(frame.into_trailers().ok())),
                },
            }
        }
    }

    fn judged<S>(self, read: Read, service: S) -> State<S, B>
    where
        S: Service<Request<RequestBody<B>>>,
    {
        let Self { needs, head, bytes, gate, .. } = self;
        let (verdict, trailers) = match read {
            Read::Whole(trailers) => (needs.complete(BodyRead::Whole(&bytes)), trailers),
            Read::Cut(cut) => (needs.complete(cut), None),
        };
        let request = Request::from_parts(head, RequestBody::replayed(bytes.freeze(), trailers));
        let asked = Asked { request, service, gate };
        match verdict {
            Verdict::Decided(decision) => proceed(decision, asked),
            Verdict::Judge(pending) => State::Judging { verdict: judged(pending), asked: Some(asked) },
        }
    }
}

fn proceed<S, B>(decision: Decision, asked: Asked<S, B>) -> State<S, B>
where
    S: Service<Request<RequestBody<B>>>,
    B: Body,
{
    match decision {
        Decision::Pass(pass) => {
            let Asked { request, mut service, gate } = asked;
            State::Inner { future: service.call(request), headers: Some(pass.headers(&gate)) }
        }
        Decision::Refuse(refusal) => State::Refused { refusal: Some(refusal) },
    }
}
