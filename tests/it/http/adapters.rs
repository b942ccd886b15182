//! The adapters in process, without sockets: readiness, bodies, trailers, bytes in flight, callers that go away.
use std::convert::Infallible;
use std::future::{Future, Ready, poll_fn, ready};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::support::house::{clock, config, on_disk};
use crate::support::work::{solve, unit_in};
use actix_web::dev::{Service as ActixService, ServiceResponse};
use actix_web::{App, HttpResponse, test as actix_test, web};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Body, Bytes, Frame};
use pouw::actix::PouwTransform;
use pouw::internal::gate::{Facts, decide};
use pouw::internal::store::sim::SimDisk;
use pouw::protocol::{WorkResult, header};
use pouw::tower::{PouwLayer, PouwService, RequestBody, ResponseBody, SlowReader};
use pouw::{
    AuthenticatedUser, ClientKey, Decision, FakeClock, Gate, GateConfig, GateConfigBuilder, IdentifierStrategy,
    NetworkPrefix, PeerAddr, ValidatedApiKey,
};
use quickcheck::quickcheck;
use tower::{Layer, Service};

const WRITE_TIMEOUT_MS: u64 = 500;

/// A gate that admits one request and hands out made-up work without a floor.
fn gate_with(change: fn(GateConfigBuilder) -> GateConfigBuilder) -> Gate {
    gate_at(&clock(), change)
}

fn gate_at(clock: &Arc<FakeClock>, change: fn(GateConfigBuilder) -> GateConfigBuilder) -> Gate {
    let engine = on_disk(&SimDisk::new(), clock, config());
    let builder =
        GateConfig::builder().rate_limit(1).window(Duration::from_millis(3_600_000)).paid_admissions_per_window(1_000);
    Gate::new(engine, change(builder.write_timeout(Duration::from_millis(WRITE_TIMEOUT_MS))).build().unwrap()).unwrap()
}

fn gate() -> Gate {
    gate_with(|config| config)
}

fn solved_unit(problem: &[u8]) -> WorkResult {
    solve(&unit_in(problem).expect("a unit"))
}

type Chunks = StreamBody<futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

/// Echoes bodies with their trailers. A clone is not ready before it was asked, and no longer after a call.
#[derive(Debug, Default)]
struct Echo {
    ready: bool,
}

impl Clone for Echo {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<B: Body> Service<Request<RequestBody<B>>> for Echo
where
    RequestBody<B>: Body,
{
    type Response = Response<RequestBody<B>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody<B>>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called before it was ready");
        let mut response = Response::new(request.into_body());
        response.headers_mut().insert(header::RATELIMIT_LIMIT, "handler".parse().unwrap());
        ready(Ok(response))
    }
}

type Gated = PouwService<Echo>;

fn gated(gate: &Gate) -> Gated {
    PouwLayer::new(gate.clone()).layer(Echo::default())
}

async fn call<B>(service: &mut Gated, request: Request<B>) -> Response<ResponseBody<RequestBody<B>>>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    poll_fn(|context| Service::<Request<B>>::poll_ready(service, context)).await.unwrap();
    service.call(request).await.unwrap()
}

fn get() -> Request<Empty<Bytes>> {
    Request::new(Empty::new())
}

