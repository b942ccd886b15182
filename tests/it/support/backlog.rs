//! A store in a directory that goes with it, and an honest client that works everything off.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::Mutex;
use pouw::hash::{Checksum, sha3_512};
use pouw::merkle::root;
use pouw::protocol::{ByTier, DifficultyTier, WorkResult};
use pouw::solver::compute_work_unit;
use pouw::{
    Answer, Config, Event, EventSink, Exposure, IngestError, IngestOptions, IngestReport, IssueError, IssueRequest,
    Issued, Parts, PouwEngine,
};
use tempfile::TempDir;

/// Smallest block size, bytes: the one most tests cut at.
pub const BLOCK: usize = 512;

pub struct Place {
    pub engine: PouwEngine,
    pub events: Arc<Mutex<Vec<Event>>>,
    directory: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (engine, events) = open(&directory.path().join("store"));
        Self { engine, events, directory }
    }

    /// Closes the store and opens it again.
    pub fn reopen(&mut self) {
        self.engine.close();
        (self.engine, self.events) = open(&self.directory.path().join("store"));
    }

    /// A path beside the store.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file beside the store, with the directories above it.
    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn ingest(&self, options: &IngestOptions, paths: &[&Path]) -> Result<IngestReport, IngestError> {
        let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
        self.engine.ingest_paths(options, &paths, &mut |_| ControlFlow::Continue(()))
    }

    pub fn issue(&self) -> Option<Issued> {
        self.engine.upkeep().unwrap();
        match self.engine.issue(&IssueRequest::new(b"client", DifficultyTier::High)) {
            Ok(issued) => Some(issued),
            Err(IssueError::NoWork) => None,
            Err(other) => panic!("{other}"),
        }
    }

    /// Works the backlog off; the number of units it took.
    pub fn drain(&self) -> u64 {
        let mut units = 0;
        let (done, verdicts) = mpsc::channel();
        while let Some(issued) = self.issue() {
            // Whatever is ready is answered at once and shares a commit.
            let mut next = Some(issued);
            let mut waiting = 0;
            while let Some(issued) = next {
                let done = done.clone();
                self.engine.submit_with(&Answer::new(b"client", &solve(&issued)), move |verdict| {
                    done.send(verdict.map(|_| ())).unwrap();
                });
                waiting += 1;
                next = self.engine.issue(&IssueRequest::new(b"client", DifficultyTier::High)).ok();
            }
            verdicts.iter().take(waiting).for_each(|verdict| verdict.unwrap());
            units += waiting as u64;
        }
        // Assembled, and then its data dropped.
        self.engine.upkeep().unwrap();
        self.engine.upkeep().unwrap();
        units
    }

    pub fn leaves_of(&self, name: &str) -> Vec<Checksum> {
        let mut leaves = Vec::new();
        let mut push = |leaf: &Checksum| {
            leaves.push(*leaf);
            Ok(())
        };
        self.engine.export_leaves(name, &mut push).unwrap();
        leaves
    }

    /// The tree is complete, and its leaves and root are those of `blocks`.
    pub fn assert_complete(&self, name: &str, blocks: &[&[u8]]) {
        let expected: Vec<Checksum> = blocks.iter().map(|block| sha3_512(block)).collect();
        assert_eq!(self.leaves_of(name), expected, "{name}");
        assert_eq!(self.engine.root(name).unwrap(), root(&expected).unwrap(), "{name}");
    }

    pub fn names(&self) -> Vec<String> {
        self.engine.trees(None, 10_000).unwrap().into_iter().map(|tree| tree.name).collect()
    }
}

fn open(path: &Path) -> (PouwEngine, Arc<Mutex<Vec<Event>>>) {
    std::fs::create_dir_all(path).unwrap();
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = events.clone();
    let parts = Parts { events: EventSink::new(move |event| seen.lock().push(event)), ..Parts::in_directory(path) };
    let config = Config::builder([7; 32]).floor(ByTier::all(Duration::ZERO)).background(false).build().unwrap();
    (PouwEngine::open_with(parts, config).unwrap(), events)
}

pub fn solve(issued: &Issued) -> WorkResult {
    compute_work_unit(&issued.unit).unwrap()
}

/// Blocks of [`BLOCK`] bytes, public.
pub fn options() -> IngestOptions {
    IngestOptions { block_size: BLOCK as u64, ..IngestOptions::new(Exposure::Public) }
}

/// Bytes that repeat nowhere near.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = (0..len.div_ceil(8)).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(len).collect()
}

/// What a file is cut into.
pub fn blocks_of(data: &[u8], block: usize) -> Vec<&[u8]> {
    if data.is_empty() { vec![&[]] } else { data.chunks(block).collect() }
}
