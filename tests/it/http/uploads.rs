//! Refusals of requests with a body reach a client that sends all of the body before it reads.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::support::house::{clock, config, on_disk};
use crate::support::http::client::{Reply, connect, parse};
use crate::support::http::{Kind, Setup, Site, solved};
use crate::support::patience::until;
use http::{Request, Response};
use http_body_util::{Empty, StreamBody};
use hyper::body::{Bytes, Frame};
use pouw::internal::store::sim::SimDisk;
use pouw::protocol::ByTier;
use pouw::tower::PouwLayer;
use pouw::{FallbackBehavior, Gate, GateConfig, GateRuntime};
use tower::{Layer, ServiceExt, service_fn};

use super::table::Unreachable;

/// How the length of a body is given.
#[derive(Debug, Clone, Copy)]
enum Framing {
    Length,
    Chunks,
}

/// Refusals so far.
fn refusals(site: &Site) -> u64 {
    site.gate.stats().refused.iter().map(|(_, count)| count).sum()
}

/// Sends a head, waits until the gate has refused the request, and then sends all of the body.
fn send(site: &Site, stream: &mut TcpStream, framing: Framing, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let before = refusals(site);
    let length = match framing {
        Framing::Length => format!("Content-Length: {}", body.len()),
        Framing::Chunks => "Transfer-Encoding: chunked".to_owned(),
    };
    write!(stream, "POST /echo HTTP/1.1\r\nHost: x\r\n{headers}{length}\r\n\r\n")?;
    // tiny_http reads a short body before it passes the request on.
    if site.kind != Kind::TinyHttp {
        until(|| refusals(site) > before);
    }
    match framing {
        Framing::Length => stream.write_all(body),
        Framing::Chunks => {
            for piece in body.chunks(64 << 10) {
                stream.write_all(&[format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat())?;
            }
            stream.write_all(b"0\r\n\r\n")
        }
    }
}

/// Reads one response with a length, and leaves the connection open.
fn receive(stream: &mut TcpStream) -> std::io::Result<Reply> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        text.extend(byte);
    }
    let mut body = vec![0; parse(&text).number("content-length") as usize];
    stream.read_exact(&mut body)?;
    text.extend(body);
    Ok(parse(&text))
}

#[test]
fn a_refusal_reaches_a_client_that_sends_its_whole_body_first_and_short_bodies_keep_the_connection() {
    for kind in Kind::ALL {
        let site = Site::new(kind, &Setup::default());
        site.limited();
        for framing in [Framing::Length, Framing::Chunks] {
            for (bytes, kept) in [(3, true), (100_000, true), (5_000_000, false)] {
                // tiny_http leaves a long body in chunks unread, and closes at once.
                if (kind, kept) == (Kind::TinyHttp, false) && matches!(framing, Framing::Chunks) {
                    continue;
                }
                for _ in 0..4 {
                    let mut stream = connect(site.server.address);
                    let sent = send(&site, &mut stream, framing, "", &vec![b'x'; bytes]);
                    let reply = receive(&mut stream);
                    let case = format!("{kind:?}, {framing:?}, {bytes} bytes: {sent:?}, {reply:?}");
                    assert!(sent.is_ok() && reply.is_ok_and(|reply| reply.status == 429), "{case}");
                    if kept {
                        send(&site, &mut stream, framing, "", b"again").unwrap();
                        assert_eq!(receive(&mut stream).unwrap().status, 429, "{case}");
                    }
                }
            }
        }
    }
}

