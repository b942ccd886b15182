//! Refusals over HTTP/2 of requests whose body still comes.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use crate::support::house::{clock, config, on_disk};
use futures_util::stream::{Stream, poll_fn};
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Body, Bytes, Frame};
use hyper::service::service_fn as hyper_service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pouw::internal::store::sim::SimDisk;
use pouw::tower::PouwLayer;
use pouw::{Gate, GateConfig, PeerAddr};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};

const PIECE: usize = 16 << 10;
const BYTES_MAX: usize = 64 << 20;

type Pieces = Result<Frame<Bytes>, Infallible>;

/// A limiter whose limit is used up.
async fn limited() -> PouwLayer {
    let engine = on_disk(&SimDisk::new(), &clock(), config());
    let gate = Gate::new(engine, GateConfig::builder().rate_limit(1).build().unwrap()).unwrap();
    let layer = PouwLayer::new(gate);
    assert_eq!(send(&layer, Empty::<Bytes>::new()).await.status(), StatusCode::OK);
    layer
}

/// The response to a request over HTTP/2, whose service reads no body.
async fn send<B>(layer: &PouwLayer, body: B) -> Response<impl Body<Data = Bytes, Error: std::fmt::Debug> + use<B>>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    let service = service_fn(async |_: Request<_>| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())));
    let mut request = Request::new(body);
    *request.version_mut() = Version::HTTP_2;
    *request.method_mut() = http::Method::POST;
    request.extensions_mut().insert(PeerAddr("192.0.2.7:7".parse().unwrap()));
    layer.layer(service).oneshot(request).await.unwrap()
}

/// `count` pieces that have all arrived, and then, if it does not end, silence.
fn pieces(count: usize, ends: bool) -> (impl Stream<Item = Pieces> + Send + 'static, Arc<AtomicUsize>) {
    let made = Arc::new(AtomicUsize::new(0));
    let seen = made.clone();
    let stream = poll_fn(move |_| {
        if made.load(Ordering::Relaxed) < count {
            made.fetch_add(1, Ordering::Relaxed);
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; PIECE])))));
        }
        if ends { Poll::Ready(None) } else { Poll::Pending }
    });
    (stream, seen)
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_there_at_once_and_ends_with_the_body_or_after_a_second_or_64_mib() {
    let layer = limited().await;
    for (count, ends, taken, seconds) in [
        (0, true, 0, 0),
        (300, true, 300, 0),
        (300, false, 300, 1),
        (BYTES_MAX / PIECE, true, BYTES_MAX / PIECE, 0),
        (BYTES_MAX / PIECE + 100, true, BYTES_MAX / PIECE + 1, 0),
    ] {
        let (stream, made) = pieces(count, ends);
        let began = Instant::now();
        let response = send(&layer, StreamBody::new(stream)).await;
        assert_eq!((response.status(), began.elapsed()), (StatusCode::TOO_MANY_REQUESTS, Duration::ZERO));
        let mut body = response.into_body();
        let document = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(document.starts_with(b"{"));
        assert_eq!((made.load(Ordering::Relaxed), began.elapsed()), (0, Duration::ZERO), "first the whole document");
        assert!(body.frame().await.is_none());
        let found = (made.load(Ordering::Relaxed), began.elapsed().as_secs());
        assert_eq!(found, (taken, seconds), "{count} pieces, {ends}");
    }
}

/// Serves the limiter on a connection of HTTP/2; returns a client's end of it.
async fn connection<B>() -> hyper::client::conn::http2::SendRequest<B>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let layer = limited().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service =
            layer.layer(service_fn(async |_: Request<_>| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))));
        let service = hyper_service_fn(move |mut request: Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(PeerAddr("192.0.2.7:7".parse().unwrap()));
            service.clone().oneshot(request)
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        server.serve_connection(TokioIo::new(stream), service).await.unwrap();
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn a_client_that_sends_its_whole_body_may_do_so_and_reads_the_refusal() {
    let mut client = connection().await;
    for count in [1, 7, 100] {
        let (stream, _) = pieces(count, true);
        let (whole, sent) = oneshot::channel();
        let mut whole = Some(whole);
        let mut stream = Box::pin(stream);
        let body = poll_fn(move |context| {
            let next = stream.as_mut().poll_next(context);
            if matches!(next, Poll::Ready(None)) {
                whole.take().map(|whole| whole.send(()));
            }
            next
        });
        client.ready().await.unwrap();
        let request = Request::post("http://x/").body(StreamBody::new(body)).unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        sent.await.expect("the stream goes on until its body has ended");
        let text = response.into_body().collect().await.unwrap().to_bytes();
        assert!(text.starts_with(b"{") && text.ends_with(b"}"));
    }
}
