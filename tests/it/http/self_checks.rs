//! The self-checks of a gate through the adapters: what they see of requests and of the service's responses.
use std::convert::Infallible;
use std::future::ready;

use actix_web::body::MessageBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use actix_web::{App, HttpResponse, test as actix_test, web};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use pouw::actix::PouwTransform;
use pouw::protocol::header;
use pouw::tower::PouwLayer;
use pouw::{Gate, GateConfig, PeerAddr, SelfCheck};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::house::{clock, config, on_disk};
use crate::support::work::{solve, unit_in};
use pouw::internal::store::sim::SimDisk;

const PEER: [u8; 4] = [192, 0, 2, 7];
const CORS: (&str, &str) = ("access-control-allow-origin", "*");

/// A gate that admits one request, and hands out made-up work without a floor.
fn gate(strict: bool) -> Gate {
    let engine = on_disk(&SimDisk::new(), &clock(), config());
    let config = GateConfig::builder().rate_limit(1).paid_admissions_per_window(100).strict_checks(strict);
    Gate::new(engine, config.build().unwrap()).unwrap()
}

/// What a client sees: the status, the reason if there is one, and the body.
type Seen = (u16, Option<String>, Vec<u8>);

fn seen(status: u16, body: Vec<u8>) -> Seen {
    let document = serde_json::from_slice::<serde_json::Value>(&body).ok();
    let reason = document.and_then(|document| Some(document["reason"].as_str()?.to_owned()));
    (status, reason, body)
}

