//! `pouw export`: the hashes of a complete tree, as a stream.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pouw::engine::PouwEngine;
use pouw::hash::Checksum;
use serde::Serialize;

use crate::failure::{Failure, Verdict};
use crate::output::{Output, write_file};
use crate::place::Place;
use crate::words::count;

/// Print the hashes of a complete tree, after checking every parent against its children.
///
/// `--nodes all` gives all nodes, the root first, level by level, left to right; `--nodes leaves` the leaves in
/// order, which are the addresses of the file's blocks.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    place: Place,
    /// Name of the tree, as `pouw trees` lists it.
    #[arg(long, value_name = "NAME")]
    tree: String,
    /// Which nodes.
    #[arg(long, value_enum, default_value = "all")]
    nodes: Nodes,
    /// How to write them; default hex, with --json json.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write to this file, as a whole or not at all; default stdout. With --json, stdout gets a summary.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  pouw export --db store --tree cat.jpg | head -1             the root
  pouw export --db store --tree cat.jpg --nodes leaves --format json -o cat.json
  pouw export --db store --tree cat.jpg --format raw -o cat.nodes";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Nodes {
    /// All nodes, the root first.
    All,
    /// The leaves.
    Leaves,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// 128 hex digits and a line break for each.
    Hex,
    /// An array of hex strings.
    Json,
    /// 64 bytes for each, with nothing between.
    Raw,
}

#[derive(Debug, Serialize)]
struct Document<'o> {
    tree: &'o str,
    nodes: Nodes,
    format: Format,
    count: u64,
    output: String,
}

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    let format = options.format.unwrap_or(if out.json { Format::Json } else { Format::Hex });
    if out.json && options.output.is_none() && format != Format::Json {
        return Err(Failure::Usage(
            "with --json stdout carries one JSON document; add -o FILE for another format".into(),
        ));
    }
    let engine = options.place.open()?;
    // Tells of an unknown or incomplete tree before a file is touched.
    engine.root(&options.tree)?;
    let Some(path) = &options.output else {
        let mut to = out.stream();
        write_nodes(&engine, options, format, &mut to)?;
        to.flush()?;
        return Ok(Verdict::Done);
    };
    let mut written = 0;
    write_file(path, |to| {
        written = write_nodes(&engine, options, format, to)?;
        Ok(())
    })?;
    engine.close();
    let document = Document {
        tree: &options.tree,
        nodes: options.nodes,
        format,
        count: written,
        output: path.display().to_string(),
    };
    out.show(&document, |to| writeln!(to, "wrote {} to {}", count(written, "checksum", "checksums"), document.output))?;
    Ok(Verdict::Done)
}

fn write_nodes(engine: &PouwEngine, options: &Options, format: Format, to: &mut dyn Write) -> Result<u64, Failure> {
    let mut first = true;
    let mut sink = |node: &Checksum| -> io::Result<()> {
        match format {
            Format::Hex => writeln!(to, "{node}"),
            Format::Raw => to.write_all(node.as_bytes()),
            Format::Json => write!(to, "{}\"{node}\"", if std::mem::take(&mut first) { "[\n" } else { ",\n" }),
        }
    };
    let written = match options.nodes {
        Nodes::All => engine.export_addresses(&options.tree, &mut sink)?.nodes,
        Nodes::Leaves => engine.export_leaves(&options.tree, &mut sink)?.nodes,
    };
    if format == Format::Json {
        to.write_all(b"\n]\n")?;
    }
    Ok(written)
}
