//! The gate in front of a gRPC service, and a client that gets through over its limit: by work, or
//! by waiting.
//!
//! cargo run --release --features tower --example tonic -- DIR 127.0.0.1:3000
//!
//! cargo run --release --features tower --example tonic -- call http://127.0.0.1:3000 hello

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{BoxFuture, Ready, ready};
use hyper::body::Bytes;
use pouw::protocol::{WorkUnit, header};
use pouw::solver::compute_work_unit_timed;
use pouw::tower::PouwLayer;
use pouw::{Exposure, Gate, IngestOptions};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::client::Grpc as Client;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::server::{TcpConnectInfo, TcpIncoming};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status};
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

/// Most calls made for one.
const CALLS_MAX: usize = 4;

/// Calls `/pouw.Echo/Send`. Over the limit it computes the unit in the metadata of the refusal, if
/// `works`, or waits for the time in the `RetryInfo`, and calls again. `sleep` does the waiting.
pub async fn call(
    channel: Channel,
    message: Bytes,
    works: bool,
    sleep: impl AsyncFn(Duration),
) -> Result<Response<Bytes>, Status> {
    let mut client = Client::new(channel);
    let mut metadata = MetadataMap::new();
    for last in 1.. {
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut request = Request::new(message.clone());
        *request.metadata_mut() = metadata.clone();
        if works {
            request.metadata_mut().insert(header::ACCEPT, AsciiMetadataValue::from_static("subtree_hash"));
        }
        let path = http::uri::PathAndQuery::from_static("/pouw.Echo/Send");
        let status = match client.unary(request, path, Plain).await {
            Err(status) if status.code() == Code::ResourceExhausted && last < CALLS_MAX => status,
            done => return done,
        };
        metadata.clear();
        match (status.metadata().get(header::UNIT), retry_delay(status.details())) {
            (Some(unit), _) => {
                let unit = WorkUnit::from_json(unit.as_bytes()).map_err(|error| Status::internal(error.to_string()))?;
                // A long unit belongs on a thread for blocking work; this one has 4 KiB at most.
                let result = compute_work_unit_timed(&unit, |_| ControlFlow::Continue(()))
                    .map_err(|error| Status::internal(error.to_string()))?;
                for (name, value) in
                    [(header::RESPONSE, result.challenge_token.clone()), (header::RESULT, result.to_compact())]
                {
                    let value =
                        value.parse().map_err(|_| Status::internal(format!("`{name}` is not visible ASCII")))?;
                    metadata.insert(name, value);
                }
                sleep(Duration::from_millis(unit.wait_ms)).await;
            }
            (None, Some(delay)) => sleep(delay).await,
            (None, None) => return Err(status),
        }
    }
    unreachable!("the last call returns")
}

/// Returns the delay of the `RetryInfo` in a `google.rpc.Status`, in whole seconds. The crate
/// `tonic-types` reads it too.
fn retry_delay(details: &[u8]) -> Option<Duration> {
    let any = fields(details).filter(|(field, _)| *field == 3).find_map(|(_, any)| {
        let is_retry = fields(any).any(|(field, name)| field == 1 && name.ends_with(b"/google.rpc.RetryInfo"));
        fields(any).find(|(field, _)| is_retry && *field == 2).map(|(_, value)| value)
    })?;
    let (_, delay) = fields(any).find(|(field, _)| *field == 1)?;
    let seconds = delay.strip_prefix(&[1 << 3]).and_then(varint)?.0;
    Some(Duration::from_secs(seconds))
}

/// Returns the numbers and contents of the fields of a message that have a length; others are
/// skipped.
fn fields(message: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut rest = message;
    std::iter::from_fn(move || {
        loop {
            let (key, after) = varint(rest)?;
            let (number, after) = varint(after)?;
            rest = after;
            match key & 7 {
                0 => {}
                2 => {
                    let (content, after) = rest.split_at_checked(usize::try_from(number).ok()?)?;
                    rest = after;
                    return Some((key >> 3, content));
                }
                _ => return None,
            }
        }
    })
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = bytes.iter().take(9).position(|byte| byte & 0x80 == 0)? + 1;
    let number = bytes[..length].iter().rev().fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f));
    Some((number, &bytes[length..]))
}

#[tokio::main]
#[allow(dead_code, reason = "tests use what is above only")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["call", address, message] => {
            let channel = Endpoint::from_shared(address.to_owned())?.connect().await?;
            let message = Bytes::copy_from_slice(message.as_bytes());
            let reply = call(channel, message, true, tokio::time::sleep).await?;
            println!("{}", String::from_utf8_lossy(reply.get_ref()));
        }
        [directory, address] => {
            // A real service keeps its secret outside the program.
            let gate = Gate::open(directory, "a secret of thirty-two bytes or more")?;
            gate.engine().ingest_bytes(&IngestOptions::new(Exposure::Public), "sample", &vec![7; 1 << 20])?;
            serve(TcpListener::bind(address).await?, gate).await?;
        }
        _ => return Err("usage: tonic DIRECTORY ADDRESS, or tonic call URL MESSAGE".into()),
    }
    Ok(())
}
