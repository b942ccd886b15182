//! The evaluation that section 9 of the paper describes, as tables.
//!
//! ```text
//! cargo bench --features cli,tower --bench paper
//! cargo bench --features cli,tower --bench paper -- --quick
//! cargo bench --features cli,tower --bench paper -- --only 9.1 --answers 1000 --dir /var/lib/pouw -o disk.md
//! ```
//!
//! Nothing is simulated: real engine, real store, real tokens, durable commits. Every count that is printed beside
//! a time is compared with the store's own; exit code 1 if an answer was refused or a count does not add up.
//! `tests/cli` includes this file as a module, runs its unit tests and checks a quick run.

mod comparison;
mod failure;
mod machine;
mod memory;
mod overhead;
mod report;
mod rig;
mod services;
mod statistics;
mod table;
mod throughput;
mod verification;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget};

use failure::Failure;
use machine::Machine;
use overhead::Size;
use report::Report;

/// Measures verification, throughput and overhead, as section 9 of the paper describes.
///
/// Works on stores in a temporary directory, which are removed. Prints tables in Markdown. Takes a minute or two and
/// needs an idle machine: the tables state its load.
#[derive(Debug, Parser)]
#[command(name = "paper")]
struct Options {
    /// Print one JSON document instead of tables, and no progress.
    #[arg(long)]
    json: bool,
    /// Measure little, in seconds: this only shows that everything works.
    #[arg(long)]
    quick: bool,
    /// Answers in each part of 9.1, and at most in each part of 9.2; 1 to 100000 [default: 10000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    answers: Option<u32>,
    /// Numbers of concurrent clients for 9.2, each 1 to 1024 [default: 1,4,16,64,256].
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: Vec<u16>,
    /// Rounds of 9.4, whose medians are printed; 1 to 99 [default: 7].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=99))]
    rounds: Option<u16>,
    /// Measure only these sections. 9.3, the time of clients, is measured where clients run.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    only: Vec<Section>,
    /// Directory on the disk to measure [default: the system's directory for temporary files, which may be memory].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Also write the tables to this file.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// `cargo bench` passes this; without it a run is a quick one.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Sections of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// Verification latency.
    #[value(name = "9.1")]
    Verification,
    /// Useful hashes per second.
    #[value(name = "9.2")]
    Throughput,
    /// CPU time, latency and memory beside a plain limiter.
    #[value(name = "9.4")]
    Overhead,
}

/// How much is measured.
struct Scale {
    answers: u32,
    clients: Vec<u16>,
    overhead: Size,
    tracked_clients: u32,
}

/// Sets of clients for 9.2 at most.
const SETS_MAX: usize = 16;

fn main() -> ExitCode {
    run(std::env::args_os(), &mut io::stdout(), &mut io::stderr())
}

/// Runs the command line `arguments`, of which the first is the program.
pub fn run(arguments: impl IntoIterator<Item = OsString>, stdout: &mut dyn Write, stderr: &mut dyn Write) -> ExitCode {
    let ended = match Options::try_parse_from(arguments) {
        Ok(options) => evaluate(&Options { quick: options.quick || !options.bench, ..options }, stdout, stderr),
        Err(error) if error.use_stderr() => Err(Failure::Usage(error.to_string())),
        Err(help) => write!(stdout, "{help}").map(|()| true).map_err(Failure::from),
    };
    let (code, what) = match ended {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => return ExitCode::FAILURE,
        Err(Failure::Failed(what)) => (ExitCode::FAILURE, what),
        Err(Failure::Usage(what)) => (ExitCode::from(2), what),
    };
    // There is nowhere to report that stderr is closed.
    let _ = writeln!(stderr, "paper: {}", what.trim_start_matches("error: ").trim_end());
    code
}

