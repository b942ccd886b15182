//! What issuing costs with 1 000 000 pending leaves of 512 bytes beside 10 000, CPU time per unit.
//!
//! `issue` is the call alone, from a full ring. `issue + refill` adds everything that keeps the ring full:
//! the CPU time of the whole process over the number of units. A round opens a store several times, so
//! that all leaves are pending again, and takes the same units each time, High, Medium and Low. Rounds of
//! the two stores alternate, medians are printed.
//!
//! `--quick` for less, `--test` for a smoke test; `POUW_BENCH_DIR` chooses the disk.

mod backlog;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use pouw::protocol::{ByTier, DifficultyTier};
use pouw::{Config, IssueRequest, PouwEngine};

use backlog::{Scale, ingest, median, options, scratch, write_leaves};

/// Units of each tier taken in a round: 8 400 leaves of the 10 000.
const TAKEN: [(DifficultyTier, usize); 3] =
    [(DifficultyTier::High, 200), (DifficultyTier::Medium, 200), (DifficultyTier::Low, 400)];

fn main() {
    let scale = Scale::from_arguments();
    let sizes = [10_000, scale.pick(1_000_000, 200_000, 20_000)];
    let rounds = scale.pick(5, 3, 1);
    let boots = scale.pick(20, 8, 1);
    let directory = scratch();
    println!("stores below {}", directory.path().display());
    for leaves in sizes {
        prepare(&directory.path().join(leaves.to_string()), leaves);
    }
    let mut costs: [Vec<Cost>; 2] = Default::default();
    for round in 0..rounds {
        for turn in 0..2 {
            let which = (round + turn) % 2;
            costs[which].push(measure(&directory.path().join(sizes[which].to_string()), boots));
        }
    }
    print_table(sizes, &costs);
}

fn config() -> Config {
    let config = Config::builder([7; 32])
        .floor(ByTier::all(Duration::ZERO))
        .token_ttl(Duration::from_secs(3_600))
        .background(false);
    config.build().expect("the settings are valid")
}

fn prepare(place: &Path, leaves: u64) {
    fs::create_dir_all(place).expect("the directory can be made");
    let file = place.join("leaves");
    write_leaves(&file, leaves);
    let engine = PouwEngine::open(place, config()).expect("the store opens");
    ingest(&engine, &options(), std::slice::from_ref(&file));
    engine.close();
    fs::remove_file(&file).expect("the file can be removed");
}

/// Microseconds for each unit.
#[derive(Debug, Default)]
struct Cost {
    /// The call, by tier.
    issue: [f64; 3],
    /// The call and its share of refilling, all tiers.
    amortised: f64,
}

/// The mean over several boots.
fn measure(place: &Path, boots: usize) -> Cost {
    let costs: Vec<Cost> = (0..boots).map(|_| one_boot(place)).collect();
    let mean = |value: &dyn Fn(&Cost) -> f64| costs.iter().map(value).sum::<f64>() / boots as f64;
    Cost { issue: [0, 1, 2].map(|tier| mean(&|cost| cost.issue[tier])), amortised: mean(&|cost| cost.amortised) }
}

fn one_boot(place: &Path) -> Cost {
    let engine = PouwEngine::open(place, config()).expect("the store opens");
    let mut cost = Cost::default();
    let mut units = 0;
    let cpu_before = cpu_us();
    engine.refill().expect("the backlog can be read");
    for (at, (tier, count)) in TAKEN.into_iter().enumerate() {
        let mut in_calls = 0.0;
        for number in 0..count {
            if number % 32 == 0 {
                engine.refill().expect("the backlog can be read");
            }
            let client = (number as u64).to_le_bytes();
            let begun = Instant::now();
            let issued = engine.issue(&IssueRequest::new(&client, tier));
            in_calls += begun.elapsed().as_secs_f64() * 1e6;
            let issued = issued.expect("the backlog is large enough");
            assert!(!issued.shortfall, "the backlog is large enough");
        }
        cost.issue[at] = in_calls / count as f64;
        units += count;
    }
    cost.amortised = (cpu_us() - cpu_before) / units as f64;
    engine.close();
    cost
}

/// CPU time of all threads of this process so far, microseconds.
fn cpu_us() -> f64 {
    // The system reports the time up to each thread's last yield.
    std::thread::yield_now();
    let tasks = fs::read_dir("/proc/self/task").expect("this benchmark needs Linux's /proc");
    let nanoseconds = tasks.filter_map(|task| {
        let schedstat = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        schedstat.split(' ').next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e3
}

fn print_table(sizes: [u64; 2], costs: &[Vec<Cost>; 2]) {
    println!("microseconds for each unit, medians of {} rounds", costs[0].len());
    println!("{:>16} {:>14} {:>14} {:>7}", "", sizes[0], sizes[1], "ratio");
    let mut json = Vec::new();
    let mut row = |name: &str, value: &dyn Fn(&Cost) -> f64| {
        let [small, large] = costs.each_ref().map(|rounds| median(&rounds.iter().map(value).collect::<Vec<_>>()));
        let ratio = large / small;
        println!("{name:>16} {small:>14.2} {large:>14.2} {ratio:>7.3}");
        let key = name.replace(' ', "_");
        json.push(format!("\"{key}\":{{\"small_us\":{small:.3},\"large_us\":{large:.3},\"ratio\":{ratio:.3}}}"));
    };
    for (at, (tier, _)) in TAKEN.into_iter().enumerate() {
        row(&format!("issue {tier:?}"), &|cost| cost.issue[at]);
    }
    row("issue + refill", &|cost| cost.amortised);
    println!("{{\"bench\":\"issue_scale\",\"leaves\":[{},{}],{}}}", sizes[0], sizes[1], json.join(","));
}
