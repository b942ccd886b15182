//! What a request costs over loopback: CPU time of the server's process and requests per second, for bare
//! axum, axum behind the gate in each of its moods, and Express with express-rate-limit.
//!
//! Every server is a process of its own and gets the same requests, `GET /hello` with the same headers, from
//! one client with 32 connections that each wait for their answer. Rounds go through all scenarios in turn,
//! each time from another one on; the ratio is to bare axum in the same round, and medians are printed. CPU
//! time is the time of all threads of the server, system calls among it. Every response is looked at: one
//! that is not what its row says makes the benchmark fail.
//!
//! The client runs on one thread. Where it was busy all the time, the requests per second are its limit, not
//! the server's; CPU time is not affected. Challenges are Low units of 512 bytes, and budgets and ceilings
//! are set so high that they refuse nothing. Unanswered challenges expire after a minute, mostly while
//! another server is being measured. Answers are made before the clock starts; with 32 of them on their way,
//! a commit holds 32 at most.
//!
//! `--quick` for less, `--test` for a smoke test without Express; `POUW_BENCH_DIR` chooses the disk. Needs
//! Linux's `/proc`, and `node` and `npm` for the rows of Express: without them these are left out.

#[path = "../../examples/axum.rs"]
mod axum_example;
#[path = "../backlog/mod.rs"]
mod backlog;
mod express;
#[path = "../load/mod.rs"]
mod load;
mod scenario;
mod server;

use std::path::Path;
use std::process::ExitCode;

use pouw::PouwEngine;

use backlog::{Scale, ingest, median, options, scratch_on_target, write_leaves};
use express::Express;
use load::child::Server;
use load::process::{load_average, machine};
use scenario::{CLIENTS, CONNECTIONS, Cost, Expect, Scenario, use_up};
use server::{
    HIGH_LIMIT, LONG_WINDOW_MS, SHORT_WINDOW_MS, bare, bare_with_headers, engine_config, gate, serve_if_asked,
};

