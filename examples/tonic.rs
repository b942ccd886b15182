//! The gate in front of a gRPC service.
//!
//! cargo run --release --features tower --example tonic -- DIR 127.0.0.1:3000

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, Ready, ready};
use hyper::body::Bytes;
use pouw::tower::PouwLayer;
use pouw::{Exposure, Gate, IngestOptions};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::{TcpConnectInfo, TcpIncoming};
use tonic::{Request, Response, Status};
use tower::Service;

/// Messages as plain bytes. A real service has its codec from its `.proto` files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put(into, item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = bytes::Buf::remaining(from);
        Ok(Some(bytes::Buf::copy_to_bytes(from, length)))
    }
}

/// Sends back what it gets, as `/pouw.Echo/Send`.
#[derive(Debug, Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "pouw.Echo";
}

impl UnaryService<Bytes> for Echo {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move { Ok(Grpc::new(Plain).unary(Echo, request).await) })
    }
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, gate: Gate) -> Result<(), tonic::transport::Error> {
    let layer = PouwLayer::new(gate).with_peer(|extensions| {
        let peer = extensions.get::<TcpConnectInfo>()?.remote_addr()?;
        Some(peer.ip())
    });
    Server::builder().layer(layer).add_service(Echo).serve_with_incoming(TcpIncoming::from(listener)).await
}

#[tokio::main]
#[allow(dead_code, reason = "tests use what is above only")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(directory), Some(address)) = (args.next(), args.next()) else {
        return Err("usage: tonic DIRECTORY ADDRESS, like: tonic pouw-data 127.0.0.1:3000".into());
    };
    // A real service keeps its secret outside the program.
    let gate = Gate::open(directory, "a secret of thirty-two bytes or more")?;
    gate.engine().ingest_bytes(&IngestOptions::new(Exposure::Public), "sample", &vec![7; 1 << 20])?;
    serve(TcpListener::bind(address).await?, gate).await?;
    Ok(())
}
