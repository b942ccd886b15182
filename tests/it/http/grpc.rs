//! A gRPC client over its limit, with tonic on both sides.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Bytes;
use pouw::internal::store::sim::SimDisk;
use pouw::protocol::{WorkResult, header};
use pouw::{FakeClock, Gate, GateConfig, GateConfigBuilder};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tower::{Service, ServiceExt};

use crate::support::house::{clock, config, on_disk};
use crate::support::work::{solve, unit_in};

use tonic_example::Plain;

#[path = "../../../examples/tonic.rs"]
mod tonic_example;

const METHOD: &str = "/pouw.Echo/Send";
const WINDOW: Duration = Duration::from_secs(300);

/// A client of a served gate with a limit of one request.
struct Client {
    channel: Channel,
    clock: Arc<FakeClock>,
}

impl Client {
    async fn new(change: fn(GateConfigBuilder) -> GateConfigBuilder) -> Self {
        let clock = clock();
        let engine = on_disk(&SimDisk::new(), &clock, config());
        let settings = change(GateConfig::builder().rate_limit(1).window(WINDOW).paid_admissions_per_window(1_000));
        let gate = Gate::new(engine, settings.build().unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(tonic_example::serve(listener, gate));
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Self { channel: endpoint.connect().await.unwrap(), clock }
    }

    /// Calls the method, with this metadata.
    async fn call(&self, message: Bytes, metadata: &[(&'static str, &str)]) -> Result<Response<Bytes>, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        let mut request = Request::new(message);
        for (name, value) in metadata {
            request.metadata_mut().insert(*name, value.parse().unwrap());
        }
        grpc.unary(request, METHOD.parse().unwrap(), Plain).await
    }

    async fn refused(&self, metadata: &[(&'static str, &str)]) -> Status {
        self.call(Bytes::from_static(b"hello"), metadata).await.unwrap_err()
    }

    /// Asks for the unit of a token, as an HTTP client, and answers it.
    async fn solved(&self, token: &str) -> WorkResult {
        let request = http::Request::post(METHOD).header(header::RESPONSE, token).body(Body::empty()).unwrap();
        let response = self.channel.clone().ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(response.status(), http::StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::CHALLENGE], token);
        solve(&unit_in(&response.into_body().collect().await.unwrap().to_bytes()).expect("a unit"))
    }
}

fn text<'m>(metadata: &'m MetadataMap, name: &str) -> &'m str {
    metadata.get(name).unwrap_or_else(|| panic!("no {name} in {metadata:?}")).to_str().unwrap()
}

/// The seconds of the RetryInfo in the details of a status.
fn retry_seconds(details: &[u8]) -> u64 {
    let name = b"type.googleapis.com/google.rpc.RetryInfo";
    let at = details.windows(name.len()).position(|window| window == name).expect("a RetryInfo") + name.len();
    // A field of the RetryInfo, its length, the delay, its length, the seconds.
    let [0x12, _, 0x0a, length, 0x08, seconds @ ..] = &details[at..] else { panic!("{:?}", &details[at..]) };
    assert_eq!(seconds.len() + 1, usize::from(*length));
    seconds.iter().rev().fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f))
}

#[tokio::test]
async fn a_grpc_client_over_its_limit_learns_why_and_when_and_gets_through_by_waiting() {
    let client = Client::new(|config| config).await;
    let message = Bytes::from_static(b"hello");
    let passed = client.call(message.clone(), &[]).await.unwrap();
    assert_eq!((text(passed.metadata(), "x-ratelimit-limit"), passed.get_ref()), ("1", &message));
    let status = client.refused(&[]).await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().starts_with("Over the limit. Compute workUnit"), "{status:?}");
    let retry: u64 = text(status.metadata(), "retry-after").parse().unwrap();
    assert!(retry > 0 && retry_seconds(status.details()) == retry, "{status:?}");
    assert!(status.details().windows(13).any(|window| window == b"WORK_REQUIRED"));
    assert_eq!(text(status.metadata(), "x-ratelimit-remaining"), "0");
    client.clock.advance(2 * WINDOW);
    assert_eq!(client.call(message.clone(), &[]).await.unwrap().get_ref(), &message);
}

#[tokio::test]
async fn a_grpc_client_gets_the_unit_of_its_token_over_http_and_through_by_its_result() {
    let client = Client::new(|config| config).await;
    client.call(Bytes::new(), &[]).await.unwrap();
    let status = client.refused(&[]).await;
    let result = client.solved(text(status.metadata(), header::CHALLENGE)).await;
    let (token, compact) = (result.challenge_token.clone(), result.to_compact());
    let answer = [(header::RESPONSE, token.as_str()), (header::RESULT, compact.as_str())];
    let passed = client.call(Bytes::from_static(b"paid"), &answer).await.unwrap();
    assert_eq!((text(passed.metadata(), header::ACCEPTED), &passed.get_ref()[..]), ("true", &b"paid"[..]));
    let replayed = client.refused(&answer).await;
    assert_eq!(replayed.code(), Code::PermissionDenied);
    assert!(replayed.message().starts_with("The token has been used already"), "{replayed:?}");
    let malformed = client.refused(&[(header::RESPONSE, "AAAA")]).await;
    assert_eq!(malformed.code(), Code::InvalidArgument, "{malformed:?}");
}

#[tokio::test]
async fn a_long_message_over_the_limit_is_refused_on_its_stream_and_the_connection_goes_on() {
    let client = Client::new(|config| config.drain_bytes(0)).await;
    client.call(Bytes::new(), &[]).await.unwrap();
    for _ in 0..20 {
        let status = client.call(Bytes::from(vec![b'x'; 3_000_000]), &[]).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    }
    client.clock.advance(2 * WINDOW);
    client.call(Bytes::new(), &[]).await.unwrap();
}
