//! `pouw check`: verifies everything that is stored.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use indicatif::HumanCount;
use pouw::{CheckPhase, CheckProgress, CheckReport, PouwEngine, StoreFile};
use serde::Serialize;

use crate::failure::{Failure, Verdict};
use crate::output::{Output, complain};
use crate::store;
use crate::words::count;

/// Verify a whole store.
///
/// Checks the files, all trees, the queue, the ledger chain and every balance, and hashes pending
/// leaves that are copied in the store. Changes nothing. No other process may have the store open.
/// Prints `clean`, or the number of findings.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// Directory of the store.
    #[arg(long, value_name = "DIR")]
    db: PathBuf,
}

const EXAMPLES: &str = "\
Example:
  pouw check --db store

Exit code 1 if something is wrong. stderr lists the findings.";

#[derive(Debug, Serialize)]
struct Document<'r> {
    clean: bool,
    #[serde(flatten)]
    report: &'r CheckReport,
}

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    store::expect_store(&options.db)?;
    if !options.db.join(StoreFile::State.file_name()).exists() {
        let (db, state) = (options.db.display(), StoreFile::State.file_name());
        return Err(Failure::Failed(format!("{db} has no {state}; restore it from a backup")));
    }
    let bar = out.progress(None, "{spinner} {msg}");
    let report = PouwEngine::check_store(&options.db, &mut |progress| bar.set_message(message(progress)));
    bar.finish_and_clear();
    let report = report?;
    report.findings.iter().for_each(|finding| complain(&finding.what));
    if let more @ 1.. = report.found.saturating_sub(report.findings.len() as u64) {
        complain(&format!("and {}", count(more, "more finding", "more findings")));
    }
    out.show(&Document { clean: report.is_clean(), report: &report }, |to| human(to, &report))?;
    Ok(Verdict::of(report.is_clean()))
}

fn message(progress: &CheckProgress) -> String {
    let phase = match progress.phase {
        CheckPhase::Files => "files",
        CheckPhase::Trees => "trees",
        CheckPhase::Queue => "queue",
        CheckPhase::Ledger => "ledger",
        CheckPhase::Credits => "credits",
        CheckPhase::Clients => "clients",
        _ => "rows",
    };
    match progress.of {
        0 => format!("{phase}: {}", HumanCount(progress.done)),
        of => format!("{phase}: {} of {}", HumanCount(progress.done), HumanCount(of)),
    }
}

fn human(to: &mut dyn Write, report: &CheckReport) -> io::Result<()> {
    writeln!(
        to,
        "checked {}, {} ({} hashed again), {}, {}, {}, {} in the queue",
        count(report.trees, "tree", "trees"),
        count(report.leaves, "leaf", "leaves"),
        HumanCount(report.leaves_hashed),
        count(report.tiles, "tile", "tiles"),
        count(report.ledger_entries, "ledger entry", "ledger entries"),
        count(report.clients, "client", "clients"),
        count(report.queue_rows, "tree", "trees"),
    )?;
    let trust = [
        (report.claims, count(report.claims, "range hashed only by clients", "ranges hashed only by clients")),
        (report.quorums, count(report.quorums, "unit with waiting votes", "units with waiting votes")),
        (report.damaged, count(report.damaged, "damaged block", "damaged blocks")),
    ];
    let trust: Vec<String> = trust.into_iter().filter(|(found, _)| *found > 0).map(|(_, text)| text).collect();
    if !trust.is_empty() {
        writeln!(to, "{}", trust.join(", "))?;
    }
    match report.found {
        0 => writeln!(to, "clean"),
        found => writeln!(to, "{}", count(found, "finding", "findings")),
    }
}
