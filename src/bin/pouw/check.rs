//! `pouw check`: verifies everything that is stored.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use indicatif::HumanCount;
use pouw::{CheckPhase, CheckProgress, CheckReport, StoreFile};
use serde::Serialize;

use crate::failure::{Failure, Verdict};
use crate::output::{Output, complain};
use crate::place;
use crate::words::count;

/// Verify the whole store offline: files, every tile and tree, the queue, the ledger chain, every balance.
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

Nothing is changed. Exit code 1 if something is wrong; what was found is on stderr, the first finding first.";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'r> {
    clean: bool,
    found: u64,
    findings: Vec<&'r str>,
    trees: u64,
    leaves: u64,
    leaves_hashed: u64,
    groups: u64,
    tiles: u64,
    interior: u64,
    ledger_entries: u64,
    clients: u64,
    consumed: u64,
    claims: u64,
    quorums: u64,
    damaged: u64,
    queue_rows: u64,
    chores: u64,
    commits: u64,
}

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    place::expect_store(&options.db)?;
    if !options.db.join(StoreFile::State.file_name()).exists() {
        let (db, state) = (options.db.display(), StoreFile::State.file_name());
        return Err(Failure::Failed(format!("{db} lacks {state}; restore it from a backup")));
    }
    let bar = out.progress(None, "{spinner} {msg}");
    let report = pouw::check(&options.db, &mut |progress| bar.set_message(message(progress)));
    bar.finish_and_clear();
    let report = report?;
    report.findings.iter().for_each(|finding| complain(&finding.what));
    if let more @ 1.. = report.found.saturating_sub(report.findings.len() as u64) {
        complain(&format!("and {more} more findings"));
    }
    out.show(&document(&report), |to| human(to, &report))?;
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
        (report.claims, count(report.claims, "range only clients stand for", "ranges only clients stand for")),
        (report.quorums, count(report.quorums, "unit with votes that wait", "units with votes that wait")),
        (report.damaged, count(report.damaged, "damaged block", "damaged blocks")),
    ];
    let trust: Vec<String> = trust.into_iter().filter(|(found, _)| *found > 0).map(|(_, told)| told).collect();
    if !trust.is_empty() {
        writeln!(to, "{}", trust.join(", "))?;
    }
    match report.found {
        0 => writeln!(to, "clean"),
        found => writeln!(to, "{}", count(found, "thing is wrong", "things are wrong")),
    }
}

fn document(report: &CheckReport) -> Document<'_> {
    Document {
        clean: report.is_clean(),
        found: report.found,
        findings: report.findings.iter().map(|finding| finding.what.as_str()).collect(),
        trees: report.trees,
        leaves: report.leaves,
        leaves_hashed: report.leaves_hashed,
        groups: report.groups,
        tiles: report.tiles,
        interior: report.interior,
        ledger_entries: report.ledger_entries,
        clients: report.clients,
        consumed: report.consumed,
        claims: report.claims,
        quorums: report.quorums,
        damaged: report.damaged,
        queue_rows: report.queue_rows,
        chores: report.chores,
        commits: report.commit_seq,
    }
}
