//! What one answer buys beside its own request: kept for its origin, shared, and given up in time.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::desk::WINDOW_MS;
use crate::support::http::{Kind, Setup, Site};
use crate::support::scripted::{Heard, Scripted, TOKEN, challenge, problem, refusal, said, unit};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use pouw::client::reqwest::Client;
use pouw::client::tower::{Solve, SolveLayer};
use pouw::client::{Report, Terms};
use pouw::internal::engine::for_gate;
use pouw::protocol::{ByTier, DifficultyTier};
use pouw::{ClientKey, Policy};
use reqwest::Method;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tower::{Layer, ServiceExt, service_fn};

const WINDOW: Duration = Duration::from_millis(WINDOW_MS);
const DAY: Duration = Duration::from_secs(86_400);

/// A client that asks no proxy, and counts challenges.
fn client() -> (Client, Arc<AtomicUsize>) {
    // With TLS for `pouw fetch`, reqwest wants to know whose; the second test finds it known.
    #[cfg(feature = "fetch")]
    let _ = rustls::crypto::ring::default_provider().install_default();
    let challenges = Arc::new(AtomicUsize::new(0));
    let count = challenges.clone();
    let client = Client::new(reqwest::Client::builder().no_proxy(), Terms::default()).unwrap();
    let client = client.on_report(move |report| {
        count.fetch_add(usize::from(matches!(report, Report::Challenge(_))), Ordering::Relaxed);
    });
    (client, challenges)
}

fn setup(gate: fn(pouw::GateConfigBuilder) -> pouw::GateConfigBuilder) -> Setup {
    Setup { engine: |config| config.floor(ByTier::all(Duration::ZERO)), gate, ..Setup::default() }
}

/// Two policies, the second for a route.
fn with_policy(config: pouw::GateConfigBuilder, name: &str, route: &str) -> pouw::GateConfigBuilder {
    let policy = Policy::new(name, 1, WINDOW).route(route).answer_buys(60, DAY);
    config.answer_buys(60, DAY).policy(policy)
}

fn bought() -> Setup {
    setup(|config| config.answer_buys(60, DAY))
}

fn url(site: &Site, path: &str) -> String {
    format!("http://{}{path}", site.server.address)
}

async fn status(client: &Client, url: &str) -> u16 {
    client.get(url).await.unwrap().status().as_u16()
}

fn seen(challenges: &AtomicUsize) -> usize {
    challenges.load(Ordering::Relaxed)
}

/// Passes made, and requests admitted by them.
fn counts(site: &Site) -> (u64, u64) {
    let stats = site.gate.stats();
    (stats.passes, stats.passed)
}

#[tokio::test]
async fn sixty_requests_get_through_by_one_answer_and_the_next_by_another() {
    let site = Site::new(Kind::Axum, &bought());
    let ((client, challenges), url) = (client(), url(&site, "/hello"));
    assert_eq!(status(&client, &url).await, 200);
    for _ in 0..60 {
        assert_eq!(status(&client, &url).await, 200);
    }
    assert_eq!((seen(&challenges), counts(&site)), (1, (1, 59)));
    assert_eq!(status(&client, &url).await, 200);
    assert_eq!((seen(&challenges), counts(&site)), (2, (2, 59)));
    // A client that keeps none pays for each.
    let client = client.passes(false);
    for paid in 3..=5 {
        assert_eq!((status(&client, &url).await, seen(&challenges)), (200, paid));
    }
    assert_eq!(counts(&site).1, 59);
}

#[tokio::test]
async fn clones_share_a_pass_and_send_at_once() {
    let site = Site::new(Kind::Axum, &bought());
    let ((client, challenges), url) = (client(), url(&site, "/hello"));
    assert_eq!((status(&client, &url).await, status(&client, &url).await), (200, 200));
    let one = |client: Client, url: String| async move { status(&client, &url).await };
    // More than the pass has requests: the others wait for the next answer.
    let burst: Vec<_> = (0..70).map(|_| tokio::spawn(one(client.clone(), url.clone()))).collect();
    for request in burst {
        assert_eq!(request.await.unwrap(), 200);
    }
    assert_eq!((seen(&challenges), counts(&site)), (2, (2, 69)));
}