async fn bytes<B: Body<Data = Bytes, Error: std::fmt::Debug>>(response: Response<B>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

/// Uses up the limit and solves the challenge.
async fn solved(service: &mut Gated) -> WorkResult {
    assert_eq!(call(service, get()).await.status(), 200);
    challenge(service).await
}

async fn challenge(service: &mut Gated) -> WorkResult {
    let refused = call(service, get()).await;
    assert_eq!(refused.status(), 429);
    solved_unit(&bytes(refused).await)
}

fn post(result: &WorkResult, cuts: &[usize]) -> (Request<Chunks>, Vec<u8>, HeaderMap) {
    let body = format!("{{\"payload\":\"{}\",\"workResult\":{}}}", "p".repeat(700), result.to_json()).into_bytes();
    let (mut frames, mut rest) = (Vec::new(), Bytes::from(body.clone()));
    for cut in cuts {
        frames.push(Ok(Frame::data(rest.split_to(cut % (rest.len() + 1)))));
    }
    let trailers: HeaderMap = [("x-checksum".parse().unwrap(), "7".parse().unwrap())].into_iter().collect();
    frames.extend([Ok(Frame::data(rest)), Ok(Frame::trailers(trailers.clone()))]);
    let stream = StreamBody::new(futures_util::stream::iter(frames));
    let request = Request::post("/").header(header::RESPONSE, &result.challenge_token).body(stream).unwrap();
    (request, body, trailers)
}

quickcheck! {
    fn a_body_the_gate_had_to_see_reaches_the_service_byte_for_byte_with_its_trailers(cuts: Vec<usize>) -> bool {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let mut service = gated(&gate());
            let result = solved(&mut service).await;
            let (request, body, trailers) = post(&result, &cuts);
            let response = call(&mut service, request).await;
            assert_eq!(response.headers()[header::ACCEPTED], "true");
            let echoed = response.into_body().collect().await.unwrap();
            assert_eq!(echoed.trailers(), Some(&trailers));
            assert_eq!(echoed.to_bytes(), body);
        });
        true
    }
}

quickcheck! {
    fn property_18_through_an_adapter_every_response_carries_the_same_numeric_headers_as_from_the_gate(
        requests: Vec<(u8, u16)>
    ) -> bool {
        let clock = clock();
        let few = |config: GateConfigBuilder| config.rate_limit(3).window(Duration::from_millis(60_000));
        let (behind, plain) = (gate_at(&clock, few), gate_at(&clock, few));
        let mut service = gated(&behind);
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            for (client, pause) in requests {
                clock.advance(Duration::from_millis(pause.into()));
                let address = IpAddr::from([192, 0, 2, client % 4]);
                let mut request = get();
                request.extensions_mut().insert(PeerAddr((address, 80).into()));
                let response = call(&mut service, request).await;
                let facts = Facts::new(ClientKey::of_address(address, 64), NetworkPrefix::of(Some(address)));
                let (status, expected) = match decide(&plain, facts).wait() {
                    Decision::Pass(pass) => (200, pass.headers(&plain)),
                    Decision::Refuse(refusal) => (refusal.status, refusal.headers),
                };
                assert_eq!(response.status(), status);
                for (name, value) in expected.iter().filter(|(name, _)| *name != header::CHALLENGE) {
                    assert_eq!(response.headers()[name], value, "{name}");
                }
                for name in [header::RATELIMIT_LIMIT, header::RATELIMIT_REMAINING, header::RATELIMIT_RESET] {
                    assert!(response.headers()[name].to_str().unwrap().parse::<u64>().is_ok(), "{name}");
                }
            }
        });
        true
    }
}

quickcheck! {
    fn property_18_through_actix_every_response_carries_the_same_numeric_headers_as_from_the_gate(
        requests: Vec<(u8, u16)>
    ) -> bool {
        let clock = clock();
        let few = |config: GateConfigBuilder| config.rate_limit(3).window(Duration::from_millis(60_000));
        let (behind, plain) = (gate_at(&clock, few), gate_at(&clock, few));
        actix_web::rt::System::new().block_on(async {
            let app = App::new().wrap(PouwTransform::new(behind)).route("/", web::get().to(HttpResponse::Ok));
            let app = actix_test::init_service(app).await;
            for (client, pause) in requests {
                clock.advance(Duration::from_millis(pause.into()));
                let address = IpAddr::from([192, 0, 2, client % 4]);
                let request = actix_test::TestRequest::get().peer_addr((address, 80).into());
                let response = actix_test::call_service(&app, request.to_request()).await;
                let facts = Facts::new(ClientKey::of_address(address, 64), NetworkPrefix::of(Some(address)));
                let (status, expected) = match decide(&plain, facts).wait() {
                    Decision::Pass(pass) => (200, pass.headers(&plain)),
                    Decision::Refuse(refusal) => (refusal.status, refusal.headers),
                };
                assert_eq!(response.status().as_u16(), status);
                for (name, value) in expected.iter().filter(|(name, _)| *name != header::CHALLENGE) {
                    assert_eq!(response.headers().get(name).unwrap(), value, "{name}");
                }
                for name in [header::RATELIMIT_LIMIT, header::RATELIMIT_REMAINING, header::RATELIMIT_RESET] {
                    assert!(response.headers().get(name).unwrap().to_str().unwrap().parse::<u64>().is_ok(), "{name}");
                }
            }
        });
        true
    }
}

