//! `pouw serve`: a small service behind the gate, to try it, to measure it, and to copy from.

mod pages;
mod socket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use ipnet::IpNet;
use metrics_exporter_prometheus::PrometheusBuilder;
use pouw::adapters::PeerAddr;
use pouw::engine::{Config, PouwEngine};
use pouw::gate::{Gate, GateConfig};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tower_service::Service;

use crate::failure::{Failure, Verdict};
use crate::output::{Output, complain};
use crate::place::Place;

use socket::Impatient;

/// Serve a small HTTP service behind the gate.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    place: Place,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// Requests that one client may make in a window.
    #[arg(long, value_name = "N", default_value_t = 100)]
    rate: u32,
    /// Length of the window in seconds.
    #[arg(long, value_name = "SECS", default_value_t = 60)]
    window: u64,
    /// Milliseconds before an answer counts, for low, medium and high.
    #[arg(long, value_name = "L,M,H", value_delimiter = ',', default_values_t = [1_500, 4_000, 7_500])]
    floor: Vec<u64>,
    /// Network of proxies whose Forwarded or X-Forwarded-For is believed; may be given again.
    #[arg(long, value_name = "CIDR")]
    trusted_proxy: Vec<IpNet>,
    /// Decide and count, but let everything through that is only over its limit.
    #[arg(long)]
    shadow: bool,
}

const EXAMPLES: &str = "\
Example:
  pouw ingest --db store --exposure public photos/
  pouw serve --db store --listen 127.0.0.1:3000 --rate 5
  curl -i http://127.0.0.1:3000/hello         the sixth time it is a 429 with work in it, for `pouw solve -`

Behind the gate: GET /hello, POST /echo. Beside it: GET /metrics (Prometheus), GET /health, GET /pouw/receipt/ID.
Stop it with ctrl-c or SIGTERM: what is on its way is finished, and nothing that was answered is lost.";

/// Connections at once. Beyond, new ones wait in the system's backlog until one closes.
const CONNECTIONS_MAX: usize = 16_384;
/// What hyper may hold of a response that the socket does not take.
const WRITE_BUFFER_BYTES: usize = 16 << 10;
/// Time for a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Time for what is on its way when the service is stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How often expired leases and old rows are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    let engine = open(options)?;
    // Before the gate is made, so that nothing it records is lost.
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    metrics::set_global_recorder(recorder)?;
    let gate = Gate::new(engine.clone(), gate_config(options)?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(options, gate, metrics, out));
    // Waits for what runs on the pool, then for the last commit.
    runtime.shutdown_timeout(STOP_TIMEOUT);
    engine.close();
    served.map(|()| Verdict::Done)
}

fn open(options: &Options) -> Result<PouwEngine, Failure> {
    let [low, medium, high] = options.floor[..] else {
        return Err(Failure::Usage(format!(
            "--floor: expected three numbers like 1500,4000,7500, found {}",
            options.floor.len()
        )));
    };
    options.place.open_to_serve(|secret| Config::builder(secret).floor_ms([low, medium, high]))
}

fn gate_config(options: &Options) -> Result<GateConfig, Failure> {
    let mut config = GateConfig::builder()
        .rate_limit(options.rate)
        .window_ms(options.window.saturating_mul(1_000))
        .shadow(options.shadow);
    for network in &options.trusted_proxy {
        config = config.trusted_proxy(*network);
    }
    Ok(config.build()?)
}

async fn serve(
    options: &Options,
    gate: Gate,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
    out: &Output,
) -> Result<(), Failure> {
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|error| Failure::failed(format!("{}: {error}; give another --listen", options.listen)))?;
    let address = listener.local_addr()?;
    announce(options, &gate, address, out)?;
    let sweeper = tokio::spawn(sweep(gate.engine().clone()));
    let patience = Duration::from_millis(gate.write_timeout_ms());
    let app = pages::pages(gate, metrics);
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        };
        let Some((stream, peer, permit)) = accepted else {
            continue;
        };
        let app = app.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(PeerAddr(peer));
            app.clone().call(request)
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(WRITE_BUFFER_BYTES);
        let connection = builder.serve_connection(TokioIo::new(Impatient::new(stream, patience)), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // Whatever ends a connection early is its client's affair.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    sweeper.abort();
    complain("stopping: what is on its way is finished first");
    if tokio::time::timeout(STOP_TIMEOUT, graceful.shutdown()).await.is_err() {
        complain("some connections were cut off; what had been accepted is stored");
    }
    Ok(())
}

type Accepted = (tokio::net::TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

/// The next connection, once there is room for it.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> Option<Accepted> {
    let permit = room.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, permit)),
        Err(_) => {
            // Out of file descriptors, most likely: connections that end make room.
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

async fn sweep(engine: PouwEngine) {
    let mut every = tokio::time::interval(SWEEP_EVERY);
    loop {
        every.tick().await;
        let engine = engine.clone();
        // It waits for a commit: nothing for a thread of the executor. One that fails is tried again.
        let _ = tokio::task::spawn_blocking(move || engine.sweep()).await;
    }
}

fn announce(options: &Options, gate: &Gate, address: SocketAddr, out: &Output) -> Result<(), Failure> {
    let totals = gate.engine().stats().totals;
    let document = serde_json::json!({
        "listening": address.to_string(),
        "rate": options.rate,
        "windowSeconds": options.window,
        "pendingLeaves": totals.pending,
        "trees": totals.trees,
    });
    out.show(&document, |to| {
        let (rate, window) = (options.rate, options.window);
        writeln!(to, "listening on http://{address}, {rate} requests per {window} s for each client")?;
        writeln!(to, "{} leaves pending in {} trees", totals.pending, totals.trees)?;
        writeln!(to, "try: curl -i http://{address}/hello")
    })
}
