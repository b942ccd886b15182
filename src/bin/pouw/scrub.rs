//! `pouw scrub`: reads everything that is stored, also while it is served.

use std::io::Write;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::HumanBytes;
use pouw::{ScrubFinding, ScrubReport};
use serde::{Deserialize, Serialize};

#[cfg(unix)]
use crate::control;
use crate::failure::{Failure, Verdict};
use crate::output::{Output, complain};
use crate::store::StoreArguments;
use crate::words::{count, printable};

/// Read everything that is stored, and name what is damaged, also while `pouw serve` serves it.
///
/// Compares the bytes of every leaf with the checksums of its ingest, files by reference too, and
/// verifies every row of the state file. Damaged leaves that are pending are marked, so that they
/// are not handed out. Leaves and rows of an older store get checksums. A service makes the pass
/// itself and goes on meanwhile; it also makes one by itself once a day.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    store: StoreArguments,
    /// Bytes to read in a second, or `unlimited`. Without it: as many as the disk gives, but by a
    /// service at its `scrub_bytes_per_second`, 1 MiB if that is 0.
    #[arg(long, value_name = "BYTES", value_parser = rate)]
    rate: Option<Rate>,
}

const EXAMPLES: &str = "\
Examples:
  pouw scrub --db store
  pouw scrub --db store --rate 4194304                  4 MiB a second, beside a busy service
  pouw scrub --db store --rate unlimited                as fast as the disk, also by a service

Exit code 1 if something is damaged. stderr names the first 100 damaged leaves and rows, and what to do.";

/// How fast a pass is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Rate {
    /// As fast as the disk allows.
    Unlimited,
    /// Bytes to read in a second.
    Bytes(u64),
}

impl Rate {
    /// Of a service that was asked for none: its own, or 1 MiB if it reads nothing by itself.
    #[cfg(all(unix, feature = "serve"))]
    pub fn of_service(bytes_per_second: u64) -> Self {
        Self::Bytes(if bytes_per_second == 0 { 1 << 20 } else { bytes_per_second })
    }
}

fn rate(text: &str) -> Result<Rate, String> {
    match text.parse() {
        _ if text == "unlimited" => Ok(Rate::Unlimited),
        Ok(0) | Err(_) => Err("expected a number of bytes, 1 or more, or `unlimited`".to_owned()),
        Ok(bytes) => Ok(Rate::Bytes(bytes)),
    }
}

/// What a full pass has read and found.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    clean: bool,
    bytes: u64,
    leaves: u64,
    rows: u64,
    damaged_leaves: u64,
    unreadable_leaves: u64,
    damaged_rows: u64,
    #[serde(default)]
    passed_over: u64,
    checksums_added: u64,
    /// The first of them.
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Finding {
    tree: Option<String>,
    leaf: Option<u64>,
    what: String,
}

impl From<&ScrubFinding> for Finding {
    fn from(found: &ScrubFinding) -> Self {
        Self { tree: found.tree.clone(), leaf: found.leaf.map(|leaf| leaf.0), what: found.what.clone() }
    }
}

impl Done {
    pub fn of(report: &ScrubReport) -> Self {
        Self {
            clean: report.is_clean(),
            bytes: report.bytes,
            leaves: report.leaves,
            rows: report.rows,
            damaged_leaves: report.damaged,
            unreadable_leaves: report.unreadable,
            damaged_rows: report.damaged_rows,
            passed_over: report.passed_over,
            checksums_added: report.sums_added,
            findings: report.findings.iter().map(Finding::from).collect(),
        }
    }
}

/// Keeps a pass at its rate.
pub struct Pace {
    rate: Rate,
    begun: Instant,
}

/// Longest pause between two steps, so that the pass can be ended.
const PAUSE_MAX: Duration = Duration::from_secs(1);

impl Pace {
    pub fn of(rate: Rate) -> Self {
        Self { rate, begun: Instant::now() }
    }

