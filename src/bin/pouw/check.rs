//! `pouw check`: verifies everything that is stored.

use clap::Args;
use serde::Serialize;

use crate::failure::{Failure, Verdict};
use crate::output::{Output, complain};
use crate::place::Place;
use crate::words::count;

/// Verify the whole store offline: files, every tile and tree, the queue, the ledger chain, every balance.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    place: Place,
}

const EXAMPLES: &str = "\
Example:
  pouw check --db store

Exit code 1 if anything is wrong; the first finding is printed first. Nothing is changed.";

pub fn run(_options: &Options, _out: &Output) -> Result<Verdict, Failure> {
    Err(Failure::failed("check is not built in"))
}
