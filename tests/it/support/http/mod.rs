//! A gate on a faulty disk and a fake clock, behind each of the example servers, and a client that sends raw bytes.

pub mod client;

#[path = "../../../../examples/actix.rs"]
mod actix_example;
#[path = "../../../../examples/axum.rs"]
mod axum_example;
#[path = "../../../../examples/hyper.rs"]
mod hyper_example;
#[path = "../../../../examples/tiny_http.rs"]
mod tiny_http_example;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::support::desk::WINDOW_MS;
use crate::support::house::{SECRET, clock, on_disk};
use crate::support::patience::until;
use crate::support::work::{cut, solve};
use pouw::internal::store::sim::SimDisk;
use pouw::protocol::{WorkResult, WorkUnit};
use pouw::{Config, ConfigBuilder, FakeClock, Gate, GateConfig, GateConfigBuilder, GateRuntime, PouwEngine};

use client::{Reply, request};

/// The servers that the same table is run against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Actix,
    Axum,
    Hyper,
    TinyHttp,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Actix, Self::Axum, Self::Hyper, Self::TinyHttp];

    /// Serves `gate` until the server is dropped.
    pub fn serve(self, gate: Gate) -> Server {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (listener, address) = listen();
        let (stop, thread): (Box<dyn FnOnce() + Send + Sync>, _) = match self {
            Self::Actix => {
                let serve = move || {
                    actix_web::rt::System::new().block_on(while_wanted(stopped, actix_example::serve(listener, gate)));
                };
                (Box::new(move || drop(stop)), std::thread::spawn(serve))
            }
            Self::Axum | Self::Hyper => {
                let serve = async move {
                    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                    match self {
                        Self::Axum => while_wanted(stopped, axum_example::serve(listener, gate)).await,
                        _ => while_wanted(stopped, hyper_example::serve(listener, gate)).await,
                    }
                };
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                (Box::new(move || drop(stop)), std::thread::spawn(move || runtime.block_on(serve)))
            }
            Self::TinyHttp => {
                listener.set_nonblocking(false).unwrap();
                let server = Arc::new(tiny_http::Server::from_listener(listener, None).unwrap());
                let serving = server.clone();
                let thread = std::thread::spawn(move || tiny_http_example::serve(&serving, &gate));
                (Box::new(move || server.unblock()), thread)
            }
        };
        Server { address, stop: Some(stop), thread: Some(thread) }
    }
}

/// Serves until `stopped` resolves. A server does not end before that.
async fn while_wanted<E: std::fmt::Debug>(
    stopped: tokio::sync::oneshot::Receiver<()>,
    serving: impl Future<Output = Result<(), E>>,
) {
    tokio::select! {
        ended = serving => panic!("the server ended: {ended:?}"),
        _ = stopped => {}
    }
}

/// A server on a thread. Dropping it stops it, and panics if it has panicked.
pub struct Server {
    pub address: SocketAddr,
    stop: Option<Box<dyn FnOnce() + Send + Sync>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    /// Stops it, unless it is stopped already.
    pub fn stop(&mut self) {
        let (Some(stop), Some(thread)) = (self.stop.take(), self.thread.take()) else { return };
        stop();
        let ended = thread.join();
        assert!(ended.is_ok() || std::thread::panicking(), "the server on {} panicked", self.address);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn listen() -> (std::net::TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// How a site differs from the usual one.
pub struct Setup {
    pub engine: fn(ConfigBuilder) -> ConfigBuilder,
    pub gate: fn(GateConfigBuilder) -> GateConfigBuilder,
    pub parts: fn() -> GateRuntime,
    /// Leaves of 512 bytes.
    pub backlog: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self { engine: |config| config, gate: |config| config, parts: GateRuntime::default, backlog: 640 }
    }
}

/// Sends an answer until the store takes it, for at most as long as tests have patience.
pub fn until_stored(mut send: impl FnMut() -> Reply) -> Reply {
    let mut stored = None;
    until(|| {
        let reply = send();
        let again = reply.status == 429 && reply.reason() == "try_again";
        stored = (!again).then_some(reply);
        stored.is_some()
    });
    stored.expect("it was waited for")
}

/// A served gate with a limit of one request, and floors of zero.
pub struct Site {
    pub kind: Kind,
    pub disk: SimDisk,
    pub clock: Arc<FakeClock>,
    pub engine: PouwEngine,
    pub gate: Gate,
    pub server: Server,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.stop();
        self.engine.close();
    }
}

impl Site {
    pub fn new(kind: Kind, setup: &Setup) -> Self {
        let (disk, clock) = (SimDisk::new(), clock());
        let engine = on_disk(&disk, &clock, (setup.engine)(Config::builder(SECRET)).background(false));
        if setup.backlog > 0 {
            let bytes: Vec<u8> = (0..512 * setup.backlog).map(|at| (at / 512 % 251) as u8).collect();
            engine.ingest_bytes(&cut(), "tree", &bytes).unwrap();
            engine.refill().unwrap();
        }
        let config = GateConfig::builder()
            .rate_limit(1)
            .window(Duration::from_millis(WINDOW_MS))
            .paid_admissions_per_window(1_000);
        let parts = (setup.parts)().ticked_by_host();
        let gate = Gate::with_runtime(engine.clone(), (setup.gate)(config).build().unwrap(), parts).unwrap();
        let server = kind.serve(gate.clone());
        Self { kind, disk, clock, engine, gate, server }
    }

    /// Opens the store again, under these settings, and serves it.
    pub fn restart(&mut self, config: ConfigBuilder) {
        self.server.stop();
        self.engine.close();
        self.engine = on_disk(&self.disk, &self.clock, config);
        let config = GateConfig::builder().rate_limit(1).build().unwrap();
        self.gate = Gate::new(self.engine.clone(), config).unwrap();
        self.server = self.kind.serve(self.gate.clone());
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        request(self.server.address, method, path, headers, body)
    }

    pub fn hello(&self, headers: &[(&str, &str)]) -> Reply {
        self.send("GET", "/hello", headers, b"")
    }

    /// Uses up the limit, and returns the first challenge.
    pub fn limited(&self) -> Reply {
        assert_eq!(self.hello(&[]).status, 200);
        let reply = self.hello(&[]);
        assert_eq!((reply.status, reply.reason().as_str()), (429, "work_required"), "{reply:?}");
        reply
    }

    /// Sends an answer until the store takes it: after a failure the writer opens it anew on its own time.
    pub fn answer_until_stored(&self, result: &WorkResult) -> Reply {
        until_stored(|| self.answer(result))
    }

    /// Sends an answer in the header.
    pub fn answer(&self, result: &WorkResult) -> Reply {
        self.answer_as(result, &[])
    }

    pub fn answer_as(&self, result: &WorkResult, more: &[(&str, &str)]) -> Reply {
        let compact = result.to_compact();
        let mut headers = vec![("X-PoUW-Response", result.challenge_token.as_str()), ("X-PoUW-Result", &compact)];
        headers.extend_from_slice(more);
        self.hello(&headers)
    }
}

/// The unit in a 429, and its right answer.
pub fn solved(reply: &Reply) -> (WorkUnit, WorkResult) {
    let unit = reply.json()["workUnit"].to_string();
    let unit = WorkUnit::from_json(unit.as_bytes()).unwrap_or_else(|error| panic!("{error}: {reply:?}"));
    assert_eq!(Some(unit.challenge_token.as_str()), reply.header("x-pouw-challenge"));
    let result = solve(&unit);
    (unit, result)
}
