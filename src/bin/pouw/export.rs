//! `pouw export`: the hashes of a complete tree, as a stream, once enough is known about its leaves.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pouw::hash::Checksum;
use pouw::{ExportPolicy, ExportReport, PouwEngine, TreeError, TreeState, VerifyProgress};
use serde::Serialize;

use crate::failure::{Failure, Verdict};
use crate::output::{Output, complain, write_file};
use crate::place::TreeOf;
use crate::words::{count, printable, provenance};

/// Print the hashes of a complete tree, after checking every parent against its children.
///
/// `--nodes all` gives all nodes, the root first, level by level, left to right; `--nodes leaves` the leaves in
/// order, which are the addresses of the file's blocks.
///
/// Leaves that only clients stand for are hashed here first, as `--policy` says. That can be stopped at any moment and
/// goes on where it was with the same command. One that is wrong is corrected, which gives the tree another root.
/// stderr tells the weakest provenance in the tree.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    of: TreeOf,
    /// Which nodes.
    #[arg(long, value_enum, default_value = "all")]
    nodes: Nodes,
    /// What has to be known about the leaves: `strict`, every one is verified or known; `statistical:EPSILON:DELTA`, a
    /// part of EPSILON wrong ones would have been found with a chance of 1 - DELTA; `attested`, as it is, but for leaves of
    /// clients that were caught in a lie.
    #[arg(long, value_name = "P", default_value_t = ExportPolicy::Strict)]
    policy: ExportPolicy,
    /// How to write them; default hex, with --json json.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write to this file, as a whole or not at all; default stdout. With --json, stdout gets a summary.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Then accept the leaves as they are: block data that was kept to verify them may go.
    #[arg(long)]
    release: bool,
}

const EXAMPLES: &str = "\
Examples:
  pouw export --db store --tree cat.jpg | head -1             the root
  pouw export --db store --tree cat.jpg --nodes leaves --format json -o cat.json
  pouw export --db store --tree cat.jpg --format raw -o cat.nodes
  pouw export --db store --tree cat.jpg --policy statistical:0.01:0.000001 -o cat.nodes
  pouw export --db store --tree cat.jpg --policy attested --release -o cat.nodes

`pouw tree` tells who stands for the leaves.";

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
    policy: String,
    nodes: Nodes,
    format: Format,
    count: u64,
    /// Why the weakest leaf counts.
    provenance: &'static str,
    /// Leaves hashed for this export, and corrected.
    hashed: u64,
    corrected: u64,
    released: bool,
    output: String,
}

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    let format = options.format.unwrap_or(if out.json { Format::Json } else { Format::Hex });
    if out.json && options.output.is_none() && format != Format::Json {
        return Err(Failure::Usage(
            "with --json stdout carries one JSON document; add -o FILE for another format".into(),
        ));
    }
    let engine = options.of.place.open()?;
    // Tells of an unknown or incomplete tree before a file is touched.
    let done = satisfy(&engine, options, out)?;
    let Some(path) = &options.output else {
        let mut to = out.stream();
        let exported = write_nodes(&engine, options, format, &mut to)?;
        to.flush()?;
        drop(to);
        release(&engine, options)?;
        complain(&told(options, &exported, &done));
        return Ok(Verdict::Done);
    };
    let mut exported = None;
    write_file(path, |to| {
        exported = Some(write_nodes(&engine, options, format, to)?);
        Ok(())
    })?;
    let Some(exported) = exported else {
        return Err(Failure::failed(format!("{} was not written; run this again", path.display())));
    };
    release(&engine, options)?;
    engine.close();
    let document = Document {
        tree: &options.of.tree,
        policy: options.policy.to_string(),
        nodes: options.nodes,
        format,
        count: exported.nodes,
        provenance: provenance(exported.provenance),
        hashed: done.hashed,
        corrected: done.corrected,
        released: options.release,
        output: path.display().to_string(),
    };
    out.show(&document, |to| {
        writeln!(to, "wrote {} to {}", count(exported.nodes, "checksum", "checksums"), document.output)?;
        writeln!(to, "{}", told(options, &exported, &done))
    })?;
    Ok(Verdict::Done)
}

/// Hashes the leaves that the policy asks for. Each batch is durable: a run that is cut short is not lost.
fn satisfy(engine: &PouwEngine, options: &Options, out: &Output) -> Result<VerifyProgress, Failure> {
    let bar = out.progress(Some(0), "{bar:32} {human_pos}/{human_len} leaves hashed, {per_sec}, {eta} left");
    let verified = engine.satisfy(&options.of.tree, options.policy, &mut |progress| {
        bar.set_length(progress.of);
        bar.set_position(progress.hashed);
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    let done = verified.map_err(advised)?;
    if done.corrected > 0 {
        let leaves = count(done.corrected, "leaf", "leaves");
        complain(&format!(
            "{leaves} of tree {:?} had a wrong hash from a client, and the right one now: its root has changed; publish \
             the new commitment (`pouw tree`)",
            printable(&options.of.tree)
        ));
    }
    Ok(done)
}

fn advised(error: TreeError) -> Failure {
    let advice = match &error {
        TreeError::Unverifiable { .. } => {
            " (--policy attested); if its data is in files that were moved or changed, put them back and run this again"
        }
        TreeError::NotComplete { damaged: 1.., .. } => "; `pouw status` names them",
        TreeError::NotComplete { state: TreeState::Active, pending: 1.., .. } => "; run: pouw work",
        _ => "",
    };
    match Failure::from(error) {
        Failure::Failed(what) => Failure::Failed(format!("{what}{advice}")),
        other => other,
    }
}

/// What an export is worth, in a sentence.
fn told(options: &Options, exported: &ExportReport, done: &VerifyProgress) -> String {
    let (tree, weakest) = (printable(&options.of.tree), provenance(exported.provenance));
    let hashed = count(done.hashed, "leaf", "leaves");
    let corrected = done.corrected;
    let released = if options.release { "; its block data may go" } else { "" };
    format!(
        "tree {tree:?}, policy {}: the weakest leaf is {weakest}; {hashed} hashed for this, {corrected} corrected{released}",
        options.policy
    )
}

/// Lets the block data go, and what else is due.
fn release(engine: &PouwEngine, options: &Options) -> Result<(), Failure> {
    if !options.release {
        return Ok(());
    }
    engine.release(&options.of.tree)?;
    while engine.upkeep()?.removed > 0 {}
    Ok(())
}

fn write_nodes(
    engine: &PouwEngine,
    options: &Options,
    format: Format,
    to: &mut dyn Write,
) -> Result<ExportReport, Failure> {
    let mut first = true;
    let mut sink = |node: &Checksum| -> io::Result<()> {
        match format {
            Format::Hex => writeln!(to, "{node}"),
            Format::Raw => to.write_all(node.as_bytes()),
            Format::Json => write!(to, "{}\"{node}\"", if std::mem::take(&mut first) { "[\n" } else { ",\n" }),
        }
    };
    // The policy is satisfied, and nobody else writes to this store: a second sample would only cost.
    let (policy, tree) = (ExportPolicy::Attested, &options.of.tree);
    let exported = match options.nodes {
        Nodes::All => engine.export_addresses_under(policy, tree, &mut sink),
        Nodes::Leaves => engine.export_leaves_under(policy, tree, &mut sink),
    };
    let exported = exported?;
    if format == Format::Json {
        to.write_all(b"\n]\n")?;
    }
    Ok(exported)
}
