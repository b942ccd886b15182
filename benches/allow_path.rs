//! The allow path in process beside the crate `governor` (GCRA, keyed by strings, its default clock and map):
//! nanoseconds for each request that is let through, one thread and two, 10 000 clients and 1 000 000.
//!
//! * `governor`: `RateLimiter::check_key`. It gives a yes.
//! * `gate`: `Gate::decide`. It gives a verdict with limit, remaining and reset, counts the request, and logs it in an
//!   exact window.
//! * `gate, headers`: the same with the five headers of a response written out.
//!
//! Both have a limit of 100 a minute. Every round has limiters of its own that know all clients; then each thread
//! goes through its share of a shuffled list of requests, the same list for all. Rounds are interleaved, medians
//! and the median of the rounds' ratios are printed.
//!
//! `--quick` for less, `--test` for a smoke test.

mod backlog;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use pouw::internal::gate::{Facts, decide};
use pouw::{ClientKey, Config, Decision, Gate, GateConfig, NetworkPrefix, PouwEngine, Verdict};

use backlog::{Scale, median, scratch};

const LIMIT: u32 = 100;

/// Requests of one round for each client, by number of clients.
fn requests_each(clients: usize) -> usize {
    if clients > 100_000 { 2 } else { 50 }
}

fn main() {
    let scale = Scale::from_arguments();
    let sizes = [scale.pick(10_000, 10_000, 100), scale.pick(1_000_000, 200_000, 200)];
    let rounds = scale.pick(7, 3, 1);
    let directory = scratch();
    let config = Config::builder([7; 32]).background(false).build().expect("the settings are valid");
    let engine = PouwEngine::open(directory.path(), config).expect("the store opens");
    println!("nanoseconds for each request let through, medians of {rounds} interleaved rounds");
    println!("| clients | threads | governor | gate | of governor | gate, headers | of governor |");
    println!("|---|---|---|---|---|---|---|");
    for clients in sizes {
        let load = Load::new(clients);
        for threads in [1, 2] {
            let times: Vec<[f64; 3]> = (0..rounds).map(|_| round(&engine, &load, threads)).collect();
            print_row(clients, threads, &times);
        }
    }
    engine.close();
}

fn print_row(clients: usize, threads: usize, times: &[[f64; 3]]) {
    let all = |value: &dyn Fn(&[f64; 3]) -> f64| median(&times.iter().map(value).collect::<Vec<_>>());
    let [governor, gate, written] = [0, 1, 2].map(|at| all(&|round| round[at]));
    let [gate_ratio, written_ratio] = [1, 2].map(|at| all(&|round| round[at] / round[0]));
    println!(
        "| {clients} | {threads} | {governor:.0} | {gate:.0} | {gate_ratio:.2} | {written:.0} | {written_ratio:.2} |"
    );
}

/// Clients in the form that each side keys by, and who comes when.
struct Load {
    names: Vec<String>,
    users: Vec<Arc<str>>,
    order: Vec<u32>,
}

impl Load {
    fn new(clients: usize) -> Self {
        let names: Vec<String> = (0..clients).map(|at| format!("customer-{at:08}")).collect();
        let users = names.iter().map(|name| name.as_str().into()).collect();
        let count = u32::try_from(clients).expect("they are few");
        let mut order: Vec<u32> = (0..requests_each(clients)).flat_map(|_| 0..count).collect();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for at in (1..order.len()).rev() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            order.swap(at, (state % (at as u64 + 1)) as usize);
        }
        Self { names, users, order }
    }

    fn facts(&self, at: usize) -> Facts {
        let address = Ipv4Addr::from_bits(0x0a00_0000 | u32::try_from(at).expect("they are few"));
        Facts::new(ClientKey::User(self.users[at].clone()), NetworkPrefix::of(Some(IpAddr::V4(address))))
    }
}

/// One round of all three.
fn round(engine: &PouwEngine, load: &Load, threads: usize) -> [f64; 3] {
    let governor: DefaultKeyedRateLimiter<String> =
        RateLimiter::keyed(Quota::per_minute(NonZeroU32::new(LIMIT).expect("it is positive")));
    let by_governor = |at: usize| governor.check_key(&load.names[at]).is_ok();
    let first = timed(load, threads, &by_governor);
    drop(governor);
    let gate = new_gate(engine);
    let second = timed(load, threads, &|at: usize| match decide(&gate, load.facts(at)) {
        Verdict::Decided(Decision::Pass(pass)) => {
            black_box(pass);
            true
        }
        _ => false,
    });
    let gate = new_gate(engine);
    let third = timed(load, threads, &|at: usize| match decide(&gate, load.facts(at)) {
        Verdict::Decided(Decision::Pass(pass)) => {
            black_box(pass.headers(&gate));
            true
        }
        _ => false,
    });
    [first, second, third]
}

fn new_gate(engine: &PouwEngine) -> Gate {
    let config = GateConfig::builder().rate_limit(LIMIT).tracked_clients_max(2_000_000).build();
    Gate::new(engine.clone(), config.expect("the settings are valid")).expect("the system gives threads")
}

/// Nanoseconds for each request of one thread, after every client has been seen once.
fn timed(load: &Load, threads: usize, passes: &(dyn Fn(usize) -> bool + Sync)) -> f64 {
    assert!((0..load.names.len()).all(passes), "no client is over the limit");
    let share = load.order.len() / threads;
    let spent: Vec<f64> = std::thread::scope(|scope| {
        let runs: Vec<_> =
            load.order.chunks_exact(share).map(|part| scope.spawn(move || go_through(part, passes))).collect();
        runs.into_iter().map(|run| run.join().expect("no thread panics")).collect()
    });
    spent.iter().sum::<f64>() / spent.len() as f64 / share as f64
}

fn go_through(part: &[u32], passes: &(dyn Fn(usize) -> bool + Sync)) -> f64 {
    let begun = Instant::now();
    let passed = part.iter().filter(|at| passes(**at as usize)).count();
    let spent = begun.elapsed();
    assert_eq!(passed, part.len(), "no client is over the limit");
    spent.as_secs_f64() * 1e9
}