#[tokio::test]
async fn the_gates_headers_win_and_a_service_is_called_only_when_ready_in_every_way_through() {
    let gate = gate();
    let mut service = gated(&gate);
    let by_header = solved(&mut service).await;
    let compact = by_header.to_compact();
    let request = Request::builder()
        .header(header::RESPONSE, &by_header.challenge_token)
        .header(header::RESULT, compact)
        .body(Empty::<Bytes>::new())
        .unwrap();
    let response = call(&mut service, request).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()[header::RATELIMIT_LIMIT], "1");
    let by_body = challenge(&mut service).await;
    assert_eq!(call(&mut service, post(&by_body, &[]).0).await.status(), 200);
    assert_eq!(gate.stats().completed, 2);
}

#[tokio::test]
async fn bytes_of_a_challenge_stay_in_flight_until_the_server_has_let_go_of_all_of_them() {
    let gate = gate();
    let mut service = gated(&gate);
    drop(call(&mut service, get()).await);
    let mut body = pin!(call(&mut service, get()).await.into_body());
    let mut taken = Vec::new();
    while let Some(frame) = body.as_mut().frame().await {
        taken.push(frame.unwrap().into_data().unwrap());
    }
    let all: usize = taken.iter().map(Bytes::len).sum();
    assert!(body.is_end_stream() && taken.iter().all(|frame| frame.len() <= 16 << 10));
    while let Some(frame) = taken.pop() {
        assert!(gate.stats().bytes_in_flight >= all as u64, "{:?}", gate.stats());
        drop(frame);
    }
    assert_eq!(gate.stats().bytes_in_flight, 0);
    drop(call(&mut service, get()).await);
    assert_eq!(gate.stats().bytes_in_flight, 0, "a response nobody read");
}

#[tokio::test(start_paused = true)]
async fn a_challenge_that_is_not_read_in_time_breaks_off_and_leaves_nothing_in_flight() {
    let gate = gate();
    let mut service = gated(&gate);
    drop(call(&mut service, get()).await);
    let mut body = pin!(call(&mut service, get()).await.into_body());
    tokio::time::advance(Duration::from_millis(WRITE_TIMEOUT_MS + 1)).await;
    let error = body.as_mut().frame().await.unwrap().unwrap_err();
    assert!(error.is::<SlowReader>(), "{error}");
    assert_eq!(gate.stats().bytes_in_flight, 0);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn an_answer_is_judged_to_the_end_when_its_caller_has_gone() {
    let gate = gate();
    let mut service = gated(&gate);
    let result = solved(&mut service).await;
    let mut going: Pin<Box<dyn Future<Output = _>>> = Box::pin(call(&mut service, post(&result, &[1]).0));
    // The body is there at once, so one poll is enough to have the answer judged.
    let _ = going.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    drop(going);
    let started = Instant::now();
    while gate.engine().stats().ledger_entries == 0 {
        assert!(started.elapsed() < Duration::from_secs(30), "it was dropped with its caller");
        tokio::task::yield_now().await;
    }
    assert_eq!(call(&mut service, post(&result, &[]).0).await.status(), 403, "it was used");
}

#[tokio::test]
async fn what_the_host_knows_of_a_caller_comes_from_extensions_and_never_from_headers() {
    let users = gate_with(|config| config.identifier_strategy(IdentifierStrategy::User));
    let keys = gate_with(|config| config.identifier_strategy(IdentifierStrategy::ApiKey));
    let peers = gate_with(|config| config.identifier_strategy(IdentifierStrategy::Ip));
    for name in ["a", "b"] {
        let address = if name == "a" { "192.0.2.1:80" } else { "192.0.2.2:80" };
        for (gate, expected) in [(&users, [200, 429]), (&keys, [200, 429]), (&peers, [200, 429])] {
            for status in expected {
                let mut request = get();
                request.extensions_mut().insert(AuthenticatedUser(name.into()));
                request.extensions_mut().insert(ValidatedApiKey(name.into()));
                request.extensions_mut().insert(PeerAddr(address.parse().unwrap()));
                request.headers_mut().insert("authorization", "other".parse().unwrap());
                assert_eq!(call(&mut gated(gate), request).await.status(), status);
            }
        }
    }
    // Without any of them everybody is one client.
    assert_eq!(call(&mut gated(&users), get()).await.status(), 200);
    assert_eq!(call(&mut gated(&users), get()).await.status(), 429);
}

#[actix_web::test]
async fn in_actix_an_inner_error_has_the_gates_headers_too() {
    let refuse = |_, _: &_| ready(Err::<ServiceResponse, _>(actix_web::error::ErrorUnauthorized("who are you")));
    let app = App::new().wrap_fn(refuse).wrap(PouwTransform::new(gate()));
    let app = actix_test::init_service(app.route("/", web::get().to(HttpResponse::Ok))).await;
    let error = app.call(actix_test::TestRequest::get().to_request()).await.unwrap_err();
    let response = error.error_response();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers().get(header::RATELIMIT_REMAINING).unwrap(), "0");
}