fn main() -> ExitCode {
    serve_if_asked();
    let scale = Scale::from_arguments();
    let directory = scratch_on_target();
    println!("stores below {}, load average {}", directory.path().display(), load_average());
    let express = if scale == Scale::Test { Err("left out of the smoke test".into()) } else { Express::install() };
    let bench = Bench::new(directory.path(), scale, &express);
    let scenarios = load::runtime().block_on(bench.run(scale));
    print_table(&scenarios, &express);
    let unexpected: usize = scenarios.iter().map(|scenario| scenario.unexpected).sum();
    if unexpected > 0 {
        println!("FAILED: {unexpected} responses were not what their row says");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// All servers, and what is asked of them.
struct Bench {
    servers: Vec<Server>,
    /// Those with a limit of one, where every client has to be over it first.
    strict: Vec<usize>,
    scenarios: Vec<Scenario>,
}

impl Bench {
    fn new(place: &Path, scale: Scale, express: &Result<Express, String>) -> Self {
        // Challenges live for a minute, and a fast machine asks for them five times within it.
        let (issued_max, answered_max) = (scale.pick(60_000, 10_000, 1_000), scale.pick(20_000, 4_000, 500));
        let rounds = scale.pick(7, 3, 1) + 1;
        let issuing = store(&place.join("issuing"), issued_max as u64 * rounds.min(6) as u64 + 65_536);
        let accepting = store(&place.join("accepting"), (answered_max * rounds) as u64 + 65_536);
        let idle = store(&place.join("idle"), 0);
        let plain = store(&place.join("plain"), 0);
        let mut servers = vec![
            Server::start(&mut bare()),
            Server::start(&mut gate(&idle, HIGH_LIMIT, SHORT_WINDOW_MS)),
            Server::start(&mut gate(&plain, 1, LONG_WINDOW_MS)),
            Server::start(&mut gate(&issuing, 1, LONG_WINDOW_MS)),
            Server::start(&mut gate(&accepting, 1, LONG_WINDOW_MS)),
            Server::start(&mut bare_with_headers()),
        ];
        let mut strict = vec![2, 3, 4];
        // What one client may send in a window: far below the limit, whatever the machine.
        let most = scale.pick(200_000, 20_000, 1_000);
        let mut scenarios = vec![
            Scenario::new("bare axum", 0, CLIENTS, Expect::Hello, most),
            Scenario::new("bare axum with the gate's headers as constants", 5, CLIENTS, Expect::Counted, most),
            Scenario::new("gate, under the limit, 1 client", 1, 1, Expect::Counted, most),
            Scenario::new("gate, under the limit, 10 000 clients", 1, CLIENTS, Expect::Counted, most),
            Scenario::new("gate, over it, plain 429", 2, CLIENTS, Expect::Plain, most),
            Scenario::new("gate, over it, issuing challenges", 3, CLIENTS, Expect::Unit, issued_max),
            Scenario::new("gate, accepting answers durably", 4, CLIENTS, Expect::Accepted, answered_max),
        ];
        match express {
            Ok(express) => {
                servers.push(Server::start(&mut express.command(None, SHORT_WINDOW_MS)));
                servers.push(Server::start(&mut express.command(Some(HIGH_LIMIT), SHORT_WINDOW_MS)));
                servers.push(Server::start(&mut express.command(Some(1), LONG_WINDOW_MS)));
                strict.push(8);
                scenarios.extend([
                    Scenario::new("bare Express", 6, CLIENTS, Expect::Hello, most),
                    Scenario::new(
                        "express-rate-limit, under the limit, 10 000 clients",
                        7,
                        CLIENTS,
                        Expect::Counted,
                        most,
                    ),
                    Scenario::new("express-rate-limit, over it, plain 429", 8, CLIENTS, Expect::Plain, most),
                ]);
            }
            Err(why) => println!("\nNO ROWS OF EXPRESS: {why}\n"),
        }
        Self { servers, strict, scenarios }
    }

    /// All rounds; the scenarios with what they cost.
    async fn run(self, scale: Scale) -> Vec<Scenario> {
        let Self { servers, strict, mut scenarios } = self;
        for at in strict {
            use_up(&servers[at]).await;
        }
        for scenario in &mut scenarios {
            scenario
                .calibrate(&servers[scenario.server], scale.pick(5_000, 2_000, 200), scale.pick(3.0, 0.5, 0.02))
                .await;
            println!("{}: {} requests in a round", scenario.name, scenario.requests);
        }
        let count = scenarios.len();
        for round in 0..scale.pick(7, 3, 1) {
            for turn in 0..count {
                let scenario = &mut scenarios[(round + turn) % count];
                let cost = scenario.round(&servers[scenario.server]).await;
                scenario.rounds.push(cost);
            }
            let bare = scenarios[0].rounds[round];
            println!("round {}: bare axum {:.2} us, {:.0}/s", round + 1, bare.cpu_us, bare.per_second);
        }
        scenarios
    }
}

/// Makes a store with a backlog of `leaves` leaves and returns its directory.
fn store(place: &Path, leaves: u64) -> std::path::PathBuf {
    std::fs::create_dir_all(place).expect("the directory can be made");
    if leaves > 0 {
        let file = place.join("leaves");
        write_leaves(&file, leaves);
        let engine = PouwEngine::open(place, engine_config()).expect("the store opens");
        ingest(&engine, &options(), std::slice::from_ref(&file));
        engine.close();
        std::fs::remove_file(&file).expect("the file can be removed");
    }
    place.to_owned()
}

fn print_table(scenarios: &[Scenario], express: &Result<Express, String>) {
    let rounds = scenarios[0].rounds.len();
    println!("\n{}; load average at the end {}", machine(), load_average());
    if let Ok(express) = express {
        println!("{}", express.describe());
    }
    println!("medians of {rounds} interleaved rounds, {CONNECTIONS} connections\n");
    println!(
        "| server and what it does | CPU us/request | to bare axum | lowest to highest | requests/s | bytes/response | client busy |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    let mut json = Vec::new();
    for scenario in scenarios {
        let of = |value: fn(&Cost) -> f64| median(&scenario.rounds.iter().map(value).collect::<Vec<_>>());
        let mut ratios: Vec<f64> =
            scenario.rounds.iter().zip(&scenarios[0].rounds).map(|(own, bare)| own.cpu_us / bare.cpu_us).collect();
        ratios.sort_by(f64::total_cmp);
        let (cpu_us, per_second, ratio) = (of(|cost| cost.cpu_us), of(|cost| cost.per_second), median(&ratios));
        println!(
            "| {} | {cpu_us:.2} | {ratio:.3} | {:.3} to {:.3} | {per_second:.0} | {:.0} | {:.0} % |",
            scenario.name,
            ratios[0],
            ratios[ratios.len() - 1],
            of(|cost| cost.bytes),
            of(|cost| cost.own_busy_percent),
        );
        json.push(format!(
            "{{\"row\":\"{}\",\"cpu_us\":{cpu_us:.3},\"ratio\":{ratio:.4},\"per_second\":{per_second:.0}}}",
            scenario.name
        ));
    }
    println!("\n{{\"bench\":\"loopback\",\"rounds\":{rounds},\"rows\":[{}]}}", json.join(","));
}
