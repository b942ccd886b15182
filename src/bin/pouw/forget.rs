//! `pouw forget`: takes a tree out of the store.

use clap::Args;
use serde::Serialize;

use crate::failure::{Failure, Verdict};
use crate::output::Output;
use crate::place::TreeOf;
use crate::words::{count, printable};

/// Take a tree out of the store, with its block data: its name is free again.
///
/// Credits that were paid for it stay, and so does the ledger. Votes on it that wait for a quorum are not paid.
/// Export first what is still wanted: there is no way back but to ingest it again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    of: TreeOf,
}

const EXAMPLES: &str = "\
Examples:
  pouw forget --db store --tree cat.jpg";

#[derive(Debug, Serialize)]
struct Document<'o> {
    tree: &'o str,
    leaves: u64,
    rows: u64,
}

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    let engine = options.of.place.open()?;
    let leaves = engine.tree(&options.of.tree)?.leaves;
    engine.forget(&options.of.tree)?;
    let mut rows = 0;
    loop {
        // Its rows go in bounded steps; a run that is cut short is finished by the next one of any verb that works.
        let removed = engine.upkeep()?.removed as u64;
        rows += removed;
        if removed == 0 {
            break;
        }
    }
    engine.close();
    out.show(&Document { tree: &options.of.tree, leaves, rows }, |to| {
        writeln!(to, "forgot {} of {}", printable(&options.of.tree), count(leaves, "leaf", "leaves"))
    })?;
    Ok(Verdict::Done)
}
