//! The reqwest wrapper over sockets: against the gate, and against servers that break the rules.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::http::{Kind, Setup, Site};
use crate::support::scripted::{Heard, Said, Scripted, challenge, id, refusal, said, unit};
use crate::support::work::solve;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use pouw::Receipt;
use pouw::client::reqwest::Client;
use pouw::client::tower::SolveLayer;
use pouw::client::{ClientError, Report, Terms};
use pouw::protocol::{ByTier, WorkId, WorkUnit};
use tower::{Layer, ServiceExt};

const PROBLEM: (&str, &str) = ("Content-Type", "application/problem+json");

fn client(terms: Terms) -> Client {
    Client::new(http(), terms).unwrap()
}

/// A client that asks no proxy.
fn http() -> reqwest::ClientBuilder {
    // With TLS for `pouw fetch`, reqwest wants to know whose; the second test finds it known.
    #[cfg(feature = "fetch")]
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}

fn floors(ms: u64) -> Setup {
    // One function for each, since a setup holds no values.
    match ms {
        0 => Setup { engine: |config| config.floor(ByTier::all(Duration::ZERO)), ..Setup::default() },
        _ => Setup { engine: |config| config.floor(ByTier::all(Duration::from_millis(100))), ..Setup::default() },
    }
}

fn url(site: &Site, path: &str) -> String {
    format!("http://{}{path}", site.server.address)
}

#[tokio::test]
async fn under_the_limit_nothing_changes_and_over_it_a_request_gets_through_with_method_and_body() {
    let site = Site::new(Kind::Axum, &floors(0));
    let (receipts, challenges) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    let (keep, count) = (receipts.clone(), challenges.clone());
    let client = client(Terms::default()).on_report(move |report| match report {
        Report::Challenge(_) => _ = count.fetch_add(1, Ordering::Relaxed),
        Report::Accepted(accepted) => keep.lock().unwrap().push(*accepted),
        _ => {}
    });
    let first = client.get(url(&site, "/hello")).await.unwrap();
    assert_eq!((first.status().as_u16(), challenges.load(Ordering::Relaxed)), (200, 0));
    assert_eq!(first.headers().get("x-pouw-accepted"), None);

    let body = "a body of some bytes";
    let second = client.send(client.request(reqwest::Method::POST, url(&site, "/echo")).body(body)).await.unwrap();
    assert_eq!(second.url().path(), "/echo");
    assert_eq!(second.headers()["x-pouw-accepted"], "true");
    let award: u64 = second.headers()["x-pouw-joule-award"].to_str().unwrap().parse().unwrap();
    assert_eq!((second.status().as_u16(), second.text().await.unwrap().as_str()), (200, body));
    assert_eq!(challenges.load(Ordering::Relaxed), 1);
    let [accepted] = receipts.lock().unwrap()[..] else { panic!("one receipt") };
    assert_eq!(accepted.award.map(|award| award.0), Some(award));
    let Receipt::Accepted(entry) = site.engine.receipt(accepted.receipt).unwrap() else { panic!("not accepted") };
    assert_eq!(entry.amount.0, award);
}

#[tokio::test]
async fn the_layer_goes_around_the_client_of_hyper() {
    let site = Site::new(Kind::Hyper, &floors(0));
    site.hello(&[]);
    let plain: legacy::Client<_, Full<bytes::Bytes>> = legacy::Client::builder(TokioExecutor::new()).build_http();
    let client = SolveLayer::new(Terms::default()).layer(plain);
    for body in ["first", "second"] {
        let request = ::http::Request::post(url(&site, "/echo")).body(Full::from(body)).unwrap();
        let response = client.clone().oneshot(request).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-pouw-accepted"]),
            (200, &"true".parse().unwrap())
        );
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body);
    }
}

/// Makes a site's clock follow its client's, and counts challenges and how many were open at once.
fn followed(site: &Site, client: Client) -> (Client, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let (challenges, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, highest) = (challenges.clone(), most.clone());
    let (engine, clock) = (site.engine.clone(), site.clock.clone());
    let (begun, at) = (Instant::now(), AtomicU64::new(0));
    let client = client.on_report(move |report| {
        let mut now = begun.elapsed();
        match report {
            Report::Challenge(_) => {
                count.fetch_add(1, Ordering::Relaxed);
                highest.fetch_max(engine.stats().leases, Ordering::Relaxed);
            }
            Report::Waiting { time, .. } => now += time,
            _ => {}
        }
        let now = now.as_millis() as u64 + 1;
        clock.advance(Duration::from_millis(now.saturating_sub(at.fetch_max(now, Ordering::Relaxed))));
    });
    (client, challenges, most)
}

