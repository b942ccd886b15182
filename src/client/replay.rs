//! A response body of which a part was read, and which tells it again.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// The body of a response: as it came, or with what was read of it put back in front.
    #[derive(Debug)]
    pub struct ResponseBody<R> {
        #[pin]
        kind: Kind<R>,
    }
}

pin_project! {
    #[project = KindParts]
    #[derive(Debug)]
    enum Kind<R> {
        Untouched { #[pin] body: R },
        Read { told: Told<R> },
    }
}

/// What was read, in one piece however many it came in, and what was not.
#[derive(Debug)]
struct Told<R> {
    text: Bytes,
    /// What the last frame had beyond the text: more data, or trailers.
    next: Option<Frame<Bytes>>,
    /// None once it came to its end: such a body may not be asked again.
    rest: Option<Pin<Box<R>>>,
}

/// Reads `body` to its end, or to one byte over `limit_bytes`, which tells that there is more; the body is whole again.
///
/// # Errors
/// The error of the body.
pub(super) async fn read<R>(body: ResponseBody<R>, limit_bytes: usize) -> Result<(Bytes, ResponseBody<R>), R::Error>
where
    R: Body<Data = Bytes>,
{
    let mut told = match body.kind {
        Kind::Untouched { body } => Told { text: Bytes::new(), next: None, rest: Some(Box::pin(body)) },
        Kind::Read { told } => told,
    };
    let wanted = limit_bytes.saturating_add(1);
    // Nothing is read of what says that it is too long.
    if usize::try_from(told.size_hint().lower()).map_or(true, |bytes| bytes > limit_bytes) {
        let text = if told.text.len() < wanted { vec![b' '; wanted].into() } else { told.text.slice(..wanted) };
        return Ok((text, ResponseBody { kind: Kind::Read { told } }));
    }
    let mut text = Vec::from(std::mem::take(&mut told.text));
    while text.len() < wanted {
        let Some(frame) = told.frame().await? else { break };
        match frame.into_data() {
            Ok(mut data) => {
                let more = data.split_off(data.len().min(wanted - text.len()));
                text.extend_from_slice(&data);
                told.next = Some(more).filter(|more| !more.is_empty()).map(Frame::data);
            }
            Err(trailers) => {
                told.next = Some(trailers);
                break;
            }
        }
    }
    told.text = text.into();
    Ok((told.text.clone(), ResponseBody { kind: Kind::Read { told } }))
}

impl<R: Body<Data = Bytes>> Told<R> {
    async fn frame(&mut self) -> Result<Option<Frame<Bytes>>, R::Error> {
        poll_fn(|context| self.poll_frame(context)).await.transpose()
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        if !self.text.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.text)))));
        }
        if let Some(frame) = self.next.take() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(None);
        };
        let polled = rest.as_mut().poll_frame(context);
        if matches!(polled, Poll::Ready(None)) {
            self.rest = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let ended = self.rest.as_ref().is_none_or(|rest| rest.is_end_stream());
        self.text.is_empty() && self.next.is_none() && ended
    }

    fn size_hint(&self) -> SizeHint {
        let next = self.next.as_ref().and_then(Frame::data_ref).map_or(0, Bytes::len);
        let read = self.text.len() as u64 + next as u64;
        let rest = self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), |rest| rest.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(read));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(read)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<R> ResponseBody<R> {
    pub(super) fn untouched(body: R) -> Self {
        Self { kind: Kind::Untouched { body } }
    }
}

impl<R: Body<Data = Bytes>> Body for ResponseBody<R> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        match self.project().kind.project() {
            KindParts::Untouched { body } => body.poll_frame(context),
            KindParts::Read { told } => told.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Untouched { body } => body.is_end_stream(),
            Kind::Read { told } => told.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Untouched { body } => body.size_hint(),
            Kind::Read { told } => told.size_hint(),
        }
    }
}
