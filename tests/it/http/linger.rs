//! How long a closing connection reads what its client still sends, and how much of it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use pouw::tower::Linger;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Interval, interval_at};

const SECOND: Duration = Duration::from_secs(1);
const BYTES_MAX: usize = 64 << 20;

/// A client that sends `piece` bytes every `pause`, `pieces` times, and then ends or says no more.
struct Sender {
    piece: usize,
    pieces: usize,
    ends: bool,
    /// None for a client that does not pause.
    next: Option<Interval>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    read: AtomicUsize,
    shut_down: AtomicBool,
}

impl Sender {
    fn new(piece: usize, pause: Duration, pieces: usize, ends: bool) -> (Self, Arc<Seen>) {
        let seen = Arc::<Seen>::default();
        let next = (!pause.is_zero()).then(|| interval_at(Instant::now() + pause, pause));
        (Self { piece, pieces, ends, next, seen: seen.clone() }, seen)
    }
}

impl AsyncRead for Sender {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.pieces == 0 {
            // The end is told once.
            return if std::mem::take(&mut self.ends) { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        if self.next.as_mut().is_some_and(|next| next.poll_tick(context).is_pending()) {
            return Poll::Pending;
        }
        self.pieces -= 1;
        let bytes = self.piece.min(into.remaining());
        into.initialize_unfilled_to(bytes);
        into.advance(bytes);
        self.seen.read.fetch_add(bytes, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Sender {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.seen.shut_down.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

/// Closes a connection to this client. Returns the time that took, and the bytes read.
async fn close(piece: usize, pause: Duration, pieces: usize, ends: bool) -> (Duration, usize) {
    let (sender, seen) = Sender::new(piece, pause, pieces, ends);
    let begun = Instant::now();
    Linger::new(sender).shutdown().await.unwrap();
    assert!(seen.shut_down.load(Ordering::Relaxed), "the server's direction was not ended");
    (begun.elapsed(), seen.read.load(Ordering::Relaxed))
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_or_a_little_for_ever_is_left_after_a_second() {
    assert_eq!(close(0, Duration::ZERO, 0, false).await, (SECOND, 0));
    let (time, bytes) = close(100, Duration::from_millis(30), usize::MAX, false).await;
    assert_eq!((time, bytes), (SECOND, 33 * 100));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_stops_sending_is_left_after_64_mib() {
    let piece = 8 << 10;
    let (time, bytes) = close(piece, Duration::ZERO, usize::MAX, false).await;
    // The piece that is over the bound was read before it was counted.
    assert_eq!((time, bytes), (Duration::ZERO, BYTES_MAX + piece));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_ends_it_at_once() {
    let pause = Duration::from_millis(300);
    assert_eq!(close(1_000, pause, 2, true).await, (2 * pause, 2_000));
    // One that closed before is not waited for.
    let (sender, _) = Sender::new(0, Duration::ZERO, 0, true);
    let mut linger = Linger::new(sender);
    assert_eq!(linger.read(&mut [0; 8]).await.unwrap(), 0);
    let begun = Instant::now();
    linger.shutdown().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
}
