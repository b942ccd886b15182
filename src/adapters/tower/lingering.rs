//! The unread body of a refused request over HTTP/2, kept until its client has read the refusal.
//!
//! A server ends a stream whose body is dropped with a reset, right after the response. The reset
//! is without error, and still some clients (curl 7.88, Node) lose the response that came before
//! it. So the response ends only when the client has ended its body or its stream, or a bound is
//! reached.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use bytes::Buf;
use http_body::Body;
use tokio::time::{Sleep, sleep};

use super::linger::{LINGER_BYTES, LINGER_TIME};

/// Returns the bytes of the next frame of data; none at the end.
type NextBytes = dyn FnMut(&mut Context<'_>) -> Poll<Option<usize>> + Send;

/// A body that is read and dropped.
pub(super) struct Lingering {
    // Never locked: it makes this `Sync`, which bodies of requests are not.
    next: Mutex<Box<NextBytes>>,
    until: Option<Pin<Box<Sleep>>>,
    left_bytes: usize,
}

impl Lingering {
    pub(super) fn new<B: Body + Send + 'static>(mut body: Pin<Box<B>>) -> Self {
        let next = move |context: &mut Context<'_>| {
            body.as_mut().poll_frame(context).map(|frame| frame?.ok()?.data_ref().map(Buf::remaining))
        };
        Self { next: Mutex::new(Box::new(next)), until: None, left_bytes: LINGER_BYTES }
    }

    /// Reads and drops what has arrived. Ready at the end of the body, or at a bound. The time
    /// begins with the first call.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let until = self.until.get_or_insert_with(|| Box::pin(sleep(LINGER_TIME)));
        if until.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let Ok(next) = self.next.get_mut() else {
            return Poll::Ready(());
        };
        loop {
            match next(context) {
                Poll::Ready(Some(bytes)) if bytes <= self.left_bytes => self.left_bytes -= bytes,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl fmt::Debug for Lingering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lingering").field("left_bytes", &self.left_bytes).finish_non_exhaustive()
    }
}