#[test]
fn every_kind_of_refusal_reaches_such_a_client() {
    for kind in Kind::ALL {
        let setup = Setup {
            engine: |config| config.floor(ByTier::all(Duration::ZERO)),
            gate: |config| config.body_limit_bytes(16 << 10).buffered_bytes_max(16 << 10),
            ..Setup::default()
        };
        let site = Site::new(kind, &setup);
        let (_, result) = solved(&site.limited());
        let token = result.challenge_token.as_str();
        let (forged, compact) = (token.replace(&token[260..], "AA"), result.to_compact());
        let bodies = [(3, Framing::Length), (100_000, Framing::Length), (100_000, Framing::Chunks)];
        let expect = |headers: &str, expected: (u16, &str), bodies: &[(usize, Framing)]| {
            for (bytes, framing) in bodies {
                let mut stream = connect(site.server.address);
                let sent = send(&site, &mut stream, *framing, headers, &vec![b'x'; *bytes]);
                let reply = receive(&mut stream);
                let case = format!("{kind:?}, {expected:?}, {framing:?}, {bytes}: {sent:?}");
                let reply = reply.unwrap_or_else(|error| panic!("{case}: {error}"));
                assert!(sent.is_ok() && (reply.status, reply.reason().as_str()) == expected, "{case}: {reply:?}");
            }
        };
        let answer = |token: &str| format!("X-PoUW-Response: {token}\r\nX-PoUW-Result: {compact}\r\n");
        expect(&answer(&forged), (403, "token_invalid"), &bodies);
        expect("X-PoUW-Response: AAAA\r\nX-PoUW-Response: AAAA\r\n", (400, "malformed"), &bodies);
        // Refused by its head, and by what came of it.
        expect(&format!("X-PoUW-Response: {token}\r\n"), (413, "too_large"), &bodies[1..2]);
        let mut stream = connect(site.server.address);
        write!(
            stream,
            "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nX-PoUW-Response: {token}\r\n\r\n"
        )
        .unwrap();
        let piece = "x".repeat(20_000);
        for _ in 0..4 {
            write!(stream, "{:x}\r\n{piece}\r\n", piece.len()).unwrap();
        }
        write!(stream, "0\r\n\r\n").unwrap();
        assert_eq!(receive(&mut stream).unwrap().status, 413, "{kind:?}");
        assert_eq!(site.gate.stats().bytes_buffered, 0);
    }
}

#[test]
fn a_refusal_because_the_limit_cannot_be_checked_reaches_such_a_client() {
    for kind in Kind::ALL {
        let setup = Setup {
            gate: |config| config.fallback_behavior(FallbackBehavior::Deny),
            parts: || GateRuntime::default().window(Arc::new(Unreachable)),
            ..Setup::default()
        };
        let site = Site::new(kind, &setup);
        let mut stream = connect(site.server.address);
        send(&site, &mut stream, Framing::Chunks, "", &[b'x'; 100_000]).unwrap();
        assert_eq!(receive(&mut stream).unwrap().status, 503, "{kind:?}");
    }
}

/// Kinds whose connections the gate's adapter closes; tiny_http reads on by itself.
const ASYNC: [Kind; 3] = [Kind::Actix, Kind::Axum, Kind::Hyper];

#[test]
fn a_body_that_does_not_end_in_time_is_left_and_the_connection_ends_after_the_refusal() {
    for kind in ASYNC {
        let setup = Setup { gate: |config| config.drain_timeout(Duration::from_millis(50)), ..Setup::default() };
        let site = Site::new(kind, &setup);
        site.limited();
        for framing in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
            let mut stream = connect(site.server.address);
            write!(stream, "POST /echo HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n5\r\nhello\r\n").unwrap();
            let reply = receive(&mut stream).unwrap();
            assert_eq!((reply.status, reply.header("connection")), (429, Some("close")), "{kind:?}, {framing}");
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).unwrap();
            assert!(rest.is_empty(), "{kind:?}, {framing}");
        }
    }
}

