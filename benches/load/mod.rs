//! What the benchmarks over loopback share: servers as child processes, a lean client of HTTP/1.1, what a
//! process costs, and the machine's name.
#![allow(dead_code, reason = "each benchmark uses its part")]

pub mod child;
pub mod process;
pub mod wire;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use wire::{Replies, Reply};

/// Connections that stay open, for a closed loop: each sends its next request when the last is answered.
pub struct Pool(Vec<Replies<TcpStream>>);

/// What a closed loop did.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub requests: usize,
    pub elapsed: Duration,
    /// CPU time of the thread that sent them.
    pub own_ns: u64,
    /// Bytes of all responses, heads and bodies.
    pub bytes: u64,
}

impl Run {
    pub fn per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    /// How much of the time the sending thread was at work, percent: near 100 it is the bottleneck.
    pub fn own_busy_percent(&self) -> f64 {
        self.own_ns as f64 / self.elapsed.as_nanos() as f64 * 100.0
    }
}

impl Pool {
    pub async fn open(address: SocketAddr, connections: usize) -> Self {
        let mut pool = Vec::with_capacity(connections);
        for _ in 0..connections {
            let stream = TcpStream::connect(address).await.expect("the server listens");
            stream.set_nodelay(true).expect("the option exists");
            pool.push(Replies::new(stream));
        }
        Self(pool)
    }

    /// Sends requests number 0 to `count`, and shows every response with the number of its request.
    pub async fn run<'a>(
        &mut self,
        count: usize,
        request: impl Fn(usize) -> &'a [u8],
        seen: impl Fn(usize, &Reply<'_>),
    ) -> Run {
        let (next, bytes) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
        let (began, own_before) = (Instant::now(), process::own_thread_ns());
        let turns = self.0.iter_mut().map(|connection| {
            let (next, bytes, request, seen) = (&next, &bytes, &request, &seen);
            async move {
                while next.get() < count {
                    let at = next.replace(next.get() + 1);
                    wire::send(connection.stream(), request(at)).await.expect("the server takes requests");
                    let reply = connection.next().await.expect("the server answers");
                    bytes.set(bytes.get() + (reply.head.len() + reply.body.len()) as u64);
                    seen(at, &reply);
                }
            }
        });
        futures_util::future::join_all(turns).await;
        let elapsed = began.elapsed();
        Run { requests: count, elapsed, own_ns: process::own_thread_ns() - own_before, bytes: bytes.get() }
    }
}

/// A runtime that works on this thread alone, so that the client costs one core at most.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts")
}

/// The request every server gets: the same headers, and the client's address as a proxy on loopback names it.
pub fn hello(client: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let more: String = more.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!(
        "GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: pouw-bench\r\nAccept: */*\r\n\
         X-Forwarded-For: {client}\r\n{more}\r\n"
    )
    .into_bytes()
}
