//! 9.4 of the paper: what a request costs beside a plain sliding-window limiter, and beside no limiter.
//!
//! Every case is the same in-process call of a tower service, its response read to the end, on one thread; only
//! what is in front of the trivial service differs. CPU time is the whole process's, so that the threads which
//! judge and commit are counted. Cases alternate in rounds, medians over the rounds are printed.

use std::time::Duration;

use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use indicatif::ProgressBar;
use parking_lot::Mutex;
use pouw::protocol::{DifficultyTier, header};
use pouw::tower::{PouwLayer, PouwService};
use pouw::{Gate, PeerAddr};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tower_layer::Layer;
use tower_service::Service;

use super::failure::Failure;
use super::machine::cpu_time;
use super::rig::{DAY_MS, Rig, Solved, address, solve, unhindered, unit_in};
use super::services::{Hello, Limited, PlainLimiter};
use super::statistics::{Spread, Times, micros};

/// Answers under way at the same time in the last case.
pub const AT_ONCE: usize = 64;
/// Requests of one client in a round.
const PER_CLIENT: u32 = 10;
/// The paper's window.
const WINDOW_MS: u64 = 60_000;

/// The limiter in front of the service, and the outcome of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    Bare,
    PlainUnder,
    PlainOver,
    GateUnder,
    GateOver,
    Challenge,
    Answer,
    AnswersAtOnce,
}

impl Case {
    pub const ALL: [Self; 8] = [
        Self::Bare,
        Self::PlainUnder,
        Self::PlainOver,
        Self::GateUnder,
        Self::GateOver,
        Self::Challenge,
        Self::Answer,
        Self::AnswersAtOnce,
    ];
    /// Those that need nothing of one another, so that their order can change from round to round.
    const FREE: [Self; 5] = [Self::Bare, Self::PlainUnder, Self::PlainOver, Self::GateUnder, Self::GateOver];
}

/// One case in one round.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    pub case: Case,
    pub requests: u64,
    pub cpu_us: f64,
    pub spread: Spread,
}

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub rounds: u16,
    /// Requests of each case in a round.
    pub requests: u32,
    /// Answers of each of the two cases with answers in a round.
    pub answers: u32,
}

/// What all rounds came to.
pub struct Rounds {
    pub measured: Vec<Measured>,
    /// Answers given, and how many of them the store has.
    pub answers: u64,
    pub accepted: u64,
}

type Call = Request<Empty<Bytes>>;

/// Runs all rounds, after one that does not count.
pub fn measure(place: &Path, size: Size, bar: &ProgressBar) -> Result<Rounds, Failure> {
    bar.set_message("9.4: making a backlog");
    let rounds = u64::from(size.rounds) + 1;
    let answers = rounds * u64::from(size.answers) * 2;
    let rig = Rig::open(place, answers, DifficultyTier::Low)?;
    let mut stand = Stand::new(&rig, size)?;
    let before = rig.engine.stats().totals.units;
    stand.round(0)?;
    let mut measured = Vec::new();
    for round in 1..=usize::from(size.rounds) {
        bar.set_message(format!("9.4: round {round} of {}", size.rounds));
        measured.append(&mut stand.round(round)?);
    }
    Ok(Rounds { measured, answers, accepted: rig.engine.stats().totals.units - before })
}

/// All services.
struct Stand {
    size: Size,
    runtime: Runtime,
    plain_under: Limited,
    plain_over: Limited,
    gate_under: PouwService<Hello>,
    gate_over: PouwService<Hello>,
    gate_paid: PouwService<Hello>,
}

