//! The client's layer around services that say what they are told to, on a clock that stands still until all wait.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::support::scripted::{TOKEN, id, problem, refusal, unit};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full};
use pouw::client::tower::SolveLayer;
use pouw::client::{ClientError, Report, Terms};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};

type Reply = Response<Full<Bytes>>;

fn limited(body: &str) -> Response<Full<Bytes>> {
    let response = Response::builder().status(429).header("content-type", "application/problem+json");
    response.header("x-pouw-challenge", TOKEN).body(Full::from(body.to_owned())).unwrap()
}

fn accepted() -> Reply {
    let response = Response::builder().header("x-pouw-accepted", "true").header("x-pouw-joule-award", "42");
    response.body(Full::from("hello")).unwrap()
}

fn hello() -> Request<Full<Bytes>> {
    Request::post("http://x/hello").header("x-own", "1").body(Full::from("body")).unwrap()
}

fn has_answer<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    headers.contains_key("x-pouw-response") && headers.contains_key("x-pouw-result")
}

/// A gate with one rule: without an answer there is none.
async fn gate(request: Request<Full<Bytes>>, wait_ms: u64) -> Result<Reply, Infallible> {
    Ok(if has_answer(&request) { accepted() } else { limited(&problem("work_required", &unit(wait_ms))) })
}

