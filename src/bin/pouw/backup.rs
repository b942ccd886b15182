//! `pouw backup`: copies a store into a new directory.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use indicatif::HumanBytes;
use pouw::BackupReport;
use serde::{Deserialize, Serialize};

#[cfg(unix)]
use crate::control;
use crate::failure::{Failure, Verdict};
use crate::output::Output;
use crate::store::StoreArguments;
use crate::words::count;

/// Copy a store into a new directory, also while `pouw serve` serves it.
///
/// A service makes the copy itself and goes on meanwhile: name a directory that it may write to.
/// The copy appears under its name when it is complete, and is used by opening it: `pouw status
/// --db COPY`. It is a store with an id of its own: challenges issued by the original are refused
/// there. The secret is not copied.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    store: StoreArguments,
    /// Directory to make; it may exist if it is empty.
    #[arg(value_name = "COPY")]
    to: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  pouw backup --db store backups/monday
  pouw check --db backups/monday                        verify the copy
  pouw serve --db backups/monday                        go on from it";

/// The numbers of a finished copy.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    rows: u64,
    bytes: u64,
    /// The last commit in it.
    commits: u64,
}

impl Done {
    pub fn of(report: &BackupReport) -> Self {
        Self { rows: report.rows, bytes: report.bytes, commits: report.commit_seq }
    }
}

#[derive(Debug, Serialize)]
struct Document {
    copy: String,
    #[serde(flatten)]
    done: Done,
}

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    let bar = out.progress(None, "{spinner} {msg}");
    let done = copy(options, &mut |bytes| bar.set_message(format!("{} copied", HumanBytes(bytes))));
    bar.finish_and_clear();
    let document = Document { copy: options.to.display().to_string(), done: done? };
    out.show(&document, |to: &mut dyn Write| {
        let rows = count(document.done.rows, "row", "rows");
        writeln!(to, "copied {rows}, {}, to {}", HumanBytes(document.done.bytes), document.copy)
    })?;
    Ok(Verdict::Done)
}

/// By the service that has the store open, if there is one.
fn copy(options: &Options, progress: &mut dyn FnMut(u64)) -> Result<Done, Failure> {
    #[cfg(unix)]
    let engine = match control::service_of(&options.store.db) {
        Ok(Some(service)) => return control::back_up(service, &options.to, progress),
        Ok(None) => options.store.look()?,
        Err(unreachable) => options.store.look().map_err(|failure| control::or_service(failure, &unreachable))?,
    };
    #[cfg(not(unix))]
    let engine = options.store.look()?;
    let report = engine.backup(&options.to, &mut |done| {
        progress(done.bytes);
        ControlFlow::Continue(())
    })?;
    engine.close();
    Ok(Done::of(&report))
}
