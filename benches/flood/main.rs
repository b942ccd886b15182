//! A flood of over-limit requests from very many clients against `pouw serve`: whether its memory stays where
//! it is, whether every lease comes back, and how long a client under its limit waits meanwhile.
//!
//! **Memory.** `pouw serve --rate 1 --trusted-proxy 127.0.0.1/32`, all else at its defaults, has a backlog of
//! 100 000 units. What it can do is measured first, on a server of its own: over-limit requests in a closed
//! loop. Then 1 000 000 over-limit requests from 100 000 clients in 391 networks arrive at a quarter of that rate,
//! by a schedule that does not wait for replies; those that are let through because a window has passed come on top.
//! Resident memory at the end may be 1.05 times that after 20 % of them.
//!
//! **Leases.** No client answers. Once the tokens have expired no lease may be left, and every leaf of the backlog
//! has to be handed out again.
//!
//! **Latency.** In this process: `Gate::decide` for clients under their limit, idle and while another thread sends
//! over-limit requests at a quarter of what it can. Medians of 5 rounds.
//!
//! `--quick` for less (it still waits a minute for tokens to expire), `--test` for a smoke test without that;
//! `POUW_BENCH_DIR` chooses the disk. Needs Linux's `/proc`. Ends with failure where a bound is broken.

mod aftermath;
#[path = "../backlog/mod.rs"]
mod backlog;
mod latency;
#[path = "../load/mod.rs"]
mod load;
mod sender;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

use pouw::{Config, PouwEngine};

use backlog::{Scale, ingest, options, scratch_on_target, write_leaves};
use load::child::Server;
use load::process::{load_average, machine, resident_kib};
use load::wire::Reply;
use load::{Pool, Run, hello};
use sender::{Flood, Outcome};

/// The most that memory at the end may be of that at 20 %.
const GROWTH_MAX: f64 = 1.05;
const CONNECTIONS: usize = 32;

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Size {
    clients: usize,
    leaves: u64,
    over_limit: usize,
    capacity_seconds: f64,
}