#[tokio::test(start_paused = true)]
async fn the_floor_is_waited_to_the_millisecond_and_the_same_request_sent_with_the_answer() {
    let (seen, told) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let (see, tell) = (seen.clone(), told.clone());
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        let headers = request.headers();
        let line = (request.method().clone(), request.uri().clone(), headers["x-own"].clone(), has_answer(&request));
        see.lock().unwrap().push((line, Instant::now()));
        gate(request, 1_500)
    });
    let layer = SolveLayer::new(Terms::default()).on_report(move |report| {
        let line = match report {
            Report::Challenge(offer) => format!("{} hashes, {} bytes, {}", offer.hashes, offer.bytes, offer.synthetic),
            Report::Waiting { time, .. } => format!("waiting {}", time.as_millis()),
            Report::Accepted(accepted) => format!("{:?} {}", accepted.award.map(|award| award.0), accepted.receipt),
            Report::Hashed(progress) if progress.done == progress.total => "hashed".into(),
            _ => return,
        };
        tell.lock().unwrap().push(line);
    });
    let response = layer.layer(service).oneshot(hello()).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
    let seen = seen.lock().unwrap();
    let [((.., first), begun), ((.., second), ended)] = &seen[..] else { panic!("{} requests", seen.len()) };
    assert_eq!((first, second), (&false, &true));
    assert_eq!((&seen[0].0.0, &seen[0].0.1, &seen[0].0.2), (&seen[1].0.0, &seen[1].0.1, &seen[1].0.2));
    assert_eq!(*ended - *begun, Duration::from_millis(1_500));
    let receipt = format!("Some(42) {}", id(7));
    assert_eq!(*told.lock().unwrap(), ["63 hashes, 512 bytes, false", "hashed", "waiting 1500", &receipt]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_deadline_and_a_price_too_high_are_told_at_once() {
    for (terms, code) in [
        (Terms::default().deadline(Duration::from_secs(1)), "deadline"),
        (Terms::default().max_hashes(62), "too_expensive"),
    ] {
        let layer = SolveLayer::new(terms).on_report(|report| panic!("{report:?}"));
        let begun = Instant::now();
        let error = layer.layer(service_fn(|request| gate(request, 1_500))).oneshot(hello()).await.unwrap_err();
        assert_eq!((error.code(), begun.elapsed()), (code, Duration::ZERO), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_caller_declines_is_not_hashed() {
    let layer = SolveLayer::new(Terms::default()).confirm(|offer| offer.hashes < 10).on_report(|report| {
        assert!(matches!(report, Report::Challenge(_)), "{report:?}");
    });
    let error = layer.layer(service_fn(|request| gate(request, 0))).oneshot(hello()).await.unwrap_err();
    assert!(matches!(error, ClientError::Declined { id: of } if of == id(7)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_gets_no_response_ends_at_the_deadline_with_its_receipt() {
    let service = service_fn(|request: Request<Full<Bytes>>| async {
        if has_answer(&request) {
            std::future::pending::<()>().await;
        }
        gate(request, 0).await
    });
    let begun = Instant::now();
    let error = SolveLayer::new(Terms::default()).layer(service).oneshot(hello()).await.unwrap_err();
    assert_eq!((error.code(), error.receipt()), ("deadline", Some(id(7))), "{error}");
    assert_eq!(begun.elapsed(), Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn the_first_sending_takes_as_long_as_it_takes() {
    let service = service_fn(|_: Request<Full<Bytes>>| async {
        let late = tokio::time::timeout(Duration::from_secs(600), std::future::pending::<()>()).await;
        assert!(late.is_err());
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("late")))
    });
    let response = SolveLayer::new(Terms::default()).layer(service).oneshot(hello()).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "late");
}

/// Counts how often it is asked for a frame.
struct Counted {
    frames: Vec<Frame<Bytes>>,
    hint: SizeHint,
    asked: Arc<AtomicUsize>,
}

impl Counted {
    fn new(frames: Vec<Frame<Bytes>>, asked: &Arc<AtomicUsize>) -> Self {
        Self { frames, hint: SizeHint::default(), asked: asked.clone() }
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Poll::Ready((!self.frames.is_empty()).then(|| Ok(self.frames.remove(0))))
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

/// Sends one request to a service that gives this response.
async fn given(response: Response<Counted>) -> Result<Response<impl Body<Data = Bytes>>, ClientError> {
    let response = Arc::new(Mutex::new(Some(response)));
    let service = service_fn(move |_: Request<Empty<Bytes>>| {
        let response = response.lock().unwrap().take();
        async move { Ok::<_, Infallible>(response.expect("one request")) }
    });
    SolveLayer::new(Terms::default()).layer(service).oneshot(Request::new(Empty::new())).await
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_ours_is_not_touched() {
    let data = |text: &'static str| Frame::data(Bytes::from_static(text.as_bytes()));
    for headers in [
        &[("content-type", "text/html"), ("x-pouw-challenge", TOKEN)][..],
        &[("content-type", "application/problem+json")],
        &[("retry-after", "5")],
    ] {
        let asked = Arc::new(AtomicUsize::new(0));
        let mut response = Response::new(Counted::new(vec![data("a"), data("b")], &asked));
        *response.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
        for (name, value) in headers {
            response.headers_mut().insert(*name, value.parse().unwrap());
        }
        let response = given(response).await.unwrap();
        assert_eq!((response.status().as_u16(), asked.load(Ordering::Relaxed)), (429, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_read_and_is_the_callers_is_whole_again() {
    let text = refusal("no_work", "none");
    let (left, right) = text.split_at(9);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-end", "1".parse().unwrap());
    let frames = vec![
        Frame::data(Bytes::copy_from_slice(left.as_bytes())),
        Frame::data(Bytes::new()),
        Frame::data(Bytes::copy_from_slice(right.as_bytes())),
        Frame::trailers(trailers),
    ];
    let response = limited("").map(|_| Counted::new(frames, &Arc::default()));
    let body = given(response).await.unwrap().into_body();
    assert_eq!(body.size_hint().lower(), text.len() as u64);
    let collected = body.collect().await.map_err(|_| "no error").unwrap();
    assert_eq!(collected.trailers().unwrap()["x-end"], "1");
    assert_eq!(collected.to_bytes(), text);
}

#[tokio::test(start_paused = true)]
async fn a_challenge_too_long_to_be_one_is_read_no_further_than_the_limit() {
    let chunk = || Frame::data(Bytes::from(vec![b' '; 1 << 20]));
    let asked = Arc::new(AtomicUsize::new(0));
    let endless = Counted::new((0..100).map(|_| chunk()).collect(), &asked);
    let error = given(limited("").map(|_| endless)).await.err().unwrap();
    assert_eq!((error.code(), asked.load(Ordering::Relaxed)), ("body_too_large", 5));
    // What says so beforehand is not read at all.
    let asked = Arc::new(AtomicUsize::new(0));
    let mut long = Counted::new(vec![chunk()], &asked);
    long.hint = SizeHint::with_exact(5 << 20);
    let error = given(limited("").map(|_| long)).await.err().unwrap();
    assert_eq!((error.code(), asked.load(Ordering::Relaxed)), ("body_too_large", 0));
}

#[tokio::test]
async fn dropping_the_future_stops_the_hashing() {
    let (hashed, reports) = mpsc::channel();
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let layer = SolveLayer::new(Terms::default()).on_report(move |report| {
        if let Report::Hashed(progress) = report {
            hashed.send(progress.done).unwrap();
            let _ = wait.lock().unwrap().recv();
        }
    });
    let paying = tokio::spawn(layer.layer(service_fn(|request| gate(request, 0))).oneshot(hello()));
    drop(layer);
    let (first, reports) = tokio::task::spawn_blocking(move || (reports.recv().unwrap(), reports)).await.unwrap();
    assert_eq!(first, 1);
    paying.abort();
    assert!(paying.await.unwrap_err().is_cancelled());
    drop(go_on);
    // The channel ends when the hashing does.
    let more: Vec<u64> = tokio::task::spawn_blocking(move || reports.iter().collect()).await.unwrap();
    assert!(more.is_empty(), "{more:?}");
}

/// Counts who was asked to be ready, and refuses to be called otherwise.
#[derive(Debug)]
struct Polite {
    ready: bool,
    calls: Arc<AtomicUsize>,
}

impl Clone for Polite {
    fn clone(&self) -> Self {
        Self { ready: false, calls: self.calls.clone() }
    }
}

impl Service<Request<Full<Bytes>>> for Polite {
    type Response = Reply;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without being asked");
        self.calls.fetch_add(1, Ordering::Relaxed);
        Box::pin(gate(request, 0))
    }
}

#[tokio::test(start_paused = true)]
async fn the_inner_service_is_asked_to_be_ready_before_each_sending() {
    let calls = Arc::new(AtomicUsize::new(0));
    let mut service = SolveLayer::new(Terms::default()).layer(Polite { ready: false, calls: calls.clone() });
    for _ in 0..3 {
        service.ready().await.unwrap().call(hello()).await.unwrap();
    }
    assert_eq!(calls.load(Ordering::Relaxed), 6);
}

/// A gate that keeps one challenge open, as one keeps for an authenticated client; beyond, `budget`.
#[derive(Debug, Default)]
struct Slots {
    open: usize,
    issued: usize,
    refused: usize,
}

#[tokio::test]
async fn units_are_not_asked_for_where_they_are_not_solved() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let ask = asked.clone();
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        ask.lock().unwrap().push(request.headers().contains_key("x-pouw-accept"));
        async { Ok::<_, Infallible>(Reply::default()) }
    });
    let service = SolveLayer::new(Terms::default()).layer(service);
    for (content_type, expected) in [
        ("application/grpc", false),
        ("application/gRPC-Web+proto", false),
        ("application/json", true),
        ("application/grp", true),
    ] {
        let mut request = hello();
        request.headers_mut().insert("content-type", content_type.parse().unwrap());
        service.clone().oneshot(request).await.unwrap();
        assert_eq!(asked.lock().unwrap().pop(), Some(expected), "{content_type}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_that_finds_the_challenges_used_up_queues_and_gets_through() {
    let slots = Arc::new(Mutex::new(Slots::default()));
    let shared = slots.clone();
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        let slots = shared.clone();
        async move {
            // All of a burst are under way before the first is answered.
            tokio::task::yield_now().await;
            let mut slots = slots.lock().unwrap();
            if has_answer(&request) {
                slots.open -= 1;
                return Ok::<_, Infallible>(accepted());
            }
            if slots.open == 1 {
                slots.refused += 1;
                let mut response = limited(&refusal("budget", "one is open"));
                response.headers_mut().remove("x-pouw-challenge");
                return Ok(response);
            }
            (slots.open, slots.issued) = (1, slots.issued + 1);
            Ok(limited(&problem("work_required", &unit(100))))
        }
    });
    let service = SolveLayer::new(Terms::default()).layer(service);
    let burst: Vec<_> = (0..20).map(|_| tokio::spawn(service.clone().oneshot(hello()))).collect();
    for one in burst {
        let response = one.await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
    }
    let slots = slots.lock().unwrap();
    assert_eq!((slots.issued, slots.open, slots.refused), (20, 0, 19));
}

#[tokio::test(start_paused = true)]
async fn alone_a_used_up_budget_is_handed_back() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let service = service_fn(move |_: Request<Full<Bytes>>| {
        count.fetch_add(1, Ordering::Relaxed);
        let mut response = limited(&refusal("budget", "another process has it"));
        response.headers_mut().remove("x-pouw-challenge");
        async move { Ok::<_, Infallible>(response) }
    });
    let response = SolveLayer::new(Terms::default()).layer(service).oneshot(hello()).await.unwrap();
    assert_eq!((response.status().as_u16(), calls.load(Ordering::Relaxed)), (429, 1));
}

#[tokio::test(start_paused = true)]
async fn with_waiting_too_a_budget_used_up_by_ones_own_requests_is_queued_for() {
    let open = Arc::new(AtomicUsize::new(0));
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        let open = open.clone();
        async move {
            tokio::task::yield_now().await;
            if has_answer(&request) {
                open.store(0, Ordering::Relaxed);
                return Ok::<_, Infallible>(accepted());
            }
            if open.swap(1, Ordering::Relaxed) == 0 {
                return Ok(limited(&problem("work_required", &unit(100))));
            }
            let mut response = limited(&refusal("budget", "one is open"));
            response.headers_mut().remove("x-pouw-challenge");
            response.headers_mut().insert("retry-after", "50".parse().unwrap());
            Ok(response)
        }
    });
    let service = SolveLayer::new(Terms::default().wait_when_limited(true)).layer(service);
    let begun = Instant::now();
    let burst: Vec<_> = (0..20).map(|_| tokio::spawn(service.clone().oneshot(hello()))).collect();
    for one in burst {
        assert_eq!(one.await.unwrap().unwrap().status(), 200);
    }
    // One floor after the other.
    assert_eq!(begun.elapsed().as_millis() / 100, 20);
}

#[tokio::test(start_paused = true)]
async fn a_challenge_that_expired_in_the_queue_is_not_solved() {
    let (seen, hashed) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    let (see, count) = (seen.clone(), hashed.clone());
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        see.lock().unwrap().push(has_answer(&request));
        async move {
            // Both are under way before the first is answered.
            tokio::task::yield_now().await;
            if has_answer(&request) {
                // Longer than the other challenge lives.
                let late = tokio::time::timeout(Duration::from_secs(5), std::future::pending::<()>()).await;
                assert!(late.is_err());
                return Ok::<_, Infallible>(accepted());
            }
            let mut unit = unit(1_000);
            unit.ttl_ms = 3_000;
            Ok(limited(&problem("work_required", &unit)))
        }
    });
    let layer = SolveLayer::new(Terms::default()).on_report(move |report| match report {
        Report::Hashed(progress) if progress.done == progress.total => _ = count.fetch_add(1, Ordering::Relaxed),
        _ => {}
    });
    let service = layer.layer(service);
    let (first, second) = tokio::join!(service.clone().oneshot(hello()), service.oneshot(hello()));
    assert_eq!((first.unwrap().status().as_u16(), second.unwrap().status().as_u16()), (200, 200));
    assert_eq!(*seen.lock().unwrap(), [false, false, true, false, true]);
    assert_eq!(hashed.load(Ordering::Relaxed), 2);
}

/// A body of one-byte chunks, which counts those that somebody keeps.
struct Crumbs {
    text: Vec<u8>,
    at: usize,
    kept: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

struct Crumb([u8; 1], Arc<AtomicUsize>);

impl AsRef<[u8]> for Crumb {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Crumb {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Body for Crumbs {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(byte) = self.text.get(self.at).copied() else { return Poll::Ready(None) };
        self.at += 1;
        self.most.fetch_max(self.kept.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(Crumb([byte], self.kept.clone()))))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_in_one_byte_chunks_is_not_kept_chunk_by_chunk() {
    let text = refusal("no_work", &"x".repeat(100_000)).into_bytes();
    let (kept, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let body = Arc::new(Mutex::new(Some(Crumbs { text: text.clone(), at: 0, kept: kept.clone(), most: most.clone() })));
    let service = service_fn(move |_: Request<Empty<Bytes>>| {
        let body = body.lock().unwrap().take().expect("one request");
        async move { Ok::<_, Infallible>(limited("").map(|_| body)) }
    });
    let response = SolveLayer::new(Terms::default()).layer(service).oneshot(Request::new(Empty::new())).await.unwrap();
    assert_eq!((kept.load(Ordering::Relaxed), most.load(Ordering::Relaxed)), (0, 1));
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), text);
}
