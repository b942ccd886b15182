//! `pouw ingest`: files become pending leaves.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::{HumanBytes, HumanCount, ProgressBar};
use pouw::{
    Exposure, IngestError, IngestLayout, IngestOptions, IngestProblem, IngestProgress, IngestReport, Strategy,
    WalkError,
};
use serde::Serialize;

use crate::args;
use crate::failure::{Failure, Verdict};
use crate::output::{Output, complain};
use crate::store::StoreArguments;
use crate::words::{count, per_second, printable, rounded};

/// Put files into a store as trees of pending leaves.
///
/// Each file becomes a tree. Each block of the file is one leaf, to be hashed by a client. Prints
/// the numbers of files, leaves and bytes read, and of trees added, resumed and unchanged.
///
/// The same command can be run again: it skips unchanged files and resumes an interrupted ingest.
/// Different content under a name in use is a conflict, which changes nothing. Symbolic links are
/// not followed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    store: StoreArguments,
    /// Why clients may see this data: they receive the blocks they hash. Required.
    #[arg(long, value_enum)]
    exposure: ExposureWord,
    /// Bytes in a block, from 512 to 256M, like 4096, 4K or 1MiB; for the layout `files`.
    #[arg(long, value_name = "N", default_value = "4096", value_parser = args::block_size)]
    block_size: u64,
    /// How files become leaves.
    #[arg(long, value_enum, default_value = "files")]
    layout: LayoutWord,
    /// Put all leaves into one tree with this name; required for the layout `blocks`.
    #[arg(long, value_name = "NAME", value_parser = args::tree_name, required_if_eq("layout", "blocks"))]
    tree: Option<String>,
    /// Text to put before every tree name: with `photos/`, cat.jpg becomes photos/cat.jpg.
    #[arg(long, value_name = "P")]
    prefix: Option<String>,
    /// Read the files when their bytes are needed, instead of copying them into the store.
    #[arg(long)]
    reference: bool,
    /// How answers are verified: precomputed, known-address, audit:K or quorum:Q; see below.
    #[arg(long, value_name = "S", default_value_t = Strategy::Precomputed)]
    strategy: Strategy,
    /// Files and directories. A file in a directory is named by its path below it, another by its
    /// file name.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  pouw ingest --db store --exposure public docs/                   each file is a tree
  pouw ingest --db store --exposure public --tree all docs/ a.txt  all blocks in one tree
  pouw ingest --db store --exposure ciphertext --layout blocks --tree cbl blocks/
                                                                   each file is one leaf
  pouw ingest --db store --exposure public --reference --block-size 1M films/
  pouw ingest --db store --exposure ciphertext --layout blocks --tree cbl --strategy known-address blocks/
                                                                   each file is named by its block's address
  pouw ingest --db store --exposure public --strategy audit:2 docs/

Strategies:
  precomputed    The server hashes every leaf during ingest and compares each answer with that. This saves no hashing.
  known-address  The server compares answers with the blocks' addresses and hashes nothing. It finds damaged blocks.
                 Needs `--layout blocks` and files named by the SHA3-512 of their content, 128 lowercase hex digits.
  audit:K        The server hashes K random leaves of each answer (1 to 32) and trusts the others.
  quorum:Q       Q clients (2 to 8) in different networks must return the same hashes. The server hashes two leaves of
                 each answer, and every leaf on which answers differ.
`pouw export` hashes the leaves that only clients have hashed, unless its --policy says otherwise.

To repair a damaged block, run the same command with the undamaged file.

Next: pouw work --db store";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExposureWord {
    /// The data is public.
    Public,
    /// The data is encrypted, and anyone may see the ciphertext.
    Ciphertext,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LayoutWord {
    /// Each file is cut into blocks. The last one may be short; an empty file is one empty leaf.
    Files,
    /// Each file is one leaf, in bytewise order of relative paths.
    Blocks,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'r> {
    files: u64,
    leaves: u64,
    bytes: u64,
    added: u64,
    resumed: u64,
    unchanged: u64,
    repaired: u64,
    damaged: u64,
    oversized: u64,
    unreadable: u64,
    special: u64,
    conflicts: u64,
    damaged_trees: u64,
    strategy: Strategy,
    problems: &'r [IngestProblem],
    seconds: f64,
}

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    refuse_own_files(options)?;
    if options.strategy == Strategy::KnownAddress && options.layout != LayoutWord::Blocks {
        return Err(Failure::Usage(
            "the strategy known-address needs `--layout blocks --tree NAME`, each file named by the SHA3-512 of its \
             content: 128 lowercase hex digits"
                .into(),
        ));
    }
    // Opens the sources first, so that a mistyped path does not leave an empty store behind.
    let wanted = wanted(options);
    drop(wanted.files(&options.paths).map_err(walk_failure)?);
    let engine = options.store.open_or_make()?;
    let started = Instant::now();
    let bar = out.progress(None, "{spinner} {msg}");
    let mut progress = reporting(&bar, started);
    let report = engine.ingest_paths(&wanted, &options.paths, &mut progress).map_err(|error| match error {
        IngestError::Option { .. } => Failure::Usage(error.to_string()),
        IngestError::Walk(error) => walk_failure(error),
        other => other.into(),
    });
    bar.finish_and_clear();
    engine.close();
    let (report, seconds) = (report?, started.elapsed().as_secs_f64());
    report_problems(&report);
    out.show(&document(&report, options.strategy, seconds), |to| human(to, &report, seconds))?;
    Ok(Verdict::of(report.is_clean()))
}

