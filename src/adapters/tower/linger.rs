//! A connection that is closed so that its client can read the last response.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Longest time that a client has to stop sending.
pub(super) const LINGER_TIME: Duration = Duration::from_secs(1);
/// Most bytes read in that time.
pub(super) const LINGER_BYTES: usize = 64 << 20;
/// Bytes read at once.
const READ_BYTES: usize = 8 << 10;
/// Most reads before other tasks have a turn.
const READS_MAX: usize = 64;

pin_project! {
    /// A connection that closes gently. A system resets a connection that is closed with unread
    /// bytes, and a client that is still sending a body may then lose the response. At its shutdown
    /// this one ends its own direction first; then it reads and drops what the client still sends,
    /// until the client closes, for at most one second and 64 MiB. It stores nothing.
    ///
    /// Put it around each accepted connection; with TLS, below it. It does nothing else.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn accept(listener: tokio::net::TcpListener) -> std::io::Result<()> {
    /// let (stream, peer) = listener.accept().await?;
    /// let stream = pouw::tower::Linger::new(stream);
    /// // Serve `stream` with hyper, as `TokioIo::new(stream)`.
    /// # let _ = (stream, peer);
    /// # Ok(())
    /// # }
    /// ```
    #[derive(Debug)]
    pub struct Linger<S> {
        #[pin]
        stream: S,
        state: Closing,
        client_ended: bool,
    }
}

#[derive(Debug)]
enum Closing {
    Open,
    Lingering { until: Pin<Box<Sleep>>, left_bytes: usize },
    Closed,
}

impl<S> Linger<S> {
    /// Wraps an accepted connection.
    pub fn new(stream: S) -> Self {
        Self { stream, state: Closing::Open, client_ended: false }
    }

    /// Returns the connection.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead> AsyncRead for Linger<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let before = into.remaining();
        let read = ready!(this.stream.poll_read(context, into));
        *this.client_ended |= read.is_err() || (before > 0 && into.remaining() == before);
        Poll::Ready(read)
    }
}

impl<S: AsyncRead + AsyncWrite> AsyncWrite for Linger<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut this = self.project();
        loop {
            match this.state {
                Closing::Open => {
                    ready!(this.stream.as_mut().poll_shutdown(context))?;
                    *this.state = match *this.client_ended {
                        true => Closing::Closed,
                        false => Closing::Lingering { until: Box::pin(sleep(LINGER_TIME)), left_bytes: LINGER_BYTES },
                    };
                }
                Closing::Lingering { until, left_bytes } => {
                    if until.as_mut().poll(context).is_pending() {
                        ready!(drop_unread(this.stream.as_mut(), context, left_bytes));
                    }
                    *this.state = Closing::Closed;
                }
                Closing::Closed => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// Reads and drops bytes until there are no more, or too many.
fn drop_unread<S: AsyncRead>(mut stream: Pin<&mut S>, context: &mut Context<'_>, left_bytes: &mut usize) -> Poll<()> {
    for _ in 0..READS_MAX {
        let mut piece = [MaybeUninit::uninit(); READ_BYTES];
        let mut piece = ReadBuf::uninit(&mut piece);
        let read = ready!(stream.as_mut().poll_read(context, &mut piece));
        let bytes = piece.filled().len();
        if read.is_err() || bytes == 0 || bytes > *left_bytes {
            return Poll::Ready(());
        }
        *left_bytes -= bytes;
    }
    context.waker().wake_by_ref();
    Poll::Pending
}
