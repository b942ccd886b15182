//! Requests by a schedule: each is sent when it is due, whether or not those before it have been answered.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::load::wire::{Replies, Reply, send};

/// Connections the requests are dealt to in turn. A server answers the requests of one connection one after
/// the other.
const CONNECTIONS: usize = 32;
/// Memory is measured after each of these percentages.
const LOOK_PERCENT: usize = 2;
/// An answer that takes longer is taken for lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to send.
pub struct Flood<'a> {
    pub address: SocketAddr,
    pub rate: f64,
    /// It continues until this number of requests was refused.
    pub over_limit: usize,
    /// One for each client, sent in turn.
    pub requests: &'a [Vec<u8>],
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    pub over_limit: usize,
    pub passed: usize,
    pub reasons: BTreeMap<String, u64>,
    pub elapsed: Duration,
    /// From due to answered, microseconds.
    latencies_us: Vec<u32>,
    /// Resident memory after 0, 2, 4, ... percent.
    memory_kib: Vec<u64>,
}

/// What a response is, in a word or two.
pub fn kind(reply: &Reply<'_>) -> String {
    match (reply.status, reply.reason()) {
        (200, _) => "let through".to_owned(),
        (429, Some(reason)) if reply.has_unit() => {
            let made_up = crate::load::wire::member(reply.body, "\"synthetic\":true").is_some();
            format!("{reason}{}", if made_up { " (made-up unit)" } else { " (unit)" })
        }
        (429, Some(reason)) => format!("{reason} (plain)"),
        (status, reason) => panic!("a response of status {status}, reason {reason:?}"),
    }
}

/// Kinds and how many there were of each.
pub fn list(reasons: &BTreeMap<String, u64>) -> String {
    let each: Vec<String> = reasons.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    each.join(", ")
}

impl Flood<'_> {
    /// Sends until enough were refused; `memory` is asked on the way.
    pub async fn run(&self, memory: impl Fn() -> u64) -> Outcome {
        let outcome = RefCell::new(Outcome { memory_kib: vec![memory()], ..Outcome::default() });
        let done = Cell::new(false);
        let mut halves = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            let stream = TcpStream::connect(self.address).await.expect("the server listens");
            stream.set_nodelay(true).expect("the option exists");
            halves.push(stream.into_split());
        }
        let began = Instant::now();
        let lanes = halves.into_iter().enumerate().map(|(lane, (from, to))| {
            let (done, outcome, memory) = (&done, &outcome, &memory);
            async move {
                let on_its_way = RefCell::new(VecDeque::new());
                let sending = self.send(lane, to, began, done, &on_its_way);
                let reading = self.read(from, done, &on_its_way, outcome, memory);
                futures_util::future::join(sending, reading).await
            }
        });
        futures_util::future::join_all(lanes).await;
        let mut outcome = outcome.into_inner();
        outcome.elapsed = began.elapsed();
        outcome.latencies_us.sort_unstable();
        outcome
    }

    /// Every request of this lane when it is due, until enough were refused.
    async fn send(
        &self,
        lane: usize,
        mut to: OwnedWriteHalf,
        began: Instant,
        done: &Cell<bool>,
        on_its_way: &RefCell<VecDeque<Instant>>,
    ) {
        let mut at = lane;
        let mut bytes = Vec::new();
        while !done.get() {
            let due_at = |at: usize| began + Duration::from_secs_f64(at as f64 / self.rate);
            tokio::time::sleep_until(due_at(at).into()).await;
            bytes.clear();
            let now = Instant::now();
            while due_at(at) <= now {
                bytes.extend_from_slice(&self.requests[at % self.requests.len()]);
                on_its_way.borrow_mut().push_back(due_at(at));
                at += CONNECTIONS;
            }
            send(&mut to, &bytes).await.expect("the server takes requests");
        }
        // A server may drop what it has not answered when its client stops sending.
        let until = Instant::now() + PATIENCE;
        while !on_its_way.borrow().is_empty() {
            assert!(Instant::now() < until, "answers are missing after {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn read(
        &self,
        from: OwnedReadHalf,
        done: &Cell<bool>,
        on_its_way: &RefCell<VecDeque<Instant>>,
        outcome: &RefCell<Outcome>,
        memory: &impl Fn() -> u64,
    ) {
        let mut replies = Replies::new(from);
        loop {
            let reply = match replies.next().await {
                Ok(reply) => reply,
                // The sender has ended after the last answer, and with it the connection.
                Err(_) if done.get() && on_its_way.borrow().is_empty() => return,
                Err(error) => panic!("the server does not answer: {error}"),
            };
            let due = on_its_way.borrow_mut().pop_front().expect("an answer belongs to a request");
            let outcome = &mut *outcome.borrow_mut();
            let waited = due.elapsed().as_micros();
            outcome.latencies_us.push(u32::try_from(waited).unwrap_or(u32::MAX));
            *outcome.reasons.entry(kind(&reply)).or_insert(0) += 1;
            if reply.status == 200 {
                outcome.passed += 1;
                continue;
            }
            outcome.over_limit += 1;
            let looks = outcome.memory_kib.len();
            if looks * LOOK_PERCENT <= 100 && outcome.over_limit >= self.over_limit * looks * LOOK_PERCENT / 100 {
                outcome.memory_kib.push(memory());
            }
            if outcome.over_limit >= self.over_limit {
                done.set(true);
            }
        }
    }
}

impl Outcome {
    pub fn per_second(&self) -> f64 {
        (self.over_limit + self.passed) as f64 / self.elapsed.as_secs_f64()
    }

    pub fn latency_ms(&self, percent: f64) -> f64 {
        let at = (self.latencies_us.len() - 1) as f64 * percent / 100.0;
        f64::from(self.latencies_us[at as usize]) / 1e3
    }

    pub fn memory_kib_at(&self, percent: usize) -> u64 {
        self.memory_kib[percent / LOOK_PERCENT]
    }

    pub fn highest_kib_from(&self, percent: usize) -> u64 {
        self.memory_kib[percent / LOOK_PERCENT..].iter().copied().max().unwrap_or(0)
    }

    /// Memory at the end to that after 20 %.
    pub fn growth(&self) -> f64 {
        self.memory_kib_at(100) as f64 / self.memory_kib_at(20) as f64
    }
}
