//! `pouw serve`: a small service behind the gate, for trials, measurements and as an example.

mod chosen;
mod control;
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
use metrics_exporter_prometheus::PrometheusBuilder;
use pouw::settings::ProxyNetwork;
use pouw::tower::Linger;
use pouw::{Gate, PeerAddr, PouwEngine};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tower_service::Service;

use crate::config_file::OnStoreFailure;
use crate::failure::{Failure, Verdict};
use crate::output::{Output, complain};
use crate::store::StoreArguments;
use crate::words::count;

use chosen::Chosen;
use control::Control;
use socket::Impatient;
use upload::Upload;

pub use chosen::LISTEN;

/// Serve a small HTTP service behind the rate limiter.
///
/// Prints its address and the number of pending leaves, then serves until ctrl-c or SIGTERM.
/// Requests in progress are finished first.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    store: StoreArguments,
    /// Read settings from this TOML file. Options of the command line take precedence.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on; port 0 chooses a free port [default: 127.0.0.1:3000].
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Requests of one client in a window [default: 100].
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// Length of the window in seconds [default: 60].
    #[arg(long, value_name = "SECS")]
    window: Option<u64>,
    /// Shortest time before an answer is accepted, in milliseconds, for low, medium and high
    /// [default: 1500,4000,7500].
    #[arg(long, value_name = "L,M,H", value_delimiter = ',')]
    floor: Vec<u64>,
    /// Network of proxies whose Forwarded or X-Forwarded-For is trusted; may be repeated.
    #[arg(long, value_name = "CIDR")]
    trusted_proxy: Vec<ProxyNetwork>,
    /// Send browsers over the limit a page that does the work, instead of a problem document.
    #[arg(long)]
    challenge_page: bool,
    /// Count requests over the limit but let them pass. --shadow=false overrides the file.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    shadow: Option<bool>,
}

const EXAMPLES: &str = "\
Examples:
  pouw ingest --db store --exposure public photos/
  pouw serve --db store --rate 5
  pouw fetch http://127.0.0.1:3000/hello              the sixth request is limited; this does the work and passes
  pouw serve --db store --config pouw.toml            all settings; see: pouw check-config --help

Limited:     GET /hello, POST /echo (returns the body), POST /length (returns the number of its bytes)
Not limited: GET / (a page to try the limit), GET /metrics (Prometheus), GET /health, GET /pouw/receipt/ID (the state of
             a unit), GET /pouw/tree/ID (the progress of a tree; ID is a unit's treeId)";

/// Most concurrent connections. More wait in the system's backlog until one closes.
const CONNECTIONS_MAX: usize = 16_384;
/// Most bytes of a response that hyper buffers while the socket accepts none.
const WRITE_BUFFER_BYTES: usize = 16 << 10;
/// Time for a request's head; on a kept connection it begins with the end of the previous request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Time for requests in progress when the service is stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the server looks whether its store failed.
const STORE_LOOK: Duration = Duration::from_millis(500);

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
    served?;
    Ok(match engine.failure() {
        None => Verdict::Done,
        Some(why) => {
            complain(&format!("the store failed: {why}; run: pouw check --db {}", chosen.store.db.display()));
            Verdict::Failed
        }
    })
}

/// Returns once the store stays closed and the server is to end then.
async fn store_failed(engine: &PouwEngine, then: OnStoreFailure) {
    let mut look = tokio::time::interval(STORE_LOOK);
    loop {
        look.tick().await;
        if then == OnStoreFailure::Exit && engine.failure().is_some() {
            return;
        }
    }
}

async fn serve(
    chosen: &Chosen,
    gate: Gate,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
    out: &Output,
) -> Result<(), Failure> {
    let listener = TcpListener::bind(chosen.listen).await.map_err(|error| {
        Failure::failed(format!("cannot listen on {}: {error}; choose another address with --listen", chosen.listen))
    })?;
    let address = listener.local_addr()?;
    // Before the first request: the first client over the limit gets real work too.
    gate.engine().refill()?;
    // Removed when the service stops.
    let _control = Control::start(&chosen.store.db, gate.engine().clone());
    announce(chosen, &gate, address, out)?;
    let [to_read, to_send] = [gate.write_timeout(), gate.body_timeout()];
    let engine = gate.engine().clone();
    let store_failed = store_failed(&engine, chosen.on_store_failure);
    tokio::pin!(store_failed);
    let app = pages::pages(gate, metrics);
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = &mut store_failed => break,
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
        // A client that is still sending when its connection closes reads the response first.
        let stream = Linger::new(Impatient::new(stream, to_read));
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // An error of a connection concerns only its client.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    complain("stopping after the requests in progress");
    if tokio::time::timeout(STOP_TIMEOUT, graceful.shutdown()).await.is_err() {
        complain("some connections were closed early; all accepted answers are stored");
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
        let rate = count(rate.into(), "request", "requests");
        writeln!(to, "listening on http://{address}, {rate} per {window} s for each client")?;
        let (leaves, trees) = (count(totals.pending, "leaf", "leaves"), count(totals.trees, "tree", "trees"));
        writeln!(to, "{leaves} pending in {trees}")?;
        writeln!(to, "try: http://{address}/ in a browser, or curl -i http://{address}/hello")
    })
}

/// Converts milliseconds to seconds, to an integer if they are whole seconds.
fn seconds(ms: u64) -> serde_json::Number {
    let exact = serde_json::Number::from_f64(ms as f64 / 1_000.0).filter(|_| !ms.is_multiple_of(1_000));
    exact.unwrap_or_else(|| (ms / 1_000).into())
}