#[tokio::test]
async fn the_layer_keeps_passes_too_and_a_stream_is_sent_with_one() {
    let site = Site::new(Kind::Hyper, &bought());
    site.hello(&[]);
    let plain: legacy::Client<_, Full<Bytes>> = legacy::Client::builder(TokioExecutor::new()).build_http();
    let service = SolveLayer::new(Terms::default()).layer(plain);
    for _ in 0..5 {
        let request = Request::post(url(&site, "/echo")).body(Full::from("x")).unwrap();
        assert_eq!(service.clone().oneshot(request).await.unwrap().status(), 200);
    }
    assert_eq!(counts(&site), (1, 4));
    let (client, challenges) = client();
    assert_eq!(status(&client, &url(&site, "/hello")).await, 200);
    let stream = reqwest::Body::wrap(Full::<Bytes>::from("streamed"));
    let upload = client.request(Method::POST, url(&site, "/echo")).header("content-length", "8").body(stream);
    assert_eq!(client.send(upload).await.unwrap().text().await.unwrap(), "streamed");
    assert_eq!((seen(&challenges), counts(&site)), (1, (2, 5)));
}

#[tokio::test]
async fn a_pass_that_the_server_does_not_know_any_more_is_replaced_by_an_answer() {
    let site = Site::new(Kind::Axum, &setup(|config| config.answer_buys(60, Duration::from_secs(10))));
    let ((client, challenges), url) = (client(), url(&site, "/hello"));
    for _ in 0..3 {
        assert_eq!(status(&client, &url).await, 200);
    }
    // Its time is over for the server first.
    site.clock.advance(Duration::from_secs(10));
    for _ in 0..3 {
        assert_eq!(status(&client, &url).await, 200);
    }
    assert_eq!((seen(&challenges), counts(&site)), (2, (2, 3)));
}

#[tokio::test]
async fn a_ceiling_keeps_the_pass_for_the_next_window() {
    let site = Site::new(Kind::Axum, &setup(|config| config.answer_buys(60, DAY).paid_admissions_per_window(2)));
    let ((client, challenges), url) = (client(), url(&site, "/hello"));
    for expected in [200, 200, 200, 429, 429] {
        assert_eq!(status(&client, &url).await, expected);
    }
    assert_eq!((seen(&challenges), counts(&site)), (1, (1, 1)));
    site.clock.advance(2 * WINDOW);
    for expected in [200, 200, 200, 429] {
        assert_eq!(status(&client, &url).await, expected);
    }
    assert_eq!((seen(&challenges), counts(&site)), (1, (1, 3)));
}

#[tokio::test]
async fn each_policy_has_a_pass_of_its_own() {
    let site = Site::new(Kind::Axum, &setup(|config| with_policy(config, "other", "/echo")));
    let (client, challenges) = client();
    for _ in 0..10 {
        assert_eq!(status(&client, &url(&site, "/hello")).await, 200);
        let echo = client.request(Method::POST, url(&site, "/echo")).body("x");
        assert_eq!(client.send(echo).await.unwrap().status(), 200);
    }
    assert_eq!((seen(&challenges), counts(&site)), (2, (2, 16)));
}

/// Challenges issued, and requests refused.
fn refusals(site: &Site) -> (u64, u64) {
    let stats = site.gate.stats();
    let issued = DifficultyTier::ALL.iter().map(|tier| *stats.issued.get(*tier)).sum();
    (issued, stats.refused.iter().map(|(_, count)| count).sum())
}