impl Stand {
    fn new(rig: &Rig, size: Size) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let behind = |gate: Gate| PouwLayer::new(gate).layer(Hello);
        // More than any client reaches in all rounds, and at least the paper's default.
        let plenty = (PER_CLIENT * (u32::from(size.rounds) + 2)).max(100);
        let mut stand = Self {
            size,
            runtime,
            plain_under: Limited::new(PlainLimiter::new(plenty, WINDOW_MS)),
            plain_over: Limited::new(PlainLimiter::new(1, DAY_MS)),
            gate_under: behind(rig.gate(unhindered().rate_limit(plenty).window(Duration::from_millis(WINDOW_MS)))?),
            // Where nothing can be paid for with work, the refusal is a plain one.
            gate_over: behind(rig.gate(unhindered().paid_admissions_per_window(0))?),
            gate_paid: behind(rig.gate(unhindered())?),
        };
        // The one request that everybody has who is to be over the limit.
        let clients = stand.clients();
        let first = |clients: u32| (0..clients).map(|client| request(client, None)).collect::<Result<Vec<_>, _>>();
        let Self { runtime, plain_over, gate_over, gate_paid, .. } = &mut stand;
        runtime.block_on(async {
            each(plain_over, first(clients)?, StatusCode::OK, None).await?;
            each(gate_over, first(clients)?, StatusCode::OK, None).await?;
            each(gate_paid, first(size.answers * 2)?, StatusCode::OK, None).await
        })?;
        Ok(stand)
    }

    fn clients(&self) -> u32 {
        self.size.requests.div_ceil(PER_CLIENT)
    }

    /// Every case once.
    fn round(&mut self, number: usize) -> Result<Vec<Measured>, Failure> {
        let mut order = Case::FREE;
        order.rotate_left(number % Case::FREE.len());
        let mut measured = Vec::new();
        for case in order {
            let clients = self.clients();
            let requests = (0..self.size.requests).map(|number| request(number % clients, None));
            let requests = requests.collect::<Result<Vec<_>, _>>()?;
            let (ok, over) = (StatusCode::OK, StatusCode::TOO_MANY_REQUESTS);
            let runtime = &self.runtime;
            measured.push(match case {
                Case::Bare => timed(runtime, case, each(&mut Hello, requests, ok, None)),
                Case::PlainUnder => timed(runtime, case, each(&mut self.plain_under, requests, ok, None)),
                Case::PlainOver => timed(runtime, case, each(&mut self.plain_over, requests, over, None)),
                Case::GateUnder => timed(runtime, case, each(&mut self.gate_under, requests, ok, None)),
                _ => timed(runtime, case, each(&mut self.gate_over, requests, over, None)),
            }?);
        }
        self.work(&mut measured)?;
        Ok(measured)
    }

    /// Challenges for all clients, and their answers: half of them one after the other, half at once.
    fn work(&mut self, measured: &mut Vec<Measured>) -> Result<(), Failure> {
        let clients = self.size.answers * 2;
        let requests = (0..clients).map(|client| request(client, None)).collect::<Result<Vec<_>, _>>()?;
        let mut bodies = Vec::with_capacity(requests.len());
        let challenged = each(&mut self.gate_paid, requests, StatusCode::TOO_MANY_REQUESTS, Some(&mut bodies));
        measured.push(timed(&self.runtime, Case::Challenge, challenged)?);
        let mut answers = Vec::with_capacity(bodies.len());
        for (client, body) in (0..clients).zip(&bodies) {
            answers.push(request(client, Some(&solve(client, &unit_in(body)?)?))?);
        }
        drop(bodies);
        let second = answers.split_off(answers.len() / 2);
        let one_by_one = each(&mut self.gate_paid, answers, StatusCode::OK, None);
        measured.push(timed(&self.runtime, Case::Answer, one_by_one)?);
        measured.push(timed(&self.runtime, Case::AnswersAtOnce, together(&self.gate_paid, second))?);
        Ok(())
    }
}

fn timed(
    runtime: &Runtime,
    case: Case,
    work: impl Future<Output = Result<Times, Failure>>,
) -> Result<Measured, Failure> {
    let before = cpu_time();
    let times = runtime.block_on(work)?;
    let cpu = cpu_time().saturating_sub(before);
    let requests = times.len();
    Ok(Measured { case, requests, cpu_us: micros(cpu) / requests.max(1) as f64, spread: times.spread() })
}

/// Sends one request after the other, and keeps the bodies in `keep`.
async fn each<S, R>(
    service: &mut S,
    requests: Vec<Call>,
    expected: StatusCode,
    mut keep: Option<&mut Vec<Bytes>>,
) -> Result<Times, Failure>
where
    S: Service<Call, Response = Response<R>>,
    S::Error: Display,
    R: Body<Data = Bytes>,
    R::Error: Display,
{
    let mut times = Times::default();
    for request in requests {
        let started = Instant::now();
        let body = call(service, request, expected).await?;
        if let Some(bodies) = &mut keep {
            bodies.push(body);
        }
        times.push(started.elapsed());
    }
    Ok(times)
}

/// [`AT_ONCE`] requests under way at the same time.
async fn together(service: &PouwService<Hello>, requests: Vec<Call>) -> Result<Times, Failure> {
    let queue = Arc::new(Mutex::new(requests));
    let times = Arc::new(Mutex::new(Times::default()));
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (queue, times, mut service) = (queue.clone(), times.clone(), service.clone());
        tasks.spawn(async move {
            loop {
                let next = queue.lock().pop();
                let Some(request) = next else {
                    return Ok::<_, Failure>(());
                };
                let started = Instant::now();
                call(&mut service, request, StatusCode::OK).await?;
                times.lock().push(started.elapsed());
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| Failure::failed(error.to_string()))??;
    }
    let times = std::mem::take(&mut *times.lock());
    Ok(times)
}

/// One request, its response read to the end.
async fn call<S, R>(service: &mut S, request: Call, expected: StatusCode) -> Result<Bytes, Failure>
where
    S: Service<Call, Response = Response<R>>,
    S::Error: Display,
    R: Body<Data = Bytes>,
    R::Error: Display,
{
    let failed = |error: &dyn Display| Failure::failed(error.to_string());
    let answers = request.headers().contains_key(header::RESPONSE);
    poll_fn(|context| service.poll_ready(context)).await.map_err(|error| failed(&error))?;
    let response = service.call(request).await.map_err(|error| failed(&error))?;
    let status = response.status();
    let accepted = response.headers().contains_key(header::ACCEPTED);
    let body = response.into_body().collect().await.map_err(|error| failed(&error))?.to_bytes();
    if status != expected || accepted != answers {
        let said = String::from_utf8_lossy(&body);
        return Err(Failure::failed(format!("expected {expected}, found {status}: {said}")));
    }
    Ok(body)
}

fn request(client: u32, answer: Option<&Solved>) -> Result<Call, Failure> {
    let mut request = Request::get("http://localhost/");
    if let Some(Solved { token, result, .. }) = answer {
        request = request.header(header::RESPONSE, token).header(header::RESULT, result);
    }
    Ok(request.extension(PeerAddr(SocketAddr::new(address(client), 4_000))).body(Empty::new())?)
}
