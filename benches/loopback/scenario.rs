//! What is sent to which server, what has to come back, and what it cost.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use pouw::protocol::WorkUnit;
use pouw::solver::compute_work_unit;

use crate::load::child::Server;
use crate::load::process::CpuTime;
use crate::load::wire::{Reply, member};
use crate::load::{Pool, Run, hello};

/// Connections, each with one request on its way.
pub const CONNECTIONS: usize = 32;
/// Clients of the scenarios with many.
pub const CLIENTS: usize = 10_000;

/// What every response of a scenario has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// 200 and the service's words.
    Hello,
    /// The same, with the headers of a limiter.
    Counted,
    /// 429 without work.
    Plain,
    /// 429 with a real unit and a token.
    Unit,
    /// 200 for an answer that is durable.
    Accepted,
}

impl Expect {
    fn holds(self, reply: &Reply<'_>) -> bool {
        match self {
            Self::Hello => reply.status == 200 && reply.body == b"hello\n",
            Self::Counted => Self::Hello.holds(reply) && reply.header("x-ratelimit-limit").is_some(),
            Self::Plain => reply.status == 429 && !reply.has_unit(),
            Self::Unit => reply.status == 429 && reply.has_unit() && reply.header("x-pouw-challenge").is_some(),
            Self::Accepted => reply.status == 200 && reply.header("x-pouw-accepted") == Some("true"),
        }
    }
}

/// One row of the table.
pub struct Scenario {
    pub name: &'static str,
    /// Which of the servers.
    pub server: usize,
    pub clients: usize,
    pub expect: Expect,
    /// Requests in one round at most: what the backlog allows.
    pub requests_max: usize,
    /// Requests in one round, once it is known how many fill the time.
    pub requests: usize,
    pub rounds: Vec<Cost>,
    /// Responses that were not what was expected.
    pub unexpected: usize,
}

/// One round.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub cpu_us: f64,
    pub per_second: f64,
    pub bytes: f64,
    pub own_busy_percent: f64,
}

impl Scenario {
    pub fn new(name: &'static str, server: usize, clients: usize, expect: Expect, requests_max: usize) -> Self {
        Self { name, server, clients, expect, requests_max, requests: 0, rounds: Vec::new(), unexpected: 0 }
    }

    /// A few requests, to warm everything up and to see how many fill a round of `seconds`.
    pub async fn calibrate(&mut self, server: &Server, warm_up: usize, seconds: f64) {
        self.requests = warm_up.min(self.requests_max);
        let cost = self.round(server).await;
        self.requests = ((cost.per_second * seconds) as usize).clamp(CONNECTIONS, self.requests_max);
    }

    /// One round on connections of its own.
    pub async fn round(&mut self, server: &Server) -> Cost {
        let requests = match self.expect {
            Expect::Accepted => self.answers(server).await,
            _ => (0..self.clients).map(|client| hello(&address(client), &[])).collect(),
        };
        let mut pool = Pool::open(server.address, CONNECTIONS).await;
        settle().await;
        let unexpected = Cell::new(0);
        let sample = RefCell::new(None);
        let before = CpuTime::of(server.id());
        let seen = |_: usize, reply: &Reply<'_>| {
            if !self.expect.holds(reply) {
                unexpected.set(unexpected.get() + 1);
                sample.borrow_mut().get_or_insert_with(|| shown(reply));
            }
        };
        let run: Run = pool.run(self.requests, |at| &requests[at % requests.len()], seen).await;
        settle().await;
        let cpu_ns = CpuTime::of(server.id()).since_ns(&before);
        self.unexpected += unexpected.get();
        if let Some(sample) = sample.into_inner() {
            println!("{}: {} unexpected, like {sample}", self.name, unexpected.get());
        }
        Cost {
            cpu_us: cpu_ns as f64 / 1e3 / run.requests as f64,
            per_second: run.per_second(),
            bytes: run.bytes as f64 / run.requests as f64,
            own_busy_percent: run.own_busy_percent(),
        }
    }

    /// Asks for as many challenges as a round needs, solves them, and makes the requests that answer them.
    async fn answers(&self, server: &Server) -> Vec<Vec<u8>> {
        let asking: Vec<_> = (0..self.clients).map(|client| hello(&address(client), &[])).collect();
        let units = RefCell::new(Vec::with_capacity(self.requests));
        let seen = |at: usize, reply: &Reply<'_>| {
            let found = member(reply.body, "\"workUnit\":");
            let unit = found.unwrap_or_else(|| panic!("{}: no unit in {}", self.name, shown(reply)));
            // The unit is the last member of the document.
            units.borrow_mut().push((at % self.clients, unit[..unit.len() - 1].to_owned()));
        };
        Pool::open(server.address, CONNECTIONS).await.run(self.requests, |at| &asking[at % asking.len()], seen).await;
        let solve = |(client, unit): (usize, String)| {
            let unit = WorkUnit::from_json(unit.as_bytes()).expect("the unit is well formed");
            let result = compute_work_unit(&unit).expect("the unit adds up");
            let more = [("X-PoUW-Response", unit.challenge_token.as_str()), ("X-PoUW-Result", &result.to_compact())];
            hello(&address(client), &more)
        };
        units.into_inner().into_iter().map(solve).collect()
    }
}

/// Takes the one slot of every client, on a server with a limit of one.
pub async fn use_up(server: &Server) {
    let requests: Vec<_> = (0..CLIENTS).map(|client| hello(&address(client), &[])).collect();
    let seen = |_: usize, reply: &Reply<'_>| assert!(Expect::Hello.holds(reply), "{}", shown(reply));
    Pool::open(server.address, CONNECTIONS).await.run(CLIENTS, |at| &requests[at], seen).await;
}

/// What is still being put away on the other side, connections that open or close among it, is over soon.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// Addresses of one length, 100 in each of 100 networks.
fn address(client: usize) -> String {
    format!("10.100.{}.{}", 100 + client / 100 % 100, 100 + client % 100)
}

fn shown(reply: &Reply<'_>) -> String {
    let text = String::from_utf8_lossy(reply.body);
    format!("{} {}", reply.status, text.chars().take(300).collect::<String>())
}
