//! The allow path in process: `Gate::decide` for clients under their limit, idle and during a flood.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pouw::internal::gate::{Facts, decide};
use pouw::{ClientKey, Config, Decision, Gate, GateConfig, NetworkPrefix, PouwEngine, Verdict};

use crate::backlog::{Scale, median};

/// Two requests for each client: the first is made before the clock starts, so that the second finds a window.
const LIMIT: u32 = 2;
/// No slot frees while this runs.
const WINDOW_MS: u64 = 3_600_000;
/// From one measured request to the next.
const GAP: Duration = Duration::from_micros(25);
/// How often the flood looks at its schedule.
const TICK: Duration = Duration::from_millis(1);

/// Nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Latency {
    p50: f64,
    p99: f64,
}

/// Measures and prints.
pub fn measure(store: &Path, scale: Scale) {
    let flooders = scale.pick(100_000, 10_000, 500);
    let samples = scale.pick(40_000, 10_000, 500);
    let rounds = scale.pick(5, 3, 1);
    let engine = PouwEngine::open(store, Config::new([7; 32]).expect("the settings are valid")).expect("it opens");
    let config = GateConfig::builder()
        .rate_limit(LIMIT)
        .window(Duration::from_millis(WINDOW_MS))
        .build()
        .expect("the settings are valid");
    let gate = Gate::new(engine.clone(), config).expect("threads start");
    let over: Vec<Facts> = (0..flooders).map(|client| facts(10, client)).collect();
    for _ in 0..LIMIT {
        over.iter().for_each(|facts| assert!(passes(&gate, facts.clone()), "a client begins under its limit"));
    }
    let capacity = capacity(&gate, &over);
    let rate = capacity / 4.0;
    println!(
        "\nallow path in process; one thread decides {capacity:.0} over-limit requests per second, the flood is {rate:.0}/s"
    );
    let mut next_client = 0;
    let mut fresh = || {
        let clients: Vec<Facts> = (next_client..next_client + samples).map(|client| facts(11, client)).collect();
        next_client += samples;
        clients.iter().for_each(|facts| assert!(passes(&gate, facts.clone()), "a client begins under its limit"));
        clients
    };
    let (mut idle, mut flooded, mut sent_per_second) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        // In turns: whatever grows or warms up during a round is on both sides.
        for turn in 0..2 {
            let clients = fresh();
            if (round + turn) % 2 == 0 {
                idle.push(latency(&gate, clients));
            } else {
                let (measured, rate) = during_flood(&gate, &over, rate, clients);
                flooded.push(measured);
                sent_per_second.push(rate);
            }
        }
    }
    print_table(&idle, &flooded, median(&sent_per_second), samples);
    engine.close();
}

fn facts(network: u8, client: usize) -> Facts {
    let [_, high, middle, low] = (client as u32).to_be_bytes();
    let address = std::net::IpAddr::from([network, high, middle, low]);
    Facts::new(ClientKey::of_address(address, 64), NetworkPrefix::of(Some(address)))
}

fn passes(gate: &Gate, facts: Facts) -> bool {
    matches!(decide(gate, facts), Verdict::Decided(Decision::Pass(_)))
}

/// Over-limit requests that one thread decides in a second.
fn capacity(gate: &Gate, over: &[Facts]) -> f64 {
    let began = Instant::now();
    let count = over.len();
    over.iter().for_each(|facts| assert!(!passes(gate, facts.clone()), "the flood is over its limit"));
    count as f64 / began.elapsed().as_secs_f64()
}

fn latency(gate: &Gate, clients: Vec<Facts>) -> Latency {
    let mut taken: Vec<u64> = Vec::with_capacity(clients.len());
    let mut due = Instant::now();
    for facts in clients {
        due += GAP;
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        let began = Instant::now();
        let decision = decide(gate, facts);
        taken.push(began.elapsed().as_nanos() as u64);
        assert!(matches!(decision, Verdict::Decided(Decision::Pass(_))), "a client under its limit is let through");
    }
    taken.sort_unstable();
    let at = |percent: usize| taken[(taken.len() - 1) * percent / 100] as f64;
    Latency { p50: at(50), p99: at(99) }
}

/// The same while a thread sends over-limit requests, and how many it sent in a second.
fn during_flood(gate: &Gate, over: &[Facts], rate: f64, clients: Vec<Facts>) -> (Latency, f64) {
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let began = Instant::now();
            let mut at = 0;
            while !stop.load(Ordering::Relaxed) {
                let due = (began.elapsed().as_secs_f64() * rate) as usize;
                while at < due && !stop.load(Ordering::Relaxed) {
                    assert!(!passes(gate, over[at % over.len()].clone()), "the flood is over its limit");
                    at += 1;
                    sent.store(at as u64, Ordering::Relaxed);
                }
                std::thread::sleep(TICK);
            }
        });
        // Under way before the first sample.
        while sent.load(Ordering::Relaxed) == 0 && !flood.is_finished() {
            std::thread::yield_now();
        }
        let (began, before) = (Instant::now(), sent.load(Ordering::Relaxed));
        let measured = latency(gate, clients);
        let count = sent.load(Ordering::Relaxed) - before;
        stop.store(true, Ordering::Relaxed);
        (measured, count as f64 / began.elapsed().as_secs_f64())
    })
}

fn print_table(idle: &[Latency], flooded: &[Latency], sent_per_second: f64, samples: usize) {
    println!("medians of {} rounds of {samples} requests each; the flood came to {sent_per_second:.0}/s\n", idle.len());
    println!("| `Gate::decide` under the limit | idle, ns | during the flood, ns | ratio |");
    println!("|---|---:|---:|---:|");
    let mut json = Vec::new();
    for (name, value) in [("p50", (|one| one.p50) as fn(&Latency) -> f64), ("p99", |one| one.p99)] {
        let of = |rounds: &[Latency]| median(&rounds.iter().map(value).collect::<Vec<_>>());
        let ratios: Vec<f64> = idle.iter().zip(flooded).map(|(idle, flooded)| value(flooded) / value(idle)).collect();
        println!("| {name} | {:.0} | {:.0} | {:.2} |", of(idle), of(flooded), median(&ratios));
        json.push(format!("\"{name}\":{{\"idle_ns\":{:.0},\"flood_ns\":{:.0}}}", of(idle), of(flooded)));
    }
    println!("\n{{\"bench\":\"flood_allow_path\",{}}}", json.join(","));
}