#[tokio::test]
async fn new_paths_of_a_policy_are_sent_with_its_pass() {
    let site = Site::new(Kind::Axum, &setup(|config| with_policy(config, "items", "/items/*")));
    let (client, challenges) = client();
    // The pass of the other policy ends first.
    for (path, expected) in [("/hello", 200), ("/hello", 200), ("/items/0", 404), ("/items/0", 404)] {
        assert_eq!(status(&client, &url(&site, path)).await, expected);
    }
    let address = ClientKey::of_address([127, 0, 0, 1].into(), 64).to_bytes();
    let standing = || for_gate(&site.engine).standing(&address);
    let before = (refusals(&site), standing());
    assert_eq!((seen(&challenges), counts(&site), before.0), (2, (2, 0), (2, 2)));
    let long = "x".repeat(300);
    let paths =
        (1..=20).map(|item| format!("/items/{item}")).chain([format!("/items/{long}"), format!("/items/1/{long}")]);
    for path in paths {
        assert_eq!(status(&client, &url(&site, &path)).await, 404);
        assert_eq!(status(&client, &url(&site, "/hello")).await, 200);
    }
    assert_eq!((seen(&challenges), counts(&site)), (2, (2, 44)));
    assert_eq!((refusals(&site), standing()), before);
}

#[tokio::test]
async fn methods_of_one_path_may_have_policies_of_their_own() {
    let site = Site::new(Kind::Axum, &setup(|config| with_policy(config, "post", "POST /echo")));
    let (client, _) = client();
    let url = url(&site, "/echo");
    for turn in 0..10 {
        assert_eq!(status(&client, &url).await, 405);
        let post = client.request(Method::POST, &url).body("x");
        assert_eq!(client.send(post).await.unwrap().status(), 200);
        assert_eq!(refusals(&site), if turn == 0 { (0, 0) } else { (2, 2) });
    }
}

fn pass_of(heard: &Heard) -> Option<&str> {
    heard.header("x-pouw-pass")
}

const PASS: (&str, &str) = ("X-PoUW-Pass", "bought-here;r=9;t=60");

#[tokio::test]
async fn a_pass_goes_with_redirects_of_its_origin_and_to_no_other() {
    let other = Scripted::serve(|_, _| said(200, &[], "elsewhere"));
    let to: &'static str = other.url().leak();
    let server = Scripted::serve(move |_, heard| match heard.head.split(' ').nth(1) {
        Some("/hello") => said(200, &[PASS], ""),
        Some("/here") => said(302, &[("Location", "/there")], ""),
        Some("/away") => said(307, &[("Location", to)], ""),
        _ => said(200, &[], "there"),
    });
    let client = client().0.across_origins();
    assert_eq!(status(&client, &server.url()).await, 200);
    let at = |path| server.url().replace("/hello", path);
    assert_eq!(client.get(at("/here")).await.unwrap().text().await.unwrap(), "there");
    let passes: Vec<_> = server.heard().iter().map(|heard| pass_of(heard).map(str::to_owned)).collect();
    assert_eq!(passes, [None, Some("bought-here".into()), Some("bought-here".into())]);
    for own in [None, Some("of-the-caller")] {
        let mut request = client.request(Method::POST, at("/away")).body("x");
        if let Some(own) = own {
            request = request.header("X-PoUW-Pass", own);
        }
        assert_eq!(client.send(request).await.unwrap().text().await.unwrap(), "elsewhere");
        assert_eq!(pass_of(&server.heard().pop().unwrap()), own.or(Some("bought-here")));
        assert_eq!(pass_of(&other.heard().pop().unwrap()), None, "{own:?}");
    }
    assert_eq!(status(&client, to).await, 200);
    assert_eq!(pass_of(&other.heard().pop().unwrap()), None);
}

/// Names of passes and whether there was an answer, for each request.
type Asked = Arc<Mutex<Vec<(Option<String>, bool)>>>;

