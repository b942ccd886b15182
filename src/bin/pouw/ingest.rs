//! `pouw ingest`: files become pending leaves.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::{HumanBytes, HumanCount, ProgressBar};
use pouw::internal::engine::ingest::walk::{Walk, WalkError};
use pouw::{Exposure, IngestError, IngestLayout, IngestOptions, IngestProgress, IngestReport, Strategy};
use serde::Serialize;

use crate::args;
use crate::failure::{Failure, Verdict};
use crate::output::{Output, complain};
use crate::place::Place;
use crate::words::{count, per_second, printable, rounded};

/// Put files into the store as trees of pending leaves.
///
/// Each file becomes a tree, cut into blocks: each block is one leaf to be hashed. Running the same command
/// again is safe: what is there is compared and skipped, an ingest that was cut short goes on, and other
/// content under a name in use is a conflict that changes nothing. Symbolic links are not followed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    place: Place,
    /// Why clients may see this data: it is sent to whoever computes its hashes. There is no default.
    #[arg(long, value_enum)]
    exposure: ExposureWord,
    /// Bytes in a block, 512 to 256M (4096, 4K, 1MiB); for the layout `files`.
    #[arg(long, value_name = "N", default_value = "4096", value_parser = args::block_size)]
    block_size: u64,
    /// How files become leaves.
    #[arg(long, value_enum, default_value = "files")]
    layout: LayoutWord,
    /// Put all leaves into one tree of this name; required for the layout `blocks`.
    #[arg(long, value_name = "NAME", value_parser = args::tree_name, required_if_eq("layout", "blocks"))]
    tree: Option<String>,
    /// Put this in front of every file's name, as given: `photos/` makes photos/cat.jpg.
    #[arg(long, value_name = "P")]
    prefix: Option<String>,
    /// Leave the bytes in the files and read them when they are needed, instead of copying them.
    #[arg(long)]
    reference: bool,
    /// How the answers of clients are verified: precomputed, known-address, audit:K or quorum:Q; see below.
    #[arg(long, value_name = "S", default_value_t = Strategy::Precomputed)]
    strategy: Strategy,
    /// Files and directories. Names are relative to the directory given; a file's is its file name.
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
  precomputed    The server hashes every leaf now, and compares each answer with that; it saves no hashing.
  known-address  Answers are compared with the blocks' addresses, and nothing is hashed here; blocks that do not fit
                 their address are found. Needs `--layout blocks` with files named by the SHA3-512 of their
                 content, 128 lowercase hex digits.
  audit:K        The server hashes K leaves of each answer, 1 to 32, drawn once it is there, and trusts the rest.
  quorum:Q       Q distinct clients in distinct networks, 2 to 8, must return the same; the server hashes two leaves
                 of each answer, and those on which answers differ.
`pouw export` hashes what only clients stand for, unless it is told otherwise.

A block found damaged counts again once it is given undamaged with the same command.

