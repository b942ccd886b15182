//! The future of the layer: first the gate's decision, then the service, or what is left of the
//! body and then the refusal.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, EXPECT};
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::sync::oneshot;
use tokio::time::Sleep;
use tower_service::Service;

use crate::gate::{BodyRead, Decision, Drain, Gate, Headers, NeedsBody, Pending, Refusal, ResponseCheck, Verdict};

use super::super::{Formed, judged, unheard};
use super::answer::{Unread, refuse, write_headers};
use super::body::{RequestBody, ResponseBody};
use super::head::RequestHead;
use super::lingering::Lingering;

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
        Inner { #[pin] future: S::Future, headers: Option<Headers>, check: Option<Check> },
        Refused { refusal: Option<(Formed, Unread)> },
        Draining { draining: Option<Draining<B>>, #[pin] until: Sleep, refusal: Option<Formed> },
        Judging { #[pin] verdict: oneshot::Receiver<Decision>, asked: Option<Asked<S, B>> },
        Reading { reading: Option<Reading<B>>, #[pin] until: Sleep, service: Option<S> },
    }
}

/// A look at the service's response, which may be replaced by a refusal.
pub(super) struct Check {
    check: ResponseCheck,
    /// The content type of the request.
    content_type: Option<HeaderValue>,
}

impl Check {
    /// Returns a check of the response to a request with these headers, if there is one to make.
    pub(super) fn of(check: Option<ResponseCheck>, headers: &HeaderMap) -> Option<Self> {
        check.map(|check| Self { check, content_type: headers.get(CONTENT_TYPE).cloned() })
    }
}

/// A request on its way to the service, if the gate lets it through.
pub(super) struct Asked<S, B> {
    pub(super) request: Request<RequestBody<B>>,
    pub(super) service: S,
    pub(super) gate: Gate,
    pub(super) rest: Rest<B>,
    /// Whether the gate read the body.
    pub(super) body_read: bool,
}

/// Where the unread part of a request's body is.
pub(super) enum Rest<B> {
    /// In the request.
    InRequest,
    /// Here, since the body was too large to be buffered.
    Here(Pin<Box<B>>),
    /// It did not come in time, or not at all.
    Late,
}

/// A body being buffered.
struct Reading<B> {
    needs: NeedsBody,
    head: http::request::Parts,
    body: Pin<Box<B>>,
    bytes: BytesMut,
    gate: Gate,
}

/// The rest of a refused request's body, which is read and dropped.
struct Draining<B> {
    body: Pin<Box<B>>,
    drain: Drain,
}

impl<S, B, R> ResponseFuture<S, B>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    B: Body + Send + 'static,
    B::Data: Into<Bytes>,
{
    pub(super) fn inner(future: S::Future, headers: Option<Headers>, check: Option<Check>) -> Self {
        Self { state: State::Inner { future, headers, check }, timeout: Duration::ZERO }
    }

    pub(super) fn refused(refusal: Refusal, request: Request<B>, gate: &Gate) -> Self {
        let (head, body) = request.into_parts();
        Self { state: refused(refusal, &head, unread(body), gate), timeout: gate.write_timeout() }
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
    B: Body + Send + 'static,
    B::Data: Into<Bytes>,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                Stage::Inner { future, headers, check } => {
                    let mut response = ready!(future.poll(context))?;
                    if let Some(Check { check, content_type }) = check.take() {
                        let timeout = check.gate().write_timeout();
                        let allows_origin = response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN);
                        if let Some(refusal) = check.look(response.status().as_u16(), allows_origin) {
                            let content_type = content_type.as_ref().map(HeaderValue::as_bytes);
                            return Poll::Ready(Ok(refuse(
                                Formed::new(refusal, content_type),
                                timeout,
                                Unread::Nothing,
                            )));
                        }
                    }
                    if let Some(headers) = headers.take() {
                        write_headers(headers, response.headers_mut());
                    }
                    return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                }
                Stage::Refused { refusal } => match refusal.take() {
                    Some((refusal, unread)) => return Poll::Ready(Ok(refuse(refusal, *this.timeout, unread))),
                    // The future was polled after it was ready.
                    None => return Poll::Pending,
                },
                Stage::Draining { draining, until, refusal } => {
                    let late = until.poll(context).is_ready();
                    let ended = match draining.as_mut().map(|open| open.poll(context)) {
                        Some(Poll::Pending) if !late => return Poll::Pending,
                        Some(Poll::Pending) | None => false,
                        Some(Poll::Ready(ended)) => ended,
                    };
                    let unread = if ended { Unread::Nothing } else { Unread::Closes };
                    State::Refused { refusal: refusal.take().map(|refusal| (refusal, unread)) }
                }
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

impl<B: Body> Draining<B>
where
    B::Data: Into<Bytes>,
{
    /// Reads and drops what has arrived; returns whether the body ended.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        loop {
            match ready!(self.body.as_mut().poll_frame(context)) {
                None => return Poll::Ready(true),
                Some(Err(_)) => return Poll::Ready(false),
                Some(Ok(frame)) => match frame.data_ref().map(Buf::remaining) {
                    Some(bytes) if !self.drain.arrived(bytes) => return Poll::Ready(false),
                    Some(_) => {}
                    // Trailers are the end.
                    None => return Poll::Ready(true),
                },
            }
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
    B: Body + Send + 'static,
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
        let Self { needs, head, body, bytes, gate } = self;
        let (verdict, trailers, rest) = match read {
            Read::Whole(trailers) => (needs.complete(BodyRead::Whole(&bytes)), trailers, Rest::InRequest),
            Read::Cut(BodyRead::Incomplete) => (needs.complete(BodyRead::Incomplete), None, Rest::Late),
            Read::Cut(cut) => (needs.complete(cut), None, Rest::Here(body)),
        };
        let request = Request::from_parts(head, RequestBody::replayed(bytes.freeze(), trailers));
        let asked = Asked { request, service, gate, rest, body_read: true };
        match verdict {
            Verdict::Decided(decision) => proceed(decision, asked),
            Verdict::Judge(pending) => State::Judging { verdict: judged(pending), asked: Some(asked) },
        }
    }
}

fn proceed<S, B>(decision: Decision, asked: Asked<S, B>) -> State<S, B>
where
    S: Service<Request<RequestBody<B>>>,
    B: Body + Send + 'static,
{
    let Asked { request, mut service, gate, rest, body_read } = asked;
    match decision {
        Decision::Pass(pass) => {
            let check = Check::of(gate.response_check(body_read), request.headers());
            State::Inner { future: service.call(request), headers: Some(pass.headers(&gate)), check }
        }
        Decision::Refuse(refusal) => {
            let (mut head, body) = request.into_parts();
            if matches!(rest, Rest::Here(_)) {
                // Its client has been asked to go on already.
                head.headers.remove(EXPECT);
            }
            match rest {
                Rest::InRequest => refused(refusal, &head, body.into_rest().and_then(unread), &gate),
                Rest::Here(body) => refused(refusal, &head, Some(body), &gate),
                Rest::Late => {
                    let unread = if closable(&head) { Unread::Closes } else { Unread::Nothing };
                    State::Refused { refusal: Some((in_form(refusal, &head), unread)) }
                }
            }
        }
    }
}

/// Returns the body, unless it has ended.
fn unread<B: Body>(body: B) -> Option<Pin<Box<B>>> {
    (!body.is_end_stream()).then(|| Box::pin(body))
}

/// Returns whether the response can ask for the end of the connection. Newer versions end a single
/// stream, without an error of the connection.
fn closable(head: &http::request::Parts) -> bool {
    head.version < Version::HTTP_2
}

/// Returns the refusal in the form that the client of this request reads.
fn in_form(refusal: Refusal, head: &http::request::Parts) -> Formed {
    Formed::new(refusal, head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes))
}

fn refused<S, B>(refusal: Refusal, head: &http::request::Parts, unread: Option<Pin<Box<B>>>, gate: &Gate) -> State<S, B>
where
    S: Service<Request<RequestBody<B>>>,
    B: Body + Send + 'static,
{
    let refusal = in_form(refusal, head);
    let unread = match unread {
        None => Unread::Nothing,
        Some(body) if !closable(head) => Unread::Lingers(Lingering::new(body)),
        Some(body) => match gate.drain(&RequestHead::of_parts(head, true)) {
            Some(drain) => {
                let until = tokio::time::sleep(drain.timeout);
                return State::Draining { draining: Some(Draining { body, drain }), until, refusal: Some(refusal) };
            }
            None => Unread::Closes,
        },
    };
    State::Refused { refusal: Some((refusal, unread)) }
}