/// One request through tower to a service that answers with `status` and `headers`.
async fn by_tower(gate: &Gate, request: Request<Full<Bytes>>, status: u16, headers: &[(&str, &str)]) -> Seen {
    let response = tower_response(gate, request, status, headers).await;
    let status = response.status().as_u16();
    seen(status, response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

async fn tower_response(
    gate: &Gate,
    request: Request<Full<Bytes>>,
    status: u16,
    headers: &[(&str, &str)],
) -> Response<pouw::tower::ResponseBody<Full<Bytes>>> {
    let service = service_fn(move |_| {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        ready(Ok::<_, Infallible>(response.body(Full::new(Bytes::new())).unwrap()))
    });
    PouwLayer::new(gate.clone()).layer(service).oneshot(request).await.unwrap()
}

fn from_peer(mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    request.extensions_mut().insert(PeerAddr((PEER, 80).into()));
    request
}

fn get() -> Request<Full<Bytes>> {
    from_peer(Request::new(Full::default()))
}

/// The same through actix.
async fn by_actix(gate: &Gate, request: TestRequest, status: u16, headers: &'static [(&str, &str)]) -> Seen {
    let response = actix_response(gate, request, status, headers).await;
    let status = response.status().as_u16();
    seen(status, actix_test::read_body(response).await.to_vec())
}

async fn actix_response(
    gate: &Gate,
    request: TestRequest,
    status: u16,
    headers: &'static [(&str, &str)],
) -> ServiceResponse<impl MessageBody> {
    let service = move || async move {
        let mut response = HttpResponse::build(StatusCode::from_u16(status).unwrap());
        for header in headers {
            response.insert_header(*header);
        }
        response.finish()
    };
    let app = App::new().wrap(PouwTransform::new(gate.clone())).route("/", web::to(service));
    let app = actix_test::init_service(app).await;
    actix_test::call_service(&app, request.peer_addr((PEER, 80).into()).to_request()).await
}

/// The headers of a gRPC refusal: status, HTTP status, content type.
fn grpc_of<'h>(
    status: u16,
    header: impl Fn(&'static str) -> Option<&'h str>,
) -> (u16, Option<&'h str>, Option<&'h str>) {
    (status, header("grpc-status"), header("content-type"))
}

fn misconfigured(seen: &Seen, check: SelfCheck) -> bool {
    let text = String::from_utf8_lossy(&seen.2);
    seen.0 == 500 && seen.1.as_deref() == Some("misconfigured") && text.contains(check.as_str())
}

#[tokio::test]
async fn a_request_without_a_peer_is_found_by_the_gate_behind_every_adapter() {
    for strict in [false, true] {
        let gate = gate(strict);
        let seen = by_tower(&gate, Request::new(Full::default()), 200, &[]).await;
        assert_eq!(misconfigured(&seen, SelfCheck::NoPeer), strict, "{seen:?}");
        assert_eq!(seen.0 == 200, !strict, "{seen:?}");
        assert_eq!(gate.misconfigurations(), [SelfCheck::NoPeer]);
    }
}

#[test]
fn cors_inside_of_the_gate_is_found_in_the_first_response_that_has_it() {
    actix_web::rt::System::new().block_on(async {
        for strict in [false, true] {
            for actix in [false, true] {
                let gate = gate(strict);
                let seen = if actix {
                    by_actix(&gate, TestRequest::get(), 200, &[CORS]).await
                } else {
                    by_tower(&gate, get(), 200, &[CORS]).await
                };
                assert_eq!(misconfigured(&seen, SelfCheck::CorsInside), strict, "actix {actix}: {seen:?}");
                assert_eq!(seen.0 == 200, !strict, "actix {actix}: {seen:?}");
                assert_eq!(gate.misconfigurations(), [SelfCheck::CorsInside], "actix {actix}");
            }
            let gate = gate(strict);
            assert_eq!(by_tower(&gate, get(), 200, &[]).await.0, 200);
            assert_eq!(gate.misconfigurations(), []);
        }
    });
}

#[test]
fn a_service_that_refuses_a_body_the_gate_has_read_is_found() {
    actix_web::rt::System::new().block_on(async {
        for (strict, actix) in [(false, false), (false, true), (true, false), (true, true)] {
            let gate = gate(strict);
            let send = async |token: Option<&str>, body: &str, status: u16| {
                let token = token.unwrap_or("none");
                let name = if token == "none" { "x-own" } else { header::RESPONSE };
                if actix {
                    let request = TestRequest::post().insert_header((name, token)).set_payload(body.to_owned());
                    return by_actix(&gate, request, status, &[]).await;
                }
                let request = Request::post("/").header(name, token).body(Full::from(body.to_owned()));
                by_tower(&gate, from_peer(request.unwrap()), status, &[]).await
            };
            // A service may refuse a body that the gate had no reason to read.
            assert_eq!(send(None, "", 413).await.0, 413);
            let (status, _, body) = send(None, "", 200).await;
            assert_eq!((status, gate.misconfigurations()), (429, vec![]));
            let result = solve(&unit_in(&body).expect("a unit"));
            let answer = format!("{{\"payload\":1,\"workResult\":{}}}", result.to_json());
            let seen = send(Some(&result.challenge_token), &answer, 413).await;
            assert_eq!(misconfigured(&seen, SelfCheck::BodyLimit), strict, "actix {actix}: {seen:?}");
            assert_eq!(seen.0 == 413, !strict, "actix {actix}: {seen:?}");
            assert_eq!(gate.misconfigurations(), [SelfCheck::BodyLimit], "actix {actix}");
        }
    });
}

#[test]
fn grpc_clients_get_every_refusal_in_their_form_through_every_adapter() {
    actix_web::rt::System::new().block_on(async {
        let grpc = ("content-type", "application/grpc");
        for actix in [false, true] {
            // In the place of the service's response, and instead of asking the service.
            for (strict, headers, code) in [(true, &[CORS][..], "13"), (false, &[], "8")] {
                let gate = gate(strict);
                if !strict {
                    by_tower(&gate, get(), 200, &[]).await;
                }
                if actix {
                    let request = TestRequest::post().insert_header(grpc);
                    let response = actix_response(&gate, request, 200, headers).await;
                    let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap());
                    let found = grpc_of(response.status().as_u16(), header);
                    assert_eq!(found, (200, Some(code), Some(grpc.1)), "actix");
                    assert!(actix_test::read_body(response).await.is_empty());
                    continue;
                }
                let request = Request::post("/").header(grpc.0, grpc.1).body(Full::default()).unwrap();
                let response = tower_response(&gate, from_peer(request), 200, headers).await;
                let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap());
                let found = grpc_of(response.status().as_u16(), header);
                assert_eq!(found, (200, Some(code), Some(grpc.1)), "tower");
                assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
            }
        }
    });
}