/// Measures, and returns whether everything adds up.
fn evaluate(options: &Options, stdout: &mut dyn Write, stderr: &mut dyn Write) -> Result<bool, Failure> {
    let started = Instant::now();
    let place = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    expect_directory(&place, "--dir")?;
    options.output.as_deref().map_or(Ok(()), expect_writable)?;
    if options.clients.len() > SETS_MAX {
        return Err(Failure::Usage(format!("--clients: at most {SETS_MAX} numbers, found {}", options.clients.len())));
    }
    let machine = Machine::look(&place)?;
    if machine.unoptimised {
        writeln!(stderr, "paper: built without optimisation: the figures mean nothing; use `cargo bench`")?;
    }
    let bar = progress(options.json);
    let measured = measure(options, machine, &place, &bar);
    bar.finish_and_clear();
    let mut report = measured?;
    report.machine.look_again(&place)?;
    report.seconds = rounded(started.elapsed().as_secs_f64());

    report.findings.iter().try_for_each(|finding| writeln!(stderr, "paper: {finding}"))?;
    let text = report.text();
    match options.json {
        true => {
            serde_json::to_writer_pretty(&mut *stdout, &report)?;
            writeln!(stdout)?;
        }
        false => stdout.write_all(text.as_bytes())?,
    }
    if let Some(file) = &options.output {
        fs::write(file, text).map_err(|error| Failure::failed(format!("{}: {error}", file.display())))?;
        writeln!(stderr, "paper: the tables are in {}", file.display())?;
    }
    Ok(report.findings.is_empty())
}

/// A line of progress on stderr, if that is a terminal.
fn progress(hidden: bool) -> ProgressBar {
    let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(10) };
    let bar = ProgressBar::with_draw_target(None, target);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Names of the tiers, in their order.
const TIERS: [&str; 3] = ["low", "medium", "high"];

/// Rounds seconds to milliseconds.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

fn measure(options: &Options, machine: Machine, place: &Path, bar: &ProgressBar) -> Result<Report, Failure> {
    let scale = scale(options);
    let wanted = |section| options.only.is_empty() || options.only.contains(&section);
    let mut report = Report::new(machine, options.quick, &scale);
    // First of all, while the process is small.
    let memory = match wanted(Section::Overhead) {
        true => {
            bar.set_message(format!("9.4: memory of {} clients", scale.tracked_clients));
            memory::measure(place, scale.tracked_clients)?
        }
        false => Vec::new(),
    };
    if wanted(Section::Verification) {
        report.add_verification(verification::measure(place, scale.answers, bar)?);
    }
    if wanted(Section::Throughput) {
        report.add_throughput(throughput::measure(place, scale.answers, &scale.clients, bar)?);
    }
    if wanted(Section::Overhead) {
        let rounds = overhead::measure(place, scale.overhead, bar)?;
        report.add_overhead(comparison::Section::new(&rounds, memory));
    }
    Ok(report)
}

/// What the options ask for, where they do not say the defaults.
fn scale(options: &Options) -> Scale {
    let pick = |full, quick| if options.quick { quick } else { full };
    let clients: &[u16] = if options.quick { &[1, 4, 16] } else { &[1, 4, 16, 64, 256] };
    Scale {
        answers: options.answers.unwrap_or(pick(10_000, 100)),
        clients: if options.clients.is_empty() { clients.to_vec() } else { options.clients.clone() },
        overhead: Size {
            rounds: options.rounds.unwrap_or(if options.quick { 3 } else { 7 }),
            requests: pick(20_000, 1_000),
            answers: pick(500, 25),
        },
        tracked_clients: pick(100_000, 2_000),
    }
}

/// Found before the work, not after it.
fn expect_writable(file: &Path) -> Result<(), Failure> {
    if file.is_dir() {
        return Err(Failure::failed(format!("-o {}: this is a directory; name a file", file.display())));
    }
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => expect_directory(folder, "-o"),
        _ => Ok(()),
    }
}

fn expect_directory(path: &Path, option: &str) -> Result<(), Failure> {
    match path.is_dir() {
        true => Ok(()),
        false => {
            Err(Failure::failed(format!("{option}: {} is not a directory; make it, or name another", path.display())))
        }
    }
}
