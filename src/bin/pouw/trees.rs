//! `pouw trees`: lists all trees, a page at a time.

use std::io::Write;

use clap::Args;
use pouw::Provenance;

use crate::failure::{Failure, Verdict};
use crate::output::Output;
use crate::store::StoreArguments;
use crate::words::{TreeDocument, printable};

/// List all trees.
///
/// Prints one line for each: state, leaves, pending leaves, bytes, provenance of its weakest hashed
/// leaf, name.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    store: StoreArguments,
}

const EXAMPLES: &str = "\
Examples:
  pouw trees --db store
  pouw trees --db store | grep active
  pouw trees --db store --json";

const PAGE: usize = 512;

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    let engine = options.store.look()?;
    let mut page = engine.trees(None, PAGE)?;
    let mut to = out.stream();
    let mut first = true;
    to.write_all(if out.json {
        b"{\"trees\": ["
    } else {
        b"state               leaves      pending            bytes  weakest   name\n"
    })?;
    while let Some(last) = page.last().map(|tree| tree.id) {
        for tree in page {
            if out.json {
                to.write_all(if first { b"\n" } else { b",\n" })?;
                serde_json::to_writer(&mut to, &TreeDocument::from(tree))?;
            } else {
                let (state, name) = (tree.state, printable(&tree.name));
                let weakest = tree.provenance.weakest().map_or("-", Provenance::as_str);
                let (leaves, pending, bytes) = (tree.leaves, tree.pending, tree.total_bytes);
                writeln!(to, "{state:<12} {leaves:>13} {pending:>12} {bytes:>16}  {weakest:<8}  {name}")?;
            }
            first = false;
        }
        page = engine.trees(Some(last), PAGE)?;
    }
    if out.json {
        to.write_all(b"\n]}\n")?;
    }
    to.flush()?;
    Ok(Verdict::Done)
}
