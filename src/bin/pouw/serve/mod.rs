//! `pouw serve`: a small service behind the gate, to try it, to measure it, and to copy from.

mod chosen;
mod pages;
mod socket;
mod upload;

use std::net::SocketAddr;
use std::path::PathBuf;
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
use pouw::{Gate, PeerAddr};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tower_service::Service;

use crate::failure::{Failure, Verdict};
use crate::output::{Output, complain};
use crate::place::Place;

use chosen::Chosen;
use socket::Impatient;
use upload::Upload;

pub use chosen::LISTEN;

/// Serve a small HTTP service behind the gate.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    place: Place,
    /// Read settings from this TOML file; what stands on the command line goes before it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:3000].
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Requests that one client may make in a window [default: 100].
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// Length of the window in seconds [default: 60].
    #[arg(long, value_name = "SECS")]
    window: Option<u64>,
    /// Milliseconds before an answer counts, for low, medium and high [default: 1500,4000,7500].
    #[arg(long, value_name = "L,M,H", value_delimiter = ',')]
    floor: Vec<u64>,
    /// Network of proxies whose Forwarded or X-Forwarded-For is believed; may be given again.
    #[arg(long, value_name = "CIDR")]
    trusted_proxy: Vec<IpNet>,
    /// Answer browsers that are over the limit with a page that does the work, instead of a problem document.
    #[arg(long)]
    challenge_page: bool,
    /// Decide and count, but let everything through that is only over its limit; --shadow=false undoes the file's.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    shadow: Option<bool>,
}

const EXAMPLES: &str = "\
Example:
  pouw ingest --db store --exposure public photos/
  pouw serve --db store --listen 127.0.0.1:3000 --rate 5
  curl -i http://127.0.0.1:3000/hello         the sixth time it is a 429 with work in it, for `pouw solve -`

Many settings are kept better in a file; see: pouw check-config --help
  pouw serve --db store --config pouw.toml

Behind the gate: GET /hello, POST /echo. Beside it: GET / (a page to try it on), GET /metrics (Prometheus), GET /health,
GET /pouw/receipt/ID, GET /pouw/tree/ID (how far a tree is; ID is the unit's treeId).
Stop it with ctrl-c or SIGTERM: what is on its way is finished, and nothing that was answered is lost.";

/// Connections at once. Beyond, new ones wait in the system's backlog until one closes.
const CONNECTIONS_MAX: usize = 16_384;
/// What hyper may hold of a response that the socket does not take.
const WRITE_BUFFER_BYTES: usize = 16 << 10;
/// Time for a request's head, on a kept connection from the end of the request before it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Time for what is on its way when the service is stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    let chosen = Chosen::new(options)?;
    let gate_config = chosen.gate()?;
    let engine = chosen.open()?;
    // Before the gate is made, so that nothing it records is lost.
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    metrics::set_global_recorder(recorder)?;
    let gate = Gate::new(engine.clone(), gate_config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(&chosen, gate, metrics, out));
    // Waits for what runs on the pool, then for the last commit.
    runtime.shutdown_timeout(STOP_TIMEOUT);
    engine.close();
    served.map(|()| Verdict::Done)
}

async fn serve(
    chosen: &Chosen,
    gate: Gate,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
    out: &Output,
) -> Result<(), Failure> {
    let listener = TcpListener::bind(chosen.listen)
        .await
        .map_err(|error| Failure::failed(format!("{}: {error}; give another --listen", chosen.listen)))?;
    let address = listener.local_addr()?;
    // Before anybody asks: the first one over the limit gets real work too.
    gate.engine().refill()?;
    announce(chosen, &gate, address, out)?;
    let [to_read, to_send] = [gate.write_timeout(), gate.body_timeout()];
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
            let mut request = request.map(|body| axum::body::Body::new(Upload::new(body, to_send)));
            request.extensions_mut().insert(PeerAddr(peer));
            app.clone().call(request)
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(WRITE_BUFFER_BYTES);
        let connection = builder.serve_connection(TokioIo::new(Impatient::new(stream, to_read)), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // Whatever ends a connection early is its client's affair.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
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

fn announce(chosen: &Chosen, gate: &Gate, address: SocketAddr, out: &Output) -> Result<(), Failure> {
    let totals = gate.engine().stats().totals;
    let document = serde_json::json!({
        "listening": address.to_string(),
        "rate": chosen.rate_limit,
        "windowSeconds": seconds(chosen.window_ms),
        "pendingLeaves": totals.pending,
        "trees": totals.trees,
    });
    out.show(&document, |to| {
        let (rate, window) = (chosen.rate_limit, seconds(chosen.window_ms));
        writeln!(to, "listening on http://{address}, {rate} requests per {window} s for each client")?;
        writeln!(to, "{} leaves pending in {} trees", totals.pending, totals.trees)?;
        writeln!(to, "try: http://{address}/ in a browser, or curl -i http://{address}/hello")
    })
}

/// A whole number where it is one.
fn seconds(ms: u64) -> serde_json::Number {
    let exact = serde_json::Number::from_f64(ms as f64 / 1_000.0).filter(|_| !ms.is_multiple_of(1_000));
    exact.unwrap_or_else(|| (ms / 1_000).into())
}