#[test]
fn nothing_is_read_of_a_body_that_is_known_to_be_too_long_or_with_drain_bytes_of_0() {
    for kind in ASYNC {
        let none = Setup { gate: |config| config.drain_bytes(0), ..Setup::default() };
        for (setup, length) in [(Setup::default(), (1 << 20) + 1), (none, 3)] {
            let site = Site::new(kind, &setup);
            site.limited();
            let mut stream = connect(site.server.address);
            write!(stream, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n").unwrap();
            // Answered before any of the body was sent.
            let reply = receive(&mut stream).unwrap();
            assert_eq!((reply.status, reply.header("connection")), (429, Some("close")), "{kind:?}, {length}");
        }
    }
}

#[test]
fn a_client_that_expects_100_continue_gets_the_refusal_instead() {
    for kind in ASYNC {
        let site = Site::new(kind, &Setup::default());
        site.limited();
        let mut stream = connect(site.server.address);
        write!(stream, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n").unwrap();
        if kind == Kind::Actix {
            // It asks for the body before the gate sees the request.
            let mut asked = [0; 25];
            stream.read_exact(&mut asked).unwrap();
            assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
            stream.write_all(b"abc").unwrap();
        }
        assert_eq!(receive(&mut stream).unwrap().status, 429, "{kind:?}");
    }
}

#[test]
fn a_body_announced_as_too_long_is_refused_before_any_of_it_is_sent() {
    for kind in ASYNC {
        let setup = Setup { gate: |config| config.drain_timeout(Duration::from_secs(60)), ..Setup::default() };
        let site = Site::new(kind, &setup);
        let token = solved(&site.limited()).1.challenge_token;
        for (header, status) in [(String::new(), 429), (format!("X-PoUW-Response: {token}\r\n"), 413)] {
            let mut stream = connect(site.server.address);
            let length = (1 << 20) + 1;
            write!(stream, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{header}").unwrap();
            write!(stream, "Expect: 100-continue\r\n\r\n").unwrap();
            if kind == Kind::Actix {
                let mut asked = [0; 25];
                stream.read_exact(&mut asked).unwrap();
                assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            let reply = receive(&mut stream).unwrap();
            assert_eq!((reply.status, reply.header("connection")), (status, Some("close")), "{kind:?}");
        }
    }
}

#[test]
fn two_hundred_slow_uploads_over_the_limit_hold_nobody_up_and_are_not_stored() {
    for kind in ASYNC {
        let setup = Setup {
            gate: |config| config.trusted_proxy("127.0.0.0/8").drain_timeout(Duration::from_secs(60)),
            backlog: 0,
            ..Setup::default()
        };
        let site = Site::new(kind, &setup);
        let own = |client: usize| format!("198.51.{client}.7");
        for client in 0..200 {
            assert_eq!(site.hello(&[("X-Forwarded-For", &own(client))]).status, 200);
        }
        let piece = vec![b'x'; 256 << 10];
        let mut held: Vec<TcpStream> = (0..200)
            .map(|client| {
                let mut stream = connect(site.server.address);
                let (own, length) = (own(client), piece.len() + 3);
                write!(stream, "POST /echo HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {own}\r\n").unwrap();
                write!(stream, "Content-Length: {length}\r\n\r\n").unwrap();
                stream.write_all(&piece).unwrap();
                stream
            })
            .collect();
        until(|| refusals(&site) >= 200);
        assert_eq!(site.gate.stats().bytes_buffered, 0);
        assert_eq!(site.hello(&[("X-Forwarded-For", "203.0.113.9")]).status, 200);
        for stream in &mut held {
            stream.write_all(b"end").unwrap();
            assert_eq!(receive(stream).unwrap().status, 429, "{kind:?}");
        }
    }
}

/// A piece of a body that is counted while it exists.
struct Piece(Arc<AtomicUsize>);

impl Piece {
    fn frame(alive: &Arc<AtomicUsize>) -> Frame<Bytes> {
        alive.fetch_add(1, Ordering::Relaxed);
        Frame::data(Bytes::from_owner(Self(alive.clone())))
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &[b'x'; 16 << 10]
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn of_200_bodies_of_refused_requests_no_piece_is_kept_while_they_go_on() {
    let engine = on_disk(&SimDisk::new(), &clock(), config());
    let gate = Gate::new(engine, GateConfig::builder().rate_limit(1).build().unwrap()).unwrap();
    let echo = service_fn(async |_: Request<_>| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())));
    let service = PouwLayer::new(gate).layer(echo);
    let (alive, made) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut held = Vec::new();
    for _ in 0..201 {
        let (mut left, alive, made) = (40, alive.clone(), made.clone());
        let pieces = futures_util::stream::poll_fn(move |_| {
            if left == 0 {
                return Poll::Pending;
            }
            left -= 1;
            made.fetch_add(1, Ordering::Relaxed);
            Poll::Ready(Some(Ok::<_, Infallible>(Piece::frame(&alive))))
        });
        held.push(Box::pin(service.clone().oneshot(Request::new(StreamBody::new(pieces)))));
    }
    // The first one is within the limit.
    assert!(held.remove(0).await.is_ok());
    for upload in &mut held {
        let polled = upload.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
    }
    assert_eq!((made.load(Ordering::Relaxed), alive.load(Ordering::Relaxed)), (200 * 40, 0));
}
