//! A response body whose start was read and can be read again.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// The body of a response: as it came, or with the bytes already read put back in front.
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
        Read { kept: Kept<R> },
    }
}

/// The bytes already read, in one piece, and the rest of the body.
#[derive(Debug)]
struct Kept<R> {
    text: Bytes,
    /// The part of the last frame after the text: more data, or trailers.
    next: Option<Frame<Bytes>>,
    /// None once the body has ended: it must not be polled again.
    rest: Option<Pin<Box<R>>>,
}

/// Reads `body` to its end or to one byte over `limit_bytes`, which shows that there is more.
/// Returns the bytes and the complete body.
///
/// # Errors
/// The error of the body.
pub(super) async fn read<R>(body: ResponseBody<R>, limit_bytes: usize) -> Result<(Bytes, ResponseBody<R>), R::Error>
where
    R: Body<Data = Bytes>,
{
    let mut kept = match body.kind {
        Kind::Untouched { body } => Kept { text: Bytes::new(), next: None, rest: Some(Box::pin(body)) },
        Kind::Read { kept } => kept,
    };
    let wanted = limit_bytes.saturating_add(1);
    // A body that declares itself too long is not read.
    if usize::try_from(kept.size_hint().lower()).map_or(true, |bytes| bytes > limit_bytes) {
        let text = if kept.text.len() < wanted { vec![b' '; wanted].into() } else { kept.text.slice(..wanted) };
        return Ok((text, ResponseBody { kind: Kind::Read { kept } }));
    }
    let mut text = Vec::from(std::mem::take(&mut kept.text));
    while text.len() < wanted {
        let Some(frame) = kept.frame().await? else { break };
        match frame.into_data() {
            Ok(mut data) => {
                let more = data.split_off(data.len().min(wanted - text.len()));
                text.extend_from_slice(&data);
                kept.next = Some(more).filter(|more| !more.is_empty()).map(Frame::data);
            }
            Err(trailers) => {
                kept.next = Some(trailers);
                break;
            }
        }
    }
    kept.text = text.into();
    Ok((kept.text.clone(), ResponseBody { kind: Kind::Read { kept } }))
}

impl<R: Body<Data = Bytes>> Kept<R> {
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
            KindParts::Read { kept } => kept.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Untouched { body } => body.is_end_stream(),
            Kind::Read { kept } => kept.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Untouched { body } => body.size_hint(),
            Kind::Read { kept } => kept.size_hint(),
        }
    }
}