fn main() -> ExitCode {
    let scale = Scale::from_arguments();
    let size = Size {
        clients: scale.pick(100_000, 10_000, 500),
        leaves: scale.pick(100_000, 10_000, 500),
        over_limit: scale.pick(1_000_000, 60_000, 2_000),
        capacity_seconds: scale.pick(10.0, 2.0, 0.1),
    };
    let directory = scratch_on_target();
    println!("stores below {}, load average {}", directory.path().display(), load_average());
    println!("{}\n", machine());
    let stores = ["capacity", "flood", "latency"].map(|name| directory.path().join(name));
    for store in &stores {
        prepare(store, size.leaves);
    }
    let runtime = load::runtime();
    let capacity = runtime.block_on(capacity(&serve(&stores[0]), size));
    let server = serve(&stores[1]);
    let mut failures = Vec::new();
    let outcome = runtime.block_on(flood(&server, size, capacity / 4.0));
    print_flood(&outcome, size, capacity);
    if scale == Scale::Full && outcome.growth() > GROWTH_MAX {
        failures.push(format!("memory grew to {:.3} of that at 20 %, {GROWTH_MAX} is the bound", outcome.growth()));
    }
    if scale != Scale::Test
        && let Err(leak) = runtime.block_on(aftermath::look(&server, size.leaves))
    {
        failures.push(leak);
    }
    server.terminate();
    latency::measure(&stores[2], scale);
    println!("\nload average at the end {}", load_average());
    for failure in &failures {
        println!("FAILED: {failure}");
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Makes a store with one tree of `leaves` leaves. The command makes its own secret there.
fn prepare(place: &Path, leaves: u64) {
    std::fs::create_dir_all(place).expect("the directory can be made");
    let file = place.join("leaves");
    write_leaves(&file, leaves);
    let config = Config::new([7; 32]).expect("the settings are valid");
    let engine = PouwEngine::open(place, config).expect("the store opens");
    ingest(&engine, &options(), std::slice::from_ref(&file));
    engine.close();
    std::fs::remove_file(&file).expect("the file can be removed");
}

fn serve(store: &Path) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pouw"));
    command.args(["serve", "--rate", "1", "--trusted-proxy", "127.0.0.1/32", "--listen", "127.0.0.1:0", "--db"]);
    Server::start(command.arg(store))
}

fn address(client: usize) -> String {
    address_from(10, client)
}

/// Four clients in each /24 from `first`.0.0.0 on: fewer than the eight challenges that a network may have open at
/// a limit of one, so that every client gets one.
fn address_from(first: usize, client: usize) -> String {
    let network = (first << 16) | (client / 4);
    format!("{}.{}.{}.{}", network >> 16, network >> 8 & 255, network & 255, client % 4)
}

fn requests(clients: usize) -> Vec<Vec<u8>> {
    (0..clients).map(|client| hello(&address(client), &[])).collect()
}

/// Takes the one slot of every client.
async fn use_up(pool: &mut Pool, requests: &[Vec<u8>]) {
    let seen = |_: usize, reply: &Reply<'_>| assert_eq!(reply.status, 200, "a first request is let through");
    pool.run(requests.len(), |at| &requests[at], seen).await;
}

/// Over-limit requests per second, when the next one waits for an answer.
async fn capacity(server: &Server, size: Size) -> f64 {
    let requests = requests(size.clients);
    let mut pool = Pool::open(server.address, CONNECTIONS).await;
    use_up(&mut pool, &requests).await;
    let reasons = RefCell::new(BTreeMap::new());
    let seen = |_: usize, reply: &Reply<'_>| *reasons.borrow_mut().entry(sender::kind(reply)).or_insert(0u64) += 1;
    let tried: Run = pool.run(size.clients / 20, |at| &requests[at], seen).await;
    let count = (tried.per_second() * size.capacity_seconds) as usize;
    let run = pool.run(count, |at| &requests[(size.clients / 20 + at) % requests.len()], seen).await;
    println!(
        "capacity: {:.0} over-limit requests per second ({CONNECTIONS} connections, client busy {:.0} %): {}",
        run.per_second(),
        run.own_busy_percent(),
        sender::list(&reasons.borrow()),
    );
    run.per_second()
}

async fn flood(server: &Server, size: Size, rate: f64) -> Outcome {
    let requests = requests(size.clients);
    use_up(&mut Pool::open(server.address, CONNECTIONS).await, &requests).await;
    let memory = || resident_kib(server.id());
    let flood = Flood { address: server.address, rate, over_limit: size.over_limit, requests: &requests };
    flood.run(memory).await
}

fn print_flood(outcome: &Outcome, size: Size, capacity: f64) {
    println!(
        "flood: {} over-limit requests and {} that were let through, from {} clients, at {:.0} per second \
         for {:.0} s; {:.0} % of capacity",
        outcome.over_limit,
        outcome.passed,
        size.clients,
        outcome.per_second(),
        outcome.elapsed.as_secs_f64(),
        outcome.per_second() / capacity * 100.0,
    );
    println!("answers: {}", sender::list(&outcome.reasons));
    println!(
        "from the moment a request was due to its answer: median {:.2} ms, p99 {:.2} ms, longest {:.0} ms\n",
        outcome.latency_ms(50.0),
        outcome.latency_ms(99.0),
        outcome.latency_ms(100.0),
    );
    println!("| over-limit requests | resident memory, MiB | to that at 20 % |");
    println!("|---:|---:|---:|");
    let after_20 = outcome.memory_kib_at(20);
    for percent in [0, 20, 40, 60, 80, 100] {
        let kib = outcome.memory_kib_at(percent);
        let ratio = kib as f64 / after_20 as f64;
        println!("| {percent} % | {:.1} | {ratio:.3} |", kib as f64 / 1024.0);
    }
    let highest = outcome.highest_kib_from(20);
    println!("| highest from 20 % on | {:.1} | {:.3} |", highest as f64 / 1024.0, highest as f64 / after_20 as f64);
    println!();
}
