//! The Rust servers: this program once more, as a child of itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use pouw::protocol::{ByTier, DifficultyTier};
use pouw::{Config, Gate, GateConfig, PouwEngine};
use tokio::net::TcpListener;

use crate::axum_example;
use crate::load::child::end_with_parent;

/// The argument that makes this program a server.
const HIDDEN: &str = "--be-the-server";

/// How long a server of the limit of one remembers that a client is over it.
pub const LONG_WINDOW_MS: u64 = 3_600_000;
/// The window of the servers whose clients stay under the limit.
pub const SHORT_WINDOW_MS: u64 = 60_000;
/// More than anybody sends in [`SHORT_WINDOW_MS`]; the most a policy can have.
pub const HIGH_LIMIT: u32 = 1_000_000;

/// What the gate adds to a response, for a client it knows nothing of.
const RATE_HEADERS: [(&str, &str); 5] = [
    ("x-ratelimit-limit", "1000000"),
    ("x-ratelimit-remaining", "999999"),
    ("x-ratelimit-reset", "0"),
    ("ratelimit-policy", "\"default\";q=1000000;w=60"),
    ("ratelimit", "\"default\";r=999999;t=0"),
];

/// The command for axum alone.
pub fn bare() -> Command {
    myself(&["bare"])
}

/// The command for axum alone, whose response has the headers that the gate would add, as constants.
pub fn bare_with_headers() -> Command {
    myself(&["headers"])
}

/// The command for axum behind a gate on the store in `place`.
pub fn gate(place: &Path, limit: u32, window_ms: u64) -> Command {
    let mut command = myself(&["gate", &limit.to_string(), &window_ms.to_string()]);
    command.arg(place);
    command
}

fn myself(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.arg(HIDDEN).args(arguments);
    command
}

/// Serves for ever, if that is what this process was started for.
pub fn serve_if_asked() {
    let mut arguments = std::env::args().skip_while(|argument| argument != HIDDEN).skip(1);
    let Some(kind) = arguments.next() else {
        return;
    };
    end_with_parent();
    let gate = (kind == "gate").then(|| {
        let mut next = || arguments.next().expect("limit, window and place are given");
        let (limit, window_ms) = (next().parse().expect("a number"), next().parse().expect("a number"));
        open(&PathBuf::from(next()), limit, window_ms)
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        println!("listening on {}", listener.local_addr().expect("it has an address"));
        match gate {
            // The very server of the example, so that what is measured is what the documentation says.
            Some(gate) => axum_example::serve(listener, gate).await,
            None => {
                let hello = if kind == "headers" {
                    get(|| async { (RATE_HEADERS, "hello\n") })
                } else {
                    get(|| async { "hello\n" })
                };
                axum::serve(listener, Router::new().route("/hello", hello)).await
            }
        }
        .expect("it serves until it is killed");
    });
}

/// Settings of the engine, the same for filling a store and for serving from it.
pub fn engine_config() -> Config {
    let config = Config::builder([7; 32])
        // Answers count at once, and every unit is one leaf.
        .floor(ByTier::all(Duration::ZERO))
        .max_difficulty(DifficultyTier::Low)
        // Enough ready, and enough out, for the fastest client.
        .min_queue_depth(8_192)
        .leases_max(1 << 20);
    config.build().expect("the settings are valid")
}

/// A gate whose budgets refuse nothing: what costs is measured, not what is spared.
fn open(place: &Path, limit: u32, window_ms: u64) -> Gate {
    let engine = PouwEngine::open(place, engine_config()).expect("the store opens");
    engine.refill().expect("the backlog can be read");
    let config = GateConfig::builder()
        .rate_limit(limit)
        .window(Duration::from_millis(window_ms))
        .trusted_proxy("127.0.0.1/32")
        .paid_admissions_per_window(1_000_000)
        .paid_admissions_per_prefix(1_000_000)
        .bytes_per_minute(1 << 40)
        .prefix_bytes_per_minute(1 << 40)
        .bytes_per_second(1 << 40)
        .bytes_in_flight(1 << 30)
        .open_challenges(64, 64)
        .synthetic(false);
    let sweeping = engine.clone();
    std::thread::spawn(move || {
        // As `pouw serve` does it. One that fails is tried again.
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let _ = sweeping.sweep();
        }
    });
    Gate::new(engine, config.build().expect("the settings are valid")).expect("threads start")
}
