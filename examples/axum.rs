//! The gate in front of an axum service.
//!
//! cargo run --release --features axum --example axum -- DIR 127.0.0.1:3000

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use pouw::tower::{LingerListener, PouwLayer};
use pouw::{Exposure, Gate, IngestOptions, PeerAddr};
use tokio::net::TcpListener;

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, gate: Gate) -> std::io::Result<()> {
    let app = Router::new()
        .route("/hello", get(|| async { "hello\n" }))
        .route("/echo", post(|body: Body| async { body }))
        .layer(PouwLayer::new(gate));
    // A client that is still sending a long body can read the refusal.
    let listener = LingerListener::new(listener);
    axum::serve(listener, app.into_make_service_with_connect_info::<PeerAddr>()).await
}

#[tokio::main]
#[allow(dead_code, reason = "tests use what is above only")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(directory), Some(address)) = (args.next(), args.next()) else {
        return Err("usage: axum DIRECTORY ADDRESS, like: axum pouw-data 127.0.0.1:3000".into());
    };
    // A real service keeps its secret outside the program.
    let gate = Gate::open(directory, "a secret of thirty-two bytes or more")?;
    gate.engine().ingest_bytes(&IngestOptions::new(Exposure::Public), "sample", &vec![7; 1 << 20])?;
    serve(TcpListener::bind(address).await?, gate).await?;
    Ok(())
}