async fn burst(client: &Client, url: &str) -> Vec<u16> {
    let one = |client: Client, url: String| async move { client.get(url).await.unwrap().status().as_u16() };
    let burst: Vec<_> = (0..20).map(|_| tokio::spawn(one(client.clone(), url.to_owned()))).collect();
    let mut statuses = Vec::new();
    for one in burst {
        statuses.push(one.await.unwrap());
    }
    statuses
}

#[tokio::test]
async fn a_limited_client_has_one_challenge_open_at_a_time_and_all_get_through() {
    let site = Site::new(Kind::Axum, &floors(100));
    let (client, challenges, most) = followed(&site, client(Terms::default()));
    let url = url(&site, "/hello");
    assert_eq!(client.get(&url).await.unwrap().status(), 200);
    let begun = Instant::now();
    assert_eq!(burst(&client, &url).await, [200; 20]);
    assert_eq!((challenges.load(Ordering::Relaxed), most.load(Ordering::Relaxed)), (20, 1));
    // One floor after the other.
    assert!(begun.elapsed() >= Duration::from_millis(90 * 20), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_burst_before_the_first_sign_of_a_limit_gets_through_too() {
    let site = Site::new(Kind::Axum, &floors(100));
    site.hello(&[]);
    let (client, challenges, most) = followed(&site, client(Terms::default()));
    assert_eq!(burst(&client, &url(&site, "/hello")).await, [200; 20]);
    assert_eq!(challenges.load(Ordering::Relaxed), 20);
    // As many as an address may have.
    assert!(most.load(Ordering::Relaxed) <= 4);
}

async fn failure(server: &Scripted, terms: Terms) -> ClientError {
    let started = Instant::now();
    let error = client(terms).get(server.url()).await.expect_err("no way through");
    assert!(started.elapsed() < Duration::from_secs(30), "{error}");
    error
}

#[tokio::test]
async fn a_server_that_asks_for_ever_is_given_up_on() {
    let server = Scripted::serve(|_, _| challenge("work_required", &unit(0)));
    assert_eq!(failure(&server, Terms::default()).await.code(), "gave_up");
    let answers: Vec<bool> = server.heard().iter().map(|heard| heard.answer().is_some()).collect();
    assert_eq!(answers, [false, true, true]);
}

#[tokio::test]
async fn an_answer_is_the_units_own_and_a_refused_one_an_error() {
    let forbidden = |_, heard: &Heard| match heard.answer() {
        None => challenge("work_required", &unit(1)),
        Some(_) => said(403, &[PROBLEM], &refusal("client_mismatch", "The token was issued to another client.")),
    };
    let server = Scripted::serve(forbidden);
    let error = failure(&server, Terms::default()).await;
    let words = " with 403 (client_mismatch): The token was issued to another client.";
    assert!(
        error.code() == "refused"
            && error.to_string().starts_with("the server refused the answer to ")
            && error.to_string().ends_with(words),
        "{error}"
    );
    let heard = server.heard();
    let (answer, given) = (heard[1].answer().unwrap(), unit(1));
    assert_eq!(answer, WorkAnswer::of(&given, &answer));
}

/// The right answer to a unit, with the telemetry of another.
struct WorkAnswer;

impl WorkAnswer {
    fn of(unit: &WorkUnit, telemetry: &pouw::protocol::WorkResult) -> pouw::protocol::WorkResult {
        let right = solve(unit);
        let (compute_time_ms, completed_at) = (telemetry.compute_time_ms, telemetry.completed_at);
        pouw::protocol::WorkResult { compute_time_ms, completed_at, ..right }
    }
}

#[tokio::test]
async fn a_page_in_html_is_handed_back_as_it_came() {
    for status in [429, 403, 502] {
        let page = "<html>slow down</html>";
        let server = Scripted::serve(move |_, _| said(status, &[("Content-Type", "text/html")], page));
        let response = client(Terms::default()).get(server.url()).await.unwrap();
        assert_eq!((response.status().as_u16(), response.url().as_str()), (status, server.url().as_str()));
        assert_eq!((response.text().await.unwrap().as_str(), server.heard().len()), (page, 1));
    }
}

#[tokio::test]
async fn a_document_that_was_read_is_handed_back_with_its_address() {
    let text = refusal("no_work", "none");
    let copy = text.clone();
    let server = Scripted::serve(move |_, _| said(429, &[PROBLEM, ("X-PoUW-Challenge", "x")], &copy));
    let response = client(Terms::default()).get(server.url()).await.unwrap();
    assert_eq!((response.status().as_u16(), response.url().as_str()), (429, server.url().as_str()));
    assert_eq!((response.content_length(), response.text().await.unwrap()), (Some(text.len() as u64), text));
}

#[tokio::test]
async fn units_that_do_not_add_up_cost_one_request_and_no_hash() {
    let say = |change: fn(&mut WorkUnit)| {
        let mut unit = unit(0);
        change(&mut unit);
        move |_: usize, _: &Heard| challenge("work_required", &unit)
    };
    let unknown = |_: usize, _: &Heard| -> Said {
        let text = String::from_utf8(challenge("work_required", &unit(0))?).unwrap();
        Some(text.replace("subtree_hash", "mine_bitcoin").into_bytes())
    };
    for (code, server) in [
        ("invalid_unit", Scripted::serve(say(|unit| unit.leaf_lengths[0] = 15))),
        ("invalid_unit", Scripted::serve(say(|unit| unit.node_count = 62))),
        ("invalid_unit", Scripted::serve(unknown)),
        ("deadline", Scripted::serve(say(|unit| (unit.wait_ms, unit.ttl_ms) = (1 << 50, 1 << 51)))),
    ] {
        let client = client(Terms::default()).on_report(|report| panic!("{report:?}"));
        let error = client.get(server.url()).await.unwrap_err();
        assert_eq!((error.code(), server.heard().len()), (code, 1), "{error}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_answer_leaves_its_receipt() {
    let server =
        Scripted::serve(|_, heard| heard.answer().map_or_else(|| challenge("work_required", &unit(0)), |_| None));
    let error = failure(&server, Terms::default()).await;
    assert_eq!((error.code(), error.receipt()), ("connection_lost", Some(id(7))), "{error}");
    // The answer is not sent again behind the caller's back.
    assert_eq!(server.heard().len(), 2);
    // In the middle of the refusal of an answer, too.
    let cut = |_: usize, heard: &Heard| {
        let mut text = challenge("try_again", &unit(0))?;
        text.truncate(text.len() - usize::from(heard.answer().is_some()));
        Some(text)
    };
    let error = failure(&Scripted::serve(cut), Terms::default()).await;
    assert_eq!((error.code(), error.receipt()), ("connection_lost", Some(id(7))), "{error}");
}

#[tokio::test]
async fn without_an_answer_a_broken_connection_is_the_carriers() {
    let server = Scripted::serve(|_, _| None);
    let error = failure(&server, Terms::default()).await;
    let ClientError::Transport(source) = &error else { panic!("{error}") };
    assert!(source.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_request));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = client(Terms::default()).get(format!("http://{nobody}/")).await.unwrap_err();
    assert_eq!((error.code(), error.receipt()), ("transport", None::<WorkId>));
    assert_eq!(client(Terms::default()).get("no url").await.unwrap_err().code(), "transport");
}

#[tokio::test]
async fn a_body_that_cannot_be_sent_twice_gets_its_429() {
    let server = Scripted::serve(|_, _| challenge("work_required", &unit(0)));
    let stream = reqwest::Body::wrap(Full::<bytes::Bytes>::from("streamed"));
    let client = client(Terms::default());
    let request = client.request(reqwest::Method::POST, server.url()).header("content-length", "8").body(stream);
    let response = client.send(request).await.unwrap();
    assert_eq!((response.status().as_u16(), server.heard().len()), (429, 1));
    assert!(response.text().await.unwrap().contains("workUnit"));
}