Next: pouw work --db store";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExposureWord {
    /// It is public anyway.
    Public,
    /// It is encrypted; anybody may see the ciphertext.
    Ciphertext,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LayoutWord {
    /// Each file is cut into blocks; the last may be short, an empty file is one empty leaf.
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
    strategy: String,
    problems: Vec<ProblemDocument<'r>>,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct ProblemDocument<'r> {
    what: &'r str,
    why: &'r str,
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

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    refuse_own_files(options)?;
    if options.strategy == Strategy::KnownAddress && options.layout != LayoutWord::Blocks {
        return Err(Failure::Usage(
            "the strategy known-address needs `--layout blocks --tree NAME`, each file named by the SHA3-512 of its \
             content: 128 lowercase hex digits"
                .into(),
        ));
    }
    // Looks at the sources, so that a mistyped one does not leave an empty store behind.
    Walk::new(&options.paths, options.prefix.as_deref()).map_err(walk_failure)?;
    let engine = options.place.open_or_make()?;
    let wanted = wanted(options);
    let started = Instant::now();
    let bar = out.progress(None, "{spinner} {msg}");
    let mut progress = telling(&bar, started);
    let report = engine.ingest_paths(&wanted, &options.paths, &mut progress).map_err(|error| match error {
        IngestError::Option { .. } => Failure::Usage(error.to_string()),
        IngestError::Walk(error) => walk_failure(error),
        other => other.into(),
    });
    bar.finish_and_clear();
    engine.close();
    let (report, seconds) = (report?, started.elapsed().as_secs_f64());
    tell_problems(&report);
    out.show(&document(&report, options.strategy, seconds), |to| human(to, &report, seconds))?;
    Ok(Verdict::of(report.is_clean()))
}

fn walk_failure(error: WalkError) -> Failure {
    match error {
        WalkError::Prefix { .. } => Failure::Usage(error.to_string()),
        other => other.into(),
    }
}

/// The store's own files must not become units for clients: the secret is among them.
fn refuse_own_files(options: &Options) -> Result<(), Failure> {
    let db = resolved(&options.place.db);
    let secret = options.place.secret_file.as_deref().map(resolved);
    for path in &options.paths {
        let source = resolved(path);
        let shown = path.display();
        if db.starts_with(&source) || source.starts_with(&db) {
            return Err(Failure::Usage(format!(
                "the store {} and the source {shown} lie within each other, so that the store's secret would be \
                 handed to clients; put the store elsewhere, or name the files beside it one by one",
                options.place.db.display()
            )));
        }
        if secret.as_ref().is_some_and(|secret| secret.starts_with(&source)) {
            return Err(Failure::Usage(format!(
                "the secret file lies within the source {shown} and would be handed to clients; move it elsewhere"
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
fn telling(bar: &ProgressBar, started: Instant) -> impl FnMut(&IngestProgress) -> ControlFlow<()> {
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

/// What was left out, on stderr.
pub fn tell_problems(report: &IngestReport) {
    for problem in &report.problems {
        complain(&format!("{}: {}", printable(&problem.what), problem.why));
    }
    let all = report.unreadable + report.conflicts + report.special + report.damaged;
    if let more @ 1.. = all.saturating_sub(report.problems.len() as u64) {
        complain(&format!("and {more} more that were not ingested"));
    }
}

fn human(to: &mut dyn Write, report: &IngestReport, seconds: f64) -> io::Result<()> {
    let read = &report.read;
    writeln!(
        to,
        "read {}, {}, {} in {seconds:.1} s ({}/s, {} leaves/s)",
        count(read.files, "file", "files"),
        count(read.leaves, "leaf", "leaves"),
        HumanBytes(read.bytes),
        HumanBytes(per_second(read.bytes, seconds)),
        HumanCount(per_second(read.leaves, seconds)),
    )?;
    let (added, resumed, unchanged) = (report.added, report.resumed, report.unchanged);
    writeln!(to, "trees: {added} added, {resumed} resumed, {unchanged} unchanged")?;
    if report.repaired > 0 {
        writeln!(to, "{} repaired", count(report.repaired, "damaged block", "damaged blocks"))?;
    }
    if report.damaged > 0 {
        let blocks = count(report.damaged, "block", "blocks");
        writeln!(to, "{blocks} still damaged: give them undamaged, then run this again")?;
    }
    if report.oversized > 0 {
        let leaves = count(report.oversized, "leaf", "leaves");
        writeln!(to, "{leaves} too long to be sent out, hashed here")?;
    }
    if report.special > 0 {
        writeln!(to, "{} skipped (links, sockets and the like)", report.special)?;
    }
    if report.unreadable + report.conflicts > 0 {
        let (unreadable, conflicts) = (report.unreadable, report.conflicts);
        writeln!(to, "not ingested: {unreadable} unreadable, {conflicts} in conflict with what is there")?;
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
        strategy: strategy.to_string(),
        problems: report.problems.iter().map(|p| ProblemDocument { what: &p.what, why: &p.why }).collect(),
        seconds: rounded(seconds),
    }
}
