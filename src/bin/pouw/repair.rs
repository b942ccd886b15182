//! `pouw repair`: mends what a check finds and can be mended.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use pouw::{MendReport, PouwEngine};

use crate::failure::{Failure, Verdict};
use crate::output::{Output, complain};
use crate::store;
use crate::words::count;

/// Mend what `pouw check` finds and can be mended.
///
/// Removes block data and rows that belong to no tree, finishes removals that stopped, writes rows
/// again that follow from others, and brings sums to what the rows give. Nothing that a tree needs
/// is touched. No other process may have the store open. Prints what was done.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// Directory of the store.
    #[arg(long, value_name = "DIR")]
    db: PathBuf,
    /// Only print what would be done; write nothing.
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Examples:
  pouw repair --db store --dry-run
  pouw repair --db store && pouw check --db store

Exit code 1 if something was found that only a backup can mend. stderr names it.";

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    store::expect_store(&options.db)?;
    let report = PouwEngine::repair_store(&options.db, options.dry_run)?;
    if report.not_mended > 0 {
        let trees = count(report.not_mended, "tree has", "trees have");
        complain(&format!("{trees} damage that this does not mend; the steps say what to do"));
    }
    out.show(&report, |to| human(to, &report))?;
    Ok(Verdict::of(report.not_mended == 0))
}

fn human(to: &mut dyn Write, report: &MendReport) -> io::Result<()> {
    if report.is_clean() {
        return writeln!(to, "nothing to repair");
    }
    for step in &report.steps {
        writeln!(to, "{}", step.what)?;
    }
    let all = report.leftover_data
        + report.leftover_rows
        + report.removals
        + report.derived
        + report.sums
        + report.not_mended;
    if let more @ 1.. = all.saturating_sub(report.steps.len() as u64) {
        writeln!(to, "and {}", count(more, "more", "more"))?;
    }
    let found = [
        (report.leftover_data, count(report.leftover_data, "tree with left-over data", "trees with left-over data")),
        (report.leftover_rows, count(report.leftover_rows, "tree with left-over rows", "trees with left-over rows")),
        (report.removals, count(report.removals, "unfinished removal", "unfinished removals")),
        (report.derived, count(report.derived, "row that follows from others", "rows that follow from others")),
        (report.sums, count(report.sums, "sum or row of the ledger", "sums and rows of the ledger")),
    ];
    let found: Vec<String> = found.into_iter().filter(|(number, _)| *number > 0).map(|(_, text)| text).collect();
    if found.is_empty() {
        return writeln!(to, "nothing that can be repaired");
    }
    if report.dry_run {
        writeln!(to, "to repair: {}; nothing was changed", found.join(", "))
    } else {
        let rows = count(report.rows_removed, "row", "rows");
        writeln!(to, "repaired: {}; {rows} removed; see: pouw check", found.join(", "))
    }
}
