//! Bodies of requests (unchanged, or replayed after buffering) and of responses (the service's, or
//! the gate's).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::adapters::own_body::OwnBody;

use super::lingering::Lingering;

/// Any error of the service's body, or [`SlowReader`](super::SlowReader).
type BoxError = Box<dyn std::error::Error + Send + Sync>;

pin_project! {
    /// A request body: unchanged, or the bytes that were buffered for the gate, with its trailers.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        read: Option<Bytes>,
        trailers: Option<HeaderMap>,
        #[pin]
        rest: Option<B>,
    }
}

impl<B> RequestBody<B> {
    pub(super) fn untouched(body: B) -> Self {
        Self { read: None, trailers: None, rest: Some(body) }
    }

    /// Returns a body that was read to its end.
    pub(super) fn replayed(read: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self { read: (!read.is_empty()).then_some(read), trailers, rest: None }
    }

    /// Returns the part that was not read.
    pub(super) fn into_rest(self) -> Option<B> {
        self.rest
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body,
    B::Data: Into<Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        if let Some(read) = this.read.take() {
            return Poll::Ready(Some(Ok(Frame::data(read))));
        }
        match this.rest.as_pin_mut() {
            Some(rest) => rest.poll_frame(context).map_ok(|frame| frame.map_data(Into::into)),
            None => Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_none() && self.trailers.is_none() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.read.as_ref().map_or(0, |read| read.len() as u64);
        match &self.rest {
            None => SizeHint::with_exact(read),
            Some(rest) => {
                let rest = rest.size_hint();
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower().saturating_add(read));
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper.saturating_add(read));
                }
                hint
            }
        }
    }
}

pin_project! {
    /// A response body: the service's, or the gate's own in frames of bounded size.
    #[derive(Debug)]
    pub struct ResponseBody<R> {
        #[pin]
        kind: Kind<R>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = KindParts]
    enum Kind<R> {
        Inner { #[pin] body: R },
        Own { body: OwnBody, unread: Option<Lingering> },
    }
}

impl<R> ResponseBody<R> {
    pub(super) fn inner(body: R) -> Self {
        Self { kind: Kind::Inner { body } }
    }

    /// Returns the gate's own body. It ends when `unread` is read, which its client still sends.
    pub(super) fn own(body: OwnBody, unread: Option<Lingering>) -> Self {
        Self { kind: Kind::Own { body, unread } }
    }
}

impl<R> Body for ResponseBody<R>
where
    R: Body,
    R::Data: Into<Bytes>,
    R::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.project().kind.project() {
            KindParts::Inner { body } => {
                body.poll_frame(context).map_ok(|frame| frame.map_data(Into::into)).map_err(Into::into)
            }
            KindParts::Own { body, unread } => {
                let next = body.next().map(|frame| frame.map(Frame::data).map_err(Into::into));
                if next.is_none()
                    && let Some(lingering) = unread
                {
                    ready!(lingering.poll(context));
                    *unread = None;
                }
                Poll::Ready(next)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Own { body, unread } => body.len() == 0 && unread.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Own { body, .. } => SizeHint::with_exact(body.len()),
        }
    }
}
