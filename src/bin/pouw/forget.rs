//! `pouw forget`: removes a tree from the store.

use clap::Args;
use serde::Serialize;

use crate::failure::{Failure, Verdict};
use crate::output::Output;
use crate::store::TreeOf;
use crate::words::{count, printable};

/// Remove a tree and its data from a store.
///
/// Prints its name and number of leaves. The name can be used again. Credits and ledger entries
/// remain; votes that wait for a quorum are not paid. Export the tree first if you need its hashes:
/// this cannot be undone.
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
    let engine = options.of.store.open()?;
    let leaves = engine.tree(&options.of.tree)?.leaves;
    engine.forget(&options.of.tree)?;
    let mut rows = 0;
    loop {
        // Rows are removed in bounded steps; the next command that writes finishes an interrupted
        // run.
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
