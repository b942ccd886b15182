//! A response body of which a part was read, and which tells it again.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

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
        Read { frames: VecDeque<Frame<Bytes>>, rest: Pin<Box<R>> },
    }
}

/// Reads `body` to its end, or to the first frame beyond `limit_bytes`. The text has at most one byte over the limit,
/// which tells that there is more; the body is whole again.
///
/// # Errors
/// The error of the body.
pub(super) async fn read<R>(body: ResponseBody<R>, limit_bytes: usize) -> Result<(Vec<u8>, ResponseBody<R>), R::Error>
where
    R: Body<Data = Bytes>,
{
    let (mut frames, mut rest) = match body.kind {
        Kind::Untouched { body } => (VecDeque::new(), Box::pin(body)),
        Kind::Read { frames, rest } => (frames, rest),
    };
    let wanted = limit_bytes.saturating_add(1);
    let mut text = Vec::new();
    let take = |frame: &Frame<Bytes>, text: &mut Vec<u8>| {
        let data = frame.data_ref().map_or(&[][..], |data| data);
        text.extend_from_slice(&data[..data.len().min(wanted - text.len())]);
    };
    frames.iter().for_each(|frame| take(frame, &mut text));
    // Nothing is read of what says that it is too long.
    if usize::try_from(rest.size_hint().lower()).map_or(true, |bytes| bytes > limit_bytes - text.len().min(limit_bytes))
    {
        text.resize(wanted, b' ');
    }
    while text.len() < wanted {
        let Some(frame) = poll_fn(|context| rest.as_mut().poll_frame(context)).await.transpose()? else {
            break;
        };
        take(&frame, &mut text);
        // Empty ones say nothing, and could be many.
        if frame.data_ref().is_none_or(|data| !data.is_empty()) {
            frames.push_back(frame);
        }
    }
    Ok((text, ResponseBody { kind: Kind::Read { frames, rest } }))
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
            KindParts::Read { frames, rest } => match frames.pop_front() {
                Some(frame) => Poll::Ready(Some(Ok(frame))),
                // A body that came to its end may not be asked again.
                None if rest.is_end_stream() => Poll::Ready(None),
                None => Poll::Ready(ready!(rest.as_mut().poll_frame(context))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Untouched { body } => body.is_end_stream(),
            Kind::Read { frames, rest } => frames.is_empty() && rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let Kind::Read { frames, rest } = &self.kind else {
            return match &self.kind {
                Kind::Untouched { body } => body.size_hint(),
                Kind::Read { rest, .. } => rest.size_hint(),
            };
        };
        let read: u64 = frames.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum();
        let (rest, mut hint) = (rest.size_hint(), SizeHint::new());
        hint.set_lower(rest.lower().saturating_add(read));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(read)) {
            hint.set_upper(upper);
        }
        hint
    }
}
