//! `pouw export`: streams the hashes of a complete tree after verifying its leaves as the policy
//! requires.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pouw::hash::Checksum;
use pouw::{
    ExportPolicy, ExportReport, PouwEngine, Provenance, StoreError, TreeError, TreeState, VerifyProgress, WriteError,
};
use serde::Serialize;

use crate::failure::{Failure, Verdict};
use crate::output::{Output, complain, write_file};
use crate::store::TreeOf;
use crate::words::{count, printable};

/// Print the hashes of a complete tree.
///
/// Every parent is checked against its children first. `--nodes all` prints all nodes, the root
/// first, level by level, from left to right. `--nodes leaves` prints the leaves in order, which
/// are the addresses of the file's blocks.
///
/// The server first hashes leaves that only clients have hashed, as `--policy` requires. This can
/// be interrupted; the same command resumes it. A wrong leaf is corrected, which changes the root.
/// stderr reports the weakest provenance of a leaf.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    of: TreeOf,
    /// Nodes to print.
    #[arg(long, value_enum, default_value = "all")]
    nodes: Nodes,
    /// How many client hashes the server checks: `strict` checks all; `statistical:EPSILON:DELTA`
    /// checks a sample, which finds a share EPSILON of wrong leaves with probability 1 - DELTA;
    /// `attested` checks only those of clients that returned a wrong hash before.
    #[arg(long, value_name = "P", default_value_t = ExportPolicy::Strict)]
    policy: ExportPolicy,
    /// Output format [default: hex, with --json json].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write to this file, completely or not at all, instead of stdout. With --json, stdout gets a
    /// summary.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Accept the leaves afterwards: block data kept to verify them may be deleted.
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

`pouw tree` shows the provenance of the leaves.";

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
    /// One line of 128 hex digits for each node.
    Hex,
    /// An array of hex strings.
    Json,
    /// 64 bytes for each node, without separators.
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
    provenance: Provenance,
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
            "with --json, stdout has one JSON document; write another format to a file with -o FILE".into(),
        ));
    }
    // Reports an unknown or incomplete tree before a file is touched.
    let (engine, done) = ready(options, out)?;
    let Some(path) = &options.output else {
        let mut to = out.stream();
        let exported = write_nodes(&engine, options, format, &mut to)?;
        to.flush()?;
        drop(to);
        release(&engine, options)?;
        complain(&summary(options, &exported, &done));
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
        provenance: exported.provenance,
        hashed: done.hashed,
        corrected: done.corrected,
        released: options.release,
        output: path.display().to_string(),
    };
    out.show(&document, |to| {
        writeln!(to, "wrote {} to {}", count(exported.nodes, "checksum", "checksums"), document.output)?;
        writeln!(to, "{}", summary(options, &exported, &done))
    })?;
    Ok(Verdict::Done)
}

/// Opens the store to be read, or to be written if leaves have to be hashed or released, and has
/// the policy satisfied.
fn ready(options: &Options, out: &Output) -> Result<(PouwEngine, VerifyProgress), Failure> {
    if !options.release {
        let engine = options.of.store.look()?;
        match satisfy(&engine, options, out) {
            Err(TreeError::Write(WriteError::ReadOnly) | TreeError::Store(StoreError::ReadOnly)) => engine.close(),
            ended => return Ok((engine, ended.map_err(advised)?)),
        }
    }
    let engine = options.of.store.open()?;
    let done = satisfy(&engine, options, out).map_err(advised)?;
    if done.corrected > 0 {
        let leaves = count(done.corrected, "leaf", "leaves");
        complain(&format!(
            "{leaves} of tree {:?} had a wrong hash from a client and were corrected: the root has changed; publish the \
             new commitment (`pouw tree`)",
            printable(&options.of.tree)
        ));
    }
    Ok((engine, done))
}

/// Hashes the leaves that the policy requires. Each batch is durable: an interrupted run is not
/// lost.
fn satisfy(engine: &PouwEngine, options: &Options, out: &Output) -> Result<VerifyProgress, TreeError> {
    let bar = out.progress(Some(0), "{bar:32} {human_pos}/{human_len} leaves hashed, {per_sec}, {eta} left");
    let verified = engine.satisfy(&options.of.tree, options.policy, &mut |progress| {
        bar.set_length(progress.of);
        bar.set_position(progress.hashed);
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    verified
}

fn advised(error: TreeError) -> Failure {
    let advice = match &error {
        TreeError::Unverifiable { .. } => {
            " (--policy attested); if its data is in files that were moved or changed, restore them and run this again"
        }
        TreeError::Damaged { .. } => " (pouw ingest)",
        TreeError::NotComplete { damaged: 1.., .. } => "; `pouw status` lists them",
        TreeError::NotComplete { state: TreeState::Active, pending: 1.., .. } => "; run: pouw work",
        _ => "",
    };
    match Failure::from(error) {
        Failure::Failed(what) => Failure::Failed(format!("{what}{advice}")),
        other => other,
    }
}

/// Describes what is known about the exported leaves.
fn summary(options: &Options, exported: &ExportReport, done: &VerifyProgress) -> String {
    let (tree, weakest) = (printable(&options.of.tree), exported.provenance);
    let hashed = count(done.hashed, "leaf", "leaves");
    let corrected = done.corrected;
    let released = if options.release { "; its block data may be deleted" } else { "" };
    format!(
        "tree {tree:?}, policy {}: the weakest leaf is {weakest}; {hashed} hashed for this export, {corrected} corrected{released}",
        options.policy
    )
}

/// Releases the block data, and does the upkeep that is due.
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
    // The policy is satisfied, and no other process writes to this store: a second sample is of no
    // use.
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