#[actix_web::test]
async fn in_actix_a_body_without_a_length_is_seen_and_put_back_and_a_peer_may_be_named() {
    let app = App::new().wrap(PouwTransform::new(gate()));
    let app = actix_test::init_service(app.route("/", web::to(|body: Bytes| async { body }))).await;
    let named = |request: actix_test::TestRequest, peer: &str| {
        let mut request = request.to_request();
        request.headers_mut().remove("content-length");
        actix_web::HttpMessage::extensions_mut(&request).insert(PeerAddr(peer.parse().unwrap()));
        request
    };
    for peer in ["192.0.2.1:80", "192.0.2.2:80"] {
        let first = actix_test::call_service(&app, named(actix_test::TestRequest::get(), peer)).await;
        assert_eq!(first.status(), 200);
        let refused = actix_test::call_service(&app, named(actix_test::TestRequest::get(), peer)).await;
        assert_eq!(refused.status(), 429);
        let result = solved_unit(&actix_test::read_body(refused).await);
        let body = format!("{{\"workResult\":{}}}", result.to_json());
        // As over HTTP/2: nothing in the head tells that a body follows.
        let answer = actix_test::TestRequest::post()
            .insert_header((header::RESPONSE, result.challenge_token.as_str()))
            .set_payload(body.clone());
        let response = actix_test::call_service(&app, named(answer, peer)).await;
        assert_eq!(response.headers().get(header::ACCEPTED).unwrap(), "true");
        assert_eq!(actix_test::read_body(response).await, body);
    }
}

#[tokio::test]
async fn a_body_that_is_full_at_once_says_how_long_it_is() {
    let mut service = gated(&gate());
    let result = solved(&mut service).await;
    let body = Full::new(Bytes::from(format!("{{\"workResult\":{}}}", result.to_json())));
    let expected = body.size_hint().exact();
    let request = Request::post("/").header(header::RESPONSE, &result.challenge_token).body(body).unwrap();
    let response = call(&mut service, request).await;
    assert_eq!((response.status(), response.body().size_hint().exact()), (http::StatusCode::OK, expected));
}

#[actix_web::test]
async fn in_actix_another_spelling_of_a_route_is_under_the_same_policy() {
    let clock = clock();
    let strict = |config: GateConfigBuilder| {
        config.rate_limit(100).policy(pouw::Policy::new("upload", 1, Duration::from_millis(60_000)).route("/upload"))
    };
    let app =
        App::new().wrap(PouwTransform::new(gate_at(&clock, strict))).route("/upload", web::get().to(HttpResponse::Ok));
    let app = actix_test::init_service(app).await;
    for (path, status) in [("/upload", 200), ("/upload", 429), ("/%75pload", 429), ("/uploa%64", 429)] {
        let request = actix_test::TestRequest::get().uri(path).peer_addr(([192, 0, 2, 1], 80).into());
        let response = actix_test::call_service(&app, request.to_request()).await;
        assert_eq!(response.status().as_u16(), status, "{path}");
    }
}