    /// Waits until what was read is due; not at the end of the pass. `goes_on` ends the wait.
    pub fn wait(&self, read: &ScrubReport, mut goes_on: impl FnMut() -> bool) -> ControlFlow<()> {
        loop {
            if !goes_on() {
                return ControlFlow::Break(());
            }
            let due = match self.rate {
                Rate::Bytes(rate) if !read.pass_ended => read.spent as f64 / rate as f64,
                Rate::Bytes(_) | Rate::Unlimited => 0.0,
            };
            let left = Duration::try_from_secs_f64(due).unwrap_or(Duration::MAX).saturating_sub(self.begun.elapsed());
            if left.is_zero() {
                return ControlFlow::Continue(());
            }
            std::thread::sleep(left.min(PAUSE_MAX));
        }
    }
}

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    let bar = out.progress(None, "{spinner} {msg}");
    let done = scrub(options, &mut |bytes, of| {
        bar.set_message(format!("{} of about {} read", HumanBytes(bytes), HumanBytes(of.max(bytes))));
    });
    bar.finish_and_clear();
    let done = done?;
    report(&done);
    out.show(&done, |to: &mut dyn Write| {
        let (leaves, rows) = (count(done.leaves, "leaf", "leaves"), count(done.rows, "row", "rows"));
        writeln!(to, "read {leaves}, {rows}, {}", HumanBytes(done.bytes))?;
        if done.checksums_added > 0 {
            writeln!(to, "added {}", count(done.checksums_added, "checksum", "checksums"))?;
        }
        match done.damaged_leaves + done.unreadable_leaves + done.damaged_rows {
            0 => writeln!(to, "clean"),
            found => writeln!(to, "{}{}", count(found, "finding", "findings"), but_for(done.passed_over)),
        }
    })?;
    Ok(Verdict::of(done.clean))
}

/// What a full pass has not read.
pub fn but_for(passed_over: u64) -> String {
    match passed_over {
        0 => String::new(),
        pages => format!(", without what is on {}", count(pages, "damaged page", "damaged pages")),
    }
}

/// By the service that has the store open, if there is one.
fn scrub(options: &Options, progress: &mut dyn FnMut(u64, u64)) -> Result<Done, Failure> {
    #[cfg(unix)]
    let engine = match control::service_of(&options.store.db) {
        Ok(Some(service)) => return control::scrub(service, options.rate, progress),
        Ok(None) => options.store.open_to_scrub()?,
        Err(unreachable) => {
            options.store.open_to_scrub().map_err(|failure| control::or_service(failure, &unreachable))?
        }
    };
    #[cfg(not(unix))]
    let engine = options.store.open_to_scrub()?;
    let pace = Pace::of(options.rate.unwrap_or(Rate::Unlimited));
    let report = engine.scrub_all(&mut |report| {
        progress(report.bytes, report.pass_bytes_expected);
        pace.wait(report, || true)
    })?;
    engine.close();
    Ok(Done::of(&report))
}

fn report(done: &Done) {
    for Finding { tree, leaf, what } in &done.findings {
        complain(&match (tree, leaf) {
            (Some(tree), Some(leaf)) => format!("leaf {leaf} of tree {:?} is damaged: {what}", printable(tree)),
            (Some(tree), None) => format!("a row of tree {:?} is damaged: {what}", printable(tree)),
            (None, _) => format!("a row is damaged: {what}"),
        });
    }
    let found = done.damaged_leaves + done.unreadable_leaves + done.damaged_rows;
    if let more @ 1.. = found.saturating_sub(done.findings.len() as u64) {
        complain(&format!("and {}", count(more, "more finding", "more findings")));
    }
    if done.damaged_leaves > 0 {
        let leaves = count(done.damaged_leaves, "leaf is", "leaves are");
        complain(&format!(
            "{leaves} damaged: check the disk, run the `pouw ingest` of the same content again, then this"
        ));
    }
    if done.unreadable_leaves > 0 {
        let leaves = count(done.unreadable_leaves, "leaf is in a file", "leaves are in files");
        complain(&format!("{leaves} by reference that cannot be read or changed: put it back, then run this again"));
    }
    if done.damaged_rows > 0 {
        let rows = count(done.damaged_rows, "row is", "rows are");
        complain(&format!(
            "{rows} damaged: stop the service, run `pouw check`, then `pouw repair`; what that does not mend, only a \
             backup can"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_bytes_or_unlimited() {
        assert_eq!(["1", "4194304"].map(rate), [1, 4_194_304].map(|bytes| Ok(Rate::Bytes(bytes))));
        assert_eq!(rate("unlimited"), Ok(Rate::Unlimited));
        for wrong in ["0", "-1", "1.5", "fast", ""] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_wait_ends_when_it_is_due_or_given_up() {
        let mut read = ScrubReport::default();
        read.spent = 1;
        assert!(Pace::of(Rate::Bytes(1 << 40)).wait(&read, || true).is_continue());
        read.spent = u64::MAX;
        assert!(Pace::of(Rate::Unlimited).wait(&read, || true).is_continue());
        assert!(Pace::of(Rate::Bytes(1)).wait(&read, || false).is_break());
        read.pass_ended = true;
        assert!(Pace::of(Rate::Bytes(1)).wait(&read, || true).is_continue());
    }

    #[cfg(all(unix, feature = "serve"))]
    #[test]
    fn a_service_that_is_asked_for_no_rate_keeps_to_its_own() {
        assert_eq!([0, 7].map(Rate::of_service), [Rate::Bytes(1 << 20), Rate::Bytes(7)]);
    }
}