fn wanted(options: &Options) -> IngestOptions {
    let exposure = match options.exposure {
        ExposureWord::Public => Exposure::Public,
        ExposureWord::Ciphertext => Exposure::Ciphertext,
    };
    let layout = match options.layout {
        LayoutWord::Files => IngestLayout::Files,
        LayoutWord::Blocks => IngestLayout::Blocks,
    };
    let mut wanted = IngestOptions::new(exposure).layout(layout).block_size(options.block_size);
    wanted.tree.clone_from(&options.tree);
    wanted.prefix.clone_from(&options.prefix);
    wanted.by_reference(options.reference).strategy(options.strategy)
}

fn walk_failure(error: WalkError) -> Failure {
    match error {
        WalkError::Prefix { .. } => Failure::Usage(error.to_string()),
        other => other.into(),
    }
}

/// The store's own files must not become units for clients: the secret is among them.
fn refuse_own_files(options: &Options) -> Result<(), Failure> {
    let db = resolved(&options.store.db);
    let secret = options.store.secret_file.as_deref().map(resolved);
    for path in &options.paths {
        let source = resolved(path);
        let shown = path.display();
        if db.starts_with(&source) || source.starts_with(&db) {
            return Err(Failure::Usage(format!(
                "the store {} and the source {shown} contain each other, so clients would receive the store's secret; \
                 move the store, or name the other files one by one",
                options.store.db.display()
            )));
        }
        if secret.as_ref().is_some_and(|secret| secret.starts_with(&source)) {
            return Err(Failure::Usage(format!(
                "the secret file is inside the source {shown}, so clients would receive it; move it elsewhere"
            )));
        }
    }
    Ok(())
}

/// The path without links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let real = |ancestor: &Path| {
        let rest = absolute.strip_prefix(ancestor).ok()?;
        ancestor.canonicalize().ok().map(|found| found.join(rest))
    };
    absolute.ancestors().find_map(real).unwrap_or_else(|| absolute.clone())
}

/// Shows files, bytes, leaves and rates, ten times a second at most.
fn reporting(bar: &ProgressBar, started: Instant) -> impl FnMut(&IngestProgress) -> ControlFlow<()> {
    let mut last = Duration::ZERO;
    move |read| {
        let now = started.elapsed();
        if !bar.is_hidden() && now.saturating_sub(last) >= Duration::from_millis(100) {
            last = now;
            let seconds = now.as_secs_f64();
            bar.set_message(format!(
                "{}, {} ({}/s), {} ({}/s)",
                count(read.files, "file", "files"),
                HumanBytes(read.bytes),
                HumanBytes(per_second(read.bytes, seconds)),
                count(read.leaves, "leaf", "leaves"),
                HumanCount(per_second(read.leaves, seconds)),
            ));
        }
        ControlFlow::Continue(())
    }
}

/// Reports the files that were left out, on stderr.
pub fn report_problems(report: &IngestReport) {
    for problem in &report.problems {
        complain(&format!("{}: {}", printable(&problem.what), problem.why));
    }
    let all = report.unreadable + report.conflicts + report.special + report.damaged + report.damaged_trees;
    if let more @ 1.. = all.saturating_sub(report.problems.len() as u64) {
        complain(&format!("and {} not ingested", count(more, "other file", "other files")));
    }
}

fn human(to: &mut dyn Write, report: &IngestReport, seconds: f64) -> io::Result<()> {
    let read = &report.read;
    writeln!(
        to,
        "read {}, {}, {} in {seconds:.1} s ({}/s, {}/s)",
        count(read.files, "file", "files"),
        count(read.leaves, "leaf", "leaves"),
        HumanBytes(read.bytes),
        HumanBytes(per_second(read.bytes, seconds)),
        count(per_second(read.leaves, seconds), "leaf", "leaves"),
    )?;
    let (added, resumed, unchanged) = (report.added, report.resumed, report.unchanged);
    writeln!(to, "trees: {added} added, {resumed} resumed, {unchanged} unchanged")?;
    if report.repaired > 0 {
        writeln!(to, "{} repaired", count(report.repaired, "damaged block", "damaged blocks"))?;
    }
    if report.damaged > 0 {
        let blocks = count(report.damaged, "block", "blocks");
        writeln!(to, "{blocks} still damaged: restore the files, then run this again")?;
    }
    if report.oversized > 0 {
        let leaves = count(report.oversized, "leaf", "leaves");
        writeln!(to, "{leaves} too long to send to clients, hashed by the server")?;
    }
    if report.damaged_trees > 0 {
        let trees = count(report.damaged_trees, "tree has", "trees have");
        writeln!(to, "{trees} a damaged row: stop the server, run `pouw repair`, then this again")?;
    }
    if report.special > 0 {
        writeln!(to, "{} skipped (symbolic links, sockets and other special files)", report.special)?;
    }
    if report.unreadable + report.conflicts > 0 {
        let (unreadable, conflicts) = (report.unreadable, report.conflicts);
        writeln!(to, "not ingested: {unreadable} unreadable, {conflicts} in conflict with a tree of the same name")?;
    }
    Ok(())
}

fn document(report: &IngestReport, strategy: Strategy, seconds: f64) -> Document<'_> {
    Document {
        files: report.read.files,
        leaves: report.read.leaves,
        bytes: report.read.bytes,
        added: report.added,
        resumed: report.resumed,
        unchanged: report.unchanged,
        repaired: report.repaired,
        damaged: report.damaged,
        oversized: report.oversized,
        unreadable: report.unreadable,
        special: report.special,
        conflicts: report.conflicts,
        damaged_trees: report.damaged_trees,
        strategy,
        problems: &report.problems,
        seconds: rounded(seconds),
    }
}
