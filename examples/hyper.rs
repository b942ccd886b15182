//! The gate in front of a plain hyper service.
//!
//! cargo run --release --features tower --example hyper -- DIR 127.0.0.1:3000

use std::convert::Infallible;

use http::{Request, Response};
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use pouw::tower::{Linger, PouwLayer, RequestBody};
use pouw::{Exposure, Gate, IngestOptions, PeerAddr};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt, service_fn};

async fn respond(
    request: Request<RequestBody<Incoming>>,
) -> Result<Response<Either<Full<Bytes>, RequestBody<Incoming>>>, Infallible> {
    Ok(Response::new(match request.uri().path() {
        "/echo" => Either::Right(request.into_body()),
        _ => Either::Left(Full::from("hello\n")),
    }))
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, gate: Gate) -> std::io::Result<()> {
    let service = PouwLayer::new(gate).layer(service_fn(respond));
    loop {
        let (stream, peer) = listener.accept().await?;
        let service = service.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(PeerAddr(peer));
            request
        });
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new();
            // A client that is still sending a long body can read the refusal.
            let stream = TokioIo::new(Linger::new(stream));
            if let Err(error) = connection.serve_connection(stream, TowerToHyperService::new(service)).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

#[tokio::main]
#[allow(dead_code, reason = "tests use what is above only")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(directory), Some(address)) = (args.next(), args.next()) else {
        return Err("usage: hyper DIRECTORY ADDRESS, like: hyper pouw-data 127.0.0.1:3000".into());
    };
    // A real service keeps its secret outside the program.
    let gate = Gate::open(directory, "a secret of thirty-two bytes or more")?;
    gate.engine().ingest_bytes(&IngestOptions::new(Exposure::Public), "sample", &vec![7; 1 << 20])?;
    serve(TcpListener::bind(address).await?, gate).await?;
    Ok(())
}
