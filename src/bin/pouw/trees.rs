//! `pouw trees`: all trees, one line each, a page at a time.

use std::io::Write;

use clap::Args;

use crate::failure::{Failure, Verdict};
use crate::output::Output;
use crate::place::Place;
use crate::words::{TreeDocument, printable, state};

/// List all trees: state, leaves, pending leaves, bytes, name.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    place: Place,
}

const EXAMPLES: &str = "\
Examples:
  pouw trees --db store
  pouw trees --db store | grep active
  pouw trees --db store --json";

const PAGE: usize = 512;

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    let engine = options.place.open()?;
    let mut page = engine.trees(None, PAGE)?;
    let mut to = out.stream();
    let mut first = true;
    to.write_all(if out.json {
        b"{\"trees\": ["
    } else {
        b"state               leaves      pending            bytes  name\n"
    })?;
    while let Some(last) = page.last().map(|tree| tree.id) {
        for tree in page {
            if out.json {
                to.write_all(if first { b"\n" } else { b",\n" })?;
                serde_json::to_writer(&mut to, &TreeDocument::from(tree))?;
            } else {
                let (state, name) = (state(tree.state), printable(&tree.name));
                writeln!(to, "{state:<12} {:>13} {:>12} {:>16}  {name}", tree.leaves, tree.pending, tree.total_bytes)?;
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