/// A client of a service that gives `pass` for an answer, and refuses what has no pass. What has one
/// gets `reply`.
fn given(
    pass: &'static str,
    reply: impl Fn() -> Option<Response<Full<Bytes>>> + Clone + Send + Sync + 'static,
) -> (Solve<impl TestService>, Asked) {
    let asked = Asked::default();
    let ask = asked.clone();
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        let own = |name| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (presented, answered) = (own("x-pouw-pass"), own("x-pouw-response").is_some());
        ask.lock().unwrap().push((presented.clone(), answered));
        let response = match (presented.is_some(), answered) {
            (_, true) => Some(Response::builder().header("x-pouw-accepted", "true").header("x-pouw-pass", pass)),
            (true, false) => None,
            (false, false) => {
                let response = Response::builder().status(429).header("x-pouw-challenge", TOKEN);
                Some(response.header("content-type", "application/problem+json"))
            }
        };
        let body = if answered { String::new() } else { problem("work_required", &unit(0)) };
        let response = response.map(|response| response.body(Full::from(body)).unwrap()).or_else(&reply);
        async move { response.ok_or("lost") }
    });
    (SolveLayer::new(Terms::default()).layer(service), asked)
}

trait TestService:
    tower::Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = &'static str, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S> TestService for S where
    S: tower::Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = &'static str, Future: Send>
        + Clone
        + Send
        + 'static
{
}

async fn ask(service: &Solve<impl TestService>, url: &str) -> Option<u16> {
    let request = Request::get(url).body(Full::default()).unwrap();
    service.clone().oneshot(request).await.ok().map(|response| response.status().as_u16())
}

fn passes(asked: &Asked) -> Vec<Option<String>> {
    asked.lock().unwrap().drain(..).filter(|(_, answered)| !answered).map(|(pass, _)| pass).collect()
}

fn ok() -> Option<Response<Full<Bytes>>> {
    Some(Response::default())
}

#[tokio::test(start_paused = true)]
async fn a_pass_is_sent_until_its_time_is_over_to_its_origin_alone() {
    let (service, asked) = given("name;r=9;t=60", ok);
    assert_eq!(ask(&service, "http://a/1").await, Some(200));
    tokio::time::advance(Duration::from_millis(59_999)).await;
    let named = Some("name".to_owned());
    assert_eq!(ask(&service, "http://A:80/2").await, Some(200));
    assert_eq!(passes(&asked), [None, named.clone()]);
    for other in ["http://a:81/1", "https://a/1", "http://b/1"] {
        assert_eq!(ask(&service, other).await, Some(200));
        assert_eq!(passes(&asked), [None], "{other}");
    }
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(ask(&service, "http://a/1").await, Some(200));
    assert_eq!(passes(&asked), [None]);
}

#[tokio::test(start_paused = true)]
async fn a_pass_is_presented_as_often_as_responses_say_and_what_is_left_never_becomes_more() {
    let left = Arc::new(Mutex::new(vec!["name;r=0;t=60", "name;r=9;t=60", "name;r=1;t=60"]));
    let say = move || {
        Some(Response::builder().header("x-pouw-pass", left.lock().unwrap().pop()?).body(Full::default()).unwrap())
    };
    let (service, asked) = given("name;r=9;t=60", say);
    for _ in 0..5 {
        assert_eq!(ask(&service, "http://a/").await, Some(200));
    }
    let named = Some("name".to_owned());
    // The second response came late.
    assert_eq!(passes(&asked), [None, named.clone(), named.clone(), named, None]);
}

