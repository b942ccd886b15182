//! The gate in front of an actix-web service.
//!
//! cargo run --release --features actix --example actix -- DIR 127.0.0.1:3000

use std::net::TcpListener;

use actix_web::{App, HttpResponse, HttpServer, web};
use pouw::actix::PouwTransform;
use pouw::{Exposure, Gate, IngestOptions};

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, gate: Gate) -> std::io::Result<()> {
    let app = move || {
        App::new()
            .wrap(PouwTransform::new(gate.clone()))
            .route("/hello", web::get().to(|| async { "hello\n" }))
            .route("/echo", web::post().to(|body: web::Payload| async { HttpResponse::Ok().streaming(body) }))
    };
    HttpServer::new(app).workers(2).listen(listener)?.run().await
}

#[actix_web::main]
#[allow(dead_code, reason = "tests use what is above only")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(directory), Some(address)) = (args.next(), args.next()) else {
        return Err("usage: actix DIRECTORY ADDRESS, like: actix pouw-data 127.0.0.1:3000".into());
    };
    // A real service keeps its secret outside the program.
    let gate = Gate::open(directory, "a secret of thirty-two bytes or more")?;
    gate.engine().ingest_bytes(&IngestOptions::new(Exposure::Public), "sample", &vec![7; 1 << 20])?;
    serve(TcpListener::bind(address)?, gate).await?;
    Ok(())
}
