//! A gRPC client over its limit, with tonic on both sides.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::body::Bytes;
use pouw::internal::store::sim::SimDisk;
use pouw::protocol::{WorkUnit, header};
use pouw::{Exposure, FakeClock, Gate, GateConfig, GateConfigBuilder, IngestOptions, PouwEngine};
use tokio::net::TcpListener;
use tonic::client::Grpc;
use tonic::metadata::{KeyAndValueRef, MetadataMap};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use crate::support::house::{clock, config, on_disk};
use crate::support::work::solve;

use tonic_example::Plain;

#[path = "../../../examples/tonic.rs"]
mod tonic_example;

const METHOD: &str = "/pouw.Echo/Send";
const WINDOW: Duration = Duration::from_secs(300);

/// A client of a served gate with a limit of one request.
struct Client {
    channel: Channel,
    clock: Arc<FakeClock>,
    gate: Gate,
}

impl Client {
    async fn new(change: fn(GateConfigBuilder) -> GateConfigBuilder) -> Self {
        Self::over(change, |_| {}).await
    }

    /// A client of a gate over an engine that was prepared.
    async fn over(change: fn(GateConfigBuilder) -> GateConfigBuilder, prepare: fn(&PouwEngine)) -> Self {
        let clock = clock();
        let engine = on_disk(&SimDisk::new(), &clock, config());
        prepare(&engine);
        let settings = change(GateConfig::builder().rate_limit(1).window(WINDOW).paid_admissions_per_window(1_000));
        let gate = Gate::new(engine, settings.build().unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(tonic_example::serve(listener, gate.clone()));
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Self { channel: endpoint.connect().await.unwrap(), clock, gate }
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

    /// Calls as the client of the example does, on the gate's clock. Returns the waits too.
    async fn example(&self, works: bool) -> (Result<Response<Bytes>, Status>, Vec<Duration>) {
        let waits = Mutex::new(Vec::new());
        let wait = async |time| {
            waits.lock().unwrap().push(time);
            self.clock.advance(time);
        };
        let called = tonic_example::call(self.channel.clone(), Bytes::from_static(b"hello"), works, wait).await;
        (called, waits.into_inner().unwrap())
    }

    /// Challenges that the gate has issued.
    fn issued(&self) -> u64 {
        let issued = self.gate.stats().issued;
        issued.low + issued.medium + issued.high
    }
}

const ABLE: (&str, &str) = (header::ACCEPT, "subtree_hash");

/// Bytes of a response's metadata, as HTTP/2 counts them, without those that tonic takes away.
fn listed(metadata: &MetadataMap) -> usize {
    let listed = |entry: KeyAndValueRef<'_>| match entry {
        KeyAndValueRef::Ascii(name, value) => name.as_str().len() + value.as_encoded_bytes().len() + 32,
        KeyAndValueRef::Binary(name, value) => name.as_str().len() + value.as_encoded_bytes().len() + 32,
    };
    metadata.iter().map(listed).sum()
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
    assert!(status.message().contains("brings no result of work"), "{status:?}");
    let retry: u64 = text(status.metadata(), "retry-after").parse().unwrap();
    assert!(retry > 0 && retry_seconds(status.details()) == retry, "{status:?}");
    assert!(status.details().windows(13).any(|window| window == b"CANNOT_ANSWER"));
    assert_eq!((client.issued(), status.metadata().get(header::CHALLENGE)), (0, None), "it did not ask for work");
    assert_eq!(text(status.metadata(), "x-ratelimit-remaining"), "0");
    client.clock.advance(2 * WINDOW);
    assert_eq!(client.call(message.clone(), &[]).await.unwrap().get_ref(), &message);
}

#[tokio::test]
async fn a_grpc_client_that_can_answer_gets_token_and_unit_in_metadata_and_through_by_its_result() {
    let client = Client::new(|config| config).await;
    client.call(Bytes::new(), &[]).await.unwrap();
    let status = client.refused(&[ABLE]).await;
    assert!(status.message().starts_with("Over the limit. Compute workUnit"), "{status:?}");
    let unit = WorkUnit::from_json(text(status.metadata(), header::UNIT).as_bytes()).unwrap();
    assert_eq!(text(status.metadata(), header::CHALLENGE), unit.challenge_token);
    let result = solve(&unit);
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
async fn the_client_of_the_example_gets_through_by_work_and_by_waiting() {
    let client = Client::new(|config| config).await;
    let (called, waits) = client.example(true).await;
    assert_eq!((called.unwrap().metadata().get(header::ACCEPTED), waits.len()), (None, 0));
    let (called, _) = client.example(true).await;
    assert_eq!((text(called.unwrap().metadata(), header::ACCEPTED), client.issued()), ("true", 1));
    let (called, waits) = client.example(false).await;
    let [wait] = waits[..] else { panic!("{waits:?}") };
    assert_eq!((called.unwrap().metadata().get(header::ACCEPTED), client.issued()), (None, 1));
    // A slot frees a window after the last request, in whole seconds rounded up.
    assert!(wait > WINDOW / 2 && wait <= WINDOW + Duration::from_secs(1), "{wait:?}");
}

#[tokio::test]
async fn a_unit_of_a_block_of_4_kib_fits_and_of_a_longer_one_there_is_no_challenge() {
    let blocks: [fn(&PouwEngine); 2] = [|engine| ingest(engine, 4_096), |engine| ingest(engine, 8_192)];
    for (prepare, fits) in blocks.into_iter().zip([true, false]) {
        let client = Client::over(|config| config.synthetic(false), prepare).await;
        client.call(Bytes::new(), &[]).await.unwrap();
        let status = client.refused(&[ABLE]).await;
        let unit = status.metadata().get(header::UNIT);
        let bytes = unit.map(|unit| WorkUnit::from_json(unit.as_bytes()).unwrap().input_data.len());
        assert_eq!((bytes, client.issued()), (fits.then_some(4_096), u64::from(fits)));
        // All but `content-type` and the three of gRPC, which take less than 1 KiB.
        assert!(listed(status.metadata()) < 7 << 10, "{}", listed(status.metadata()));
        let reason = if fits { &b"WORK_REQUIRED"[..] } else { b"CANNOT_ANSWER" };
        assert!(status.details().windows(13).any(|window| window == reason), "{status:?}");
        if fits {
            assert_eq!(text(client.example(true).await.0.unwrap().metadata(), header::ACCEPTED), "true");
        }
    }
}

fn ingest(engine: &PouwEngine, block_size: u64) {
    let options = IngestOptions::new(Exposure::Public).block_size(block_size);
    let bytes: Vec<u8> = (0..64 << 10).map(|at: u32| (at >> 9) as u8).collect();
    engine.ingest_bytes(&options, "blocks", &bytes).unwrap();
    engine.refill().unwrap();
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