#[tokio::test(start_paused = true)]
async fn requests_with_a_pass_do_not_queue() {
    let together = Arc::new(tokio::sync::Barrier::new(3));
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        let together = together.clone();
        async move {
            let own = |name| request.headers().contains_key(name);
            if own("x-pouw-pass") {
                together.wait().await;
            }
            // Over the limit, so that the next request is likely to be limited.
            let response = Response::builder().header("x-ratelimit-remaining", "0");
            Ok::<_, Infallible>(match (own("x-pouw-pass"), own("x-pouw-response")) {
                (true, _) => response.body(Full::default()).unwrap(),
                (_, true) => response.header("x-pouw-pass", "name;r=9;t=60").body(Full::default()).unwrap(),
                _ => {
                    let response = response.status(429).header("x-pouw-challenge", TOKEN);
                    let response = response.header("content-type", "application/problem+json");
                    response.body(Full::<Bytes>::from(problem("work_required", &unit(0)))).unwrap()
                }
            })
        }
    });
    let service = SolveLayer::new(Terms::default()).layer(service);
    let ask = async || service.clone().oneshot(Request::get("http://a/").body(Full::default()).unwrap()).await.is_ok();
    assert!(ask().await);
    let all = tokio::time::timeout(Duration::from_secs(600), futures_util::future::join3(ask(), ask(), ask())).await;
    assert_eq!(all, Ok((true, true, true)));
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_response_counts_as_one_of_the_pass() {
    let (service, asked) = given("name;r=2;t=60", || None);
    assert_eq!(ask(&service, "http://a/").await, Some(200));
    assert_eq!((ask(&service, "http://a/").await, ask(&service, "http://a/").await), (None, None));
    assert_eq!(ask(&service, "http://a/").await, Some(200));
    let named = Some("name".to_owned());
    assert_eq!(passes(&asked), [None, named.clone(), named, None]);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_pass_is_not_kept() {
    let long: &'static str = format!("{};r=1;t=1", "x".repeat(65)).leak();
    let broken = ["", "name", "name;r=0;t=9", "name;r=9;t=0", "name;r=+9;t=9", "name;r=9;t=9;u=1", "a b;r=9;t=9"];
    for pass in broken.into_iter().chain([";r=9;t=9", "name;t=9;r=9", "name;r=1000000000;t=9", long]) {
        let (service, asked) = given(pass, ok);
        assert_eq!((ask(&service, "http://a/").await, ask(&service, "http://a/").await), (Some(200), Some(200)));
        assert_eq!(passes(&asked), [None, None], "{pass:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn origins_and_passes_are_bounded() {
    let (service, asked) = given("name;r=9;t=60", ok);
    for origin in 0..65 {
        assert_eq!(ask(&service, &format!("http://a{origin}/")).await, Some(200));
    }
    passes(&asked);
    for (origin, kept) in [("http://a64/", true), ("http://a1/", true), ("http://a0/", false)] {
        assert_eq!(ask(&service, origin).await, Some(200));
        assert_eq!(passes(&asked), [kept.then(|| "name".to_owned())], "{origin}");
    }
}

#[tokio::test]
async fn a_refusal_without_work_leaves_the_pass_as_it_is() {
    // The first is of the service itself.
    for reason in ["not_ours", "ceiling", "budget", "degraded", "crowded"] {
        let server = Scripted::serve(move |at, heard| match (at, heard.answer()) {
            (0, None) => challenge("work_required", &unit(0)),
            (1, Some(_)) => said(200, &[("X-PoUW-Accepted", "true"), PASS], ""),
            (2, None) => said(429, &[("Content-Type", "application/problem+json")], &refusal(reason, "")),
            _ => said(200, &[], ""),
        });
        let (client, _) = client();
        for expected in [200, 429, 200] {
            assert_eq!(status(&client, &server.url()).await, expected);
        }
        assert_eq!(pass_of(&server.heard().pop().unwrap()), Some("bought-here"), "{reason}");
    }
}

/// A refusal with work.
fn limited() -> Response<Full<Bytes>> {
    let response = Response::builder().status(429).header("x-pouw-challenge", TOKEN);
    let response = response.header("content-type", "application/problem+json");
    response.body(Full::from(problem("work_required", &unit(0)))).unwrap()
}

fn left(pass: &str) -> Response<Full<Bytes>> {
    Response::builder().header("x-pouw-pass", pass).body(Full::default()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_late_response_does_not_bring_back_a_pass_that_is_spent_or_refused() {
    for is_refused in [false, true] {
        let late = Arc::new(tokio::sync::Notify::new());
        let (wait, asked) = (late.clone(), Arc::new(Mutex::new(Vec::new())));
        let (ask_for, answers) = (asked.clone(), Arc::new(AtomicUsize::new(0)));
        let service = service_fn(move |request: Request<Full<Bytes>>| {
            let (wait, path) = (wait.clone(), request.uri().path().to_owned());
            let [presented, answered] =
                ["x-pouw-pass", "x-pouw-response"].map(|name| request.headers().contains_key(name));
            ask_for.lock().unwrap().push((path.clone(), presented));
            let first = answered && answers.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                Ok::<_, &'static str>(match (presented, answered, path.as_str()) {
                    (_, true, _) if first => left("name;r=9;t=60"),
                    (_, true, _) => {
                        Response::builder().header("x-pouw-accepted", "true").body(Full::default()).unwrap()
                    }
                    (true, _, "/late") => {
                        wait.notified().await;
                        left("name;r=3;t=60")
                    }
                    (true, ..) if !is_refused => left("name;r=0;t=60"),
                    _ => limited(),
                })
            }
        });
        let service = SolveLayer::new(Terms::default()).layer(service);
        assert_eq!(ask(&service, "http://a/bought").await, Some(200));
        let slow = service.clone();
        let slow = tokio::spawn(async move { ask(&slow, "http://a/late").await });
        tokio::task::yield_now().await;
        assert_eq!(asked.lock().unwrap().last(), Some(&("/late".to_owned(), true)));
        for path in ["http://a/over", "http://a/without"] {
            assert_eq!(ask(&service, path).await, Some(200));
        }
        late.notify_one();
        assert_eq!(slow.await.unwrap(), Some(200));
        asked.lock().unwrap().clear();
        assert_eq!(ask(&service, "http://a/last").await, Some(200));
        assert_eq!(asked.lock().unwrap()[0], ("/last".to_owned(), false), "{is_refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pass_is_sent_with_the_credentials_that_it_was_bought_with() {
    let (service, asked) = given("name;r=9;t=60", ok);
    let named = Some("name".to_owned());
    let ask = async |headers: &[(&str, &str)]| {
        let mut request = Request::get("http://a/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = service.clone().oneshot(request.body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        passes(&asked)
    };
    let others: [&[(&str, &str)]; 6] = [
        &[],
        &[("authorization", "one")],
        &[("authorization", "two")],
        &[("cookie", "one")],
        &[("cookie", "one"), ("authorization", "one")],
        &[("cookie", "one"), ("cookie", "two")],
    ];
    for headers in others {
        assert_eq!(ask(headers).await, [None], "{headers:?}");
    }
    for headers in others {
        assert_eq!(ask(headers).await, std::slice::from_ref(&named), "{headers:?}");
    }
    assert_eq!(ask(&[("x-own", "1")]).await, [named]);
}

#[tokio::test(start_paused = true)]
async fn a_burst_solves_one_challenge_if_its_answer_buys_all() {
    let together = Arc::new(tokio::sync::Barrier::new(4));
    let (answers, passed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (answer, pass) = (answers.clone(), passed.clone());
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        let own = |name| request.headers().contains_key(name);
        let (presented, answered, together) = (own("x-pouw-pass"), own("x-pouw-response"), together.clone());
        answer.fetch_add(usize::from(answered), Ordering::Relaxed);
        pass.fetch_add(usize::from(presented), Ordering::Relaxed);
        async move {
            if presented || answered {
                return Ok::<_, &'static str>(left("name;r=9;t=60"));
            }
            together.wait().await;
            Ok(limited())
        }
    });
    let service = SolveLayer::new(Terms::default()).layer(service);
    let one = || ask(&service, "http://a/");
    assert_eq!(tokio::join!(one(), one(), one(), one()), (Some(200), Some(200), Some(200), Some(200)));
    assert_eq!((answers.load(Ordering::Relaxed), passed.load(Ordering::Relaxed)), (1, 3));
}

/// Names that lead to this machine, or nowhere.
#[derive(Debug)]
struct Names(Arc<AtomicBool>);

impl Resolve for Names {
    fn resolve(&self, _: Name) -> Resolving {
        let address = self.0.load(Ordering::Relaxed).then(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        Box::pin(async move {
            let address = address.ok_or("no such name")?;
            Ok(Box::new(std::iter::once(address)) as Addrs)
        })
    }
}

#[tokio::test]
async fn a_stream_that_was_not_sent_does_not_count_as_one_of_the_pass() {
    let server =
        Scripted::serve(|at, _| said(200, if at == 0 { &[("X-PoUW-Pass", "last;r=1;t=60")] } else { &[] }, ""));
    let leads = Arc::new(AtomicBool::new(true));
    let _ = client();
    let builder = reqwest::Client::builder().no_proxy().dns_resolver(Arc::new(Names(leads.clone())));
    let client = Client::new(builder, Terms::default()).unwrap();
    let url = format!("http://named.test:{}/", server.address.port());
    let upload = || {
        let stream = reqwest::Body::wrap(Full::<Bytes>::from("streamed"));
        client.send(client.request(Method::POST, &url).header("content-length", "8").body(stream))
    };
    assert_eq!(upload().await.unwrap().status(), 200);
    leads.store(false, Ordering::Relaxed);
    assert_eq!(upload().await.unwrap_err().code(), "transport");
    leads.store(true, Ordering::Relaxed);
    assert_eq!(upload().await.unwrap().status(), 200);
    assert_eq!(pass_of(&server.heard().pop().unwrap()), Some("last"));
}

#[tokio::test(start_paused = true)]
async fn a_pass_of_another_policy_is_not_tried_twice_for_a_request() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let ask_for = asked.clone();
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        let mut asked = ask_for.lock().unwrap();
        asked.push(request.headers().contains_key("x-pouw-pass"));
        let of = |policy| Response::builder().header("ratelimit-policy", format!("\"{policy}\";q=1;w=1"));
        let response = match asked.len() {
            1 => Ok(limited()),
            2 => of("one").header("x-pouw-pass", "name;r=9;t=60").body(Full::default()),
            3 => {
                let response = of("other").status(429).header("content-type", "application/problem+json");
                response.header("retry-after", "1").body(Full::from(refusal("budget", "")))
            }
            _ => of("one").body(Full::default()),
        };
        async move { response.map_err(|_| "no header") }
    });
    let service = SolveLayer::new(Terms::default().wait_when_limited(true)).layer(service);
    assert_eq!(ask(&service, "http://a/").await, Some(200));
    // The second begins while the first waits.
    let both = tokio::join!(ask(&service, "http://a/"), ask(&service, "http://a/"));
    assert_eq!(both, (Some(200), Some(200)));
    assert_eq!(*asked.lock().unwrap(), [false, false, true, false, false]);
}

#[tokio::test(start_paused = true)]
async fn a_challenge_that_was_dropped_for_a_pass_does_not_count_as_solved() {
    let together = Arc::new(tokio::sync::Barrier::new(3));
    let (answers, passed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (answer, pass) = (answers.clone(), passed.clone());
    // Each answer buys one more request, but the server does not know the pass any more.
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        let own = |name| request.headers().contains_key(name);
        let (presented, answered, together) = (own("x-pouw-pass"), own("x-pouw-response"), together.clone());
        let at = answer.fetch_add(usize::from(answered), Ordering::Relaxed);
        pass.fetch_add(usize::from(presented), Ordering::Relaxed);
        async move {
            if answered {
                return Ok::<_, &'static str>(left(&format!("name-{at};r=1;t=60")));
            }
            if !presented {
                together.wait().await;
            }
            Ok(limited())
        }
    });
    let service = SolveLayer::new(Terms::default()).layer(service);
    let one = || ask(&service, "http://a/");
    assert_eq!(tokio::join!(one(), one(), one()), (Some(200), Some(200), Some(200)));
    assert_eq!((answers.load(Ordering::Relaxed), passed.load(Ordering::Relaxed)), (3, 2));
}
