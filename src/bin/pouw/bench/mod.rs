//! `pouw bench`: the evaluation that section 9 of the paper describes, as one command and one table.
//!
//! Nothing is simulated: real engine, real store, real tokens, durable commits. Every count that is printed
//! beside a time is checked against the store's own, and a table that does not add up ends with exit code 1.

mod comparison;
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

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;

use crate::failure::{Failure, Verdict};
use crate::output::{Output, complain, write_file};

use machine::Machine;
use overhead::Size;
use report::Report;

/// Measure verification, throughput and overhead, as section 9 of the paper describes.
///
/// Works on stores in a temporary directory, and removes them. Prints a table and writes it as Markdown. Takes
/// a minute or two, and wants the machine for itself: the table says how busy it was.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// Measure little, in seconds: shows that it works, and no more.
    #[arg(long)]
    quick: bool,
    /// Answers in each part of 9.1, and at most in each of 9.2; 1 to 100000 [default: 10000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    answers: Option<u32>,
    /// Numbers of clients at once for 9.2, each 1 to 1024 [default: 1,4,16,64,256].
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: Vec<u16>,
    /// Rounds of 9.4, whose medians are printed; 1 to 99 [default: 7].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=99))]
    rounds: Option<u16>,
    /// Measure these sections only. 9.3, the time that clients take, is measured where clients run.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    only: Vec<Section>,
    /// Directory on the disk to measure; default the system's for temporary files, which may lie in memory.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Write the table to this file, replacing it.
    #[arg(short, long, value_name = "FILE", default_value = "pouw-bench.md")]
    output: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  pouw bench
  pouw bench --only 9.1 --answers 1000 --dir /var/lib/pouw -o disk.md
  pouw bench --quick --json

Exit code 1 if an answer was refused or a count does not add up.";

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

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    let started = Instant::now();
    let place = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    expect_directory(&place, "--dir")?;
    expect_writable(&options.output)?;
    if options.clients.len() > SETS_MAX {
        return Err(Failure::Usage(format!("--clients: at most {SETS_MAX} numbers, found {}", options.clients.len())));
    }
    let machine = Machine::look(&place)?;
    if machine.unoptimised {
        complain("this is a build without optimisation: the figures mean nothing; build with --release");
    }
    let bar = out.progress(None, "{spinner} {elapsed} {msg}");
    let measured = measure(options, machine, &place, &bar);
    bar.finish_and_clear();
    let mut report = measured?;
    report.machine.look_again(&place)?;
    report.seconds = crate::words::rounded(started.elapsed().as_secs_f64());

    report.findings.iter().for_each(|finding| complain(finding));
    let text = report.text();
    write_file(&options.output, |to| Ok(to.write_all(text.as_bytes())?))?;
    out.show(&report, |to| to.write_all(text.as_bytes()))?;
    complain(&format!("the table is in {}", options.output.display()));
    Ok(Verdict::of(report.findings.is_empty()))
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
