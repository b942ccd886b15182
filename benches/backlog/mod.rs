//! What the benchmarks of the engine share: sizes from the command line, a backlog on disk, medians.
#![allow(dead_code, reason = "each benchmark uses its part")]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use pouw::{Exposure, IngestOptions, PouwEngine};

/// Bytes of every leaf.
pub const LEAF_BYTES: u64 = 512;

/// How much a benchmark does. `cargo test --benches` passes `--test`, continuous integration `--quick`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// What the published figures are measured with.
    Full,
    /// A minute's worth of it.
    Quick,
    /// Only whether it runs.
    Test,
}

impl Scale {
    /// From the arguments `--quick`, `--test`, or the variable `POUW_BENCH_QUICK`.
    pub fn from_arguments() -> Self {
        let has = |flag: &str| std::env::args().any(|argument| argument == flag);
        if has("--test") {
            Self::Test
        } else if has("--quick") || std::env::var_os("POUW_BENCH_QUICK").is_some() {
            Self::Quick
        } else {
            Self::Full
        }
    }

    /// The value for this scale.
    pub fn pick<T>(self, full: T, quick: T, test: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
            Self::Test => test,
        }
    }
}

/// A directory that goes with its owner; below `POUW_BENCH_DIR` if that is set, so that the disk can be chosen.
pub fn scratch() -> tempfile::TempDir {
    let made = match std::env::var_os("POUW_BENCH_DIR") {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    };
    made.expect("a scratch directory can be made")
}

/// The same, below the target directory unless `POUW_BENCH_DIR` is set: the system's directory for temporary
/// files may be memory, on which a commit is durable in no time.
pub fn scratch_on_target() -> tempfile::TempDir {
    match std::env::var_os("POUW_BENCH_DIR") {
        Some(_) => scratch(),
        None => tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a scratch directory can be made"),
    }
}

/// Writes a file of `leaves` leaves, every one different.
pub fn write_leaves(path: &Path, leaves: u64) {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).expect("the file can be made"));
    let mut leaf = [0; LEAF_BYTES as usize];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..leaves {
        for word in leaf.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        out.write_all(&leaf).expect("there is room");
    }
    out.flush().expect("there is room");
}

/// Options for leaves of [`LEAF_BYTES`].
pub fn options() -> IngestOptions {
    IngestOptions::new(Exposure::Public).block_size(LEAF_BYTES)
}

/// Ingests files, each as one tree.
pub fn ingest(engine: &PouwEngine, options: &IngestOptions, paths: &[PathBuf]) {
    let report = engine.ingest_paths(options, paths, &mut |_| ControlFlow::Continue(())).expect("the backlog goes in");
    assert!(report.is_clean(), "{:?}", report.problems);
}

/// The middle value; of an even number the lower one.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
