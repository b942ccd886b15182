//! Clients of distinct networks, honest or not, and trees that are verified in any way.

use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use pouw::hash::{Checksum, sha3_512};
use pouw::internal::engine::for_gate;
use pouw::internal::engine::testing::{Mistake, SplitMix64};
use pouw::internal::store::{RedbStore, Store as _};
use pouw::merkle::{fold, root};
use pouw::protocol::{DifficultyTier, WorkResult};
use pouw::{
    Accepted, Answer, ConfigBuilder, Exposure, IngestError, IngestOptions, IngestReport, Ingested, IssueError,
    IssueRequest, Issued, PouwEngine, StoreOptions, Strategy, SubmitError,
};

use super::house::{House, config};
use super::work::{BLOCK, solve, try_issue};

pub const HIGH: DifficultyTier = DifficultyTier::High;

/// Seed of the audits: what a test shows, it shows every time.
pub const SEED: u64 = 5;

/// The client of a test that needs only one.
pub const CLIENT: &[u8] = b"client";

/// The usual settings, with audits from this seed and a known wait for quorums.
pub fn audited(seed: u64) -> ConfigBuilder {
    config().quorum_wait(Duration::from_millis(600_000)).audit_seed(seed)
}

/// Houses by the seed of their audits.
impl House {
    pub fn new() -> Self {
        Self::seeded(SEED)
    }

    pub fn seeded(seed: u64) -> Self {
        Self::in_directory(audited(seed))
    }

    pub fn making(mistake: Mistake, seed: u64) -> Self {
        Self::in_directory(audited(seed).mistake(mistake))
    }

    /// With the store in memory, for tests that write so often that the disk would set their pace.
    pub fn in_memory(seed: u64) -> Self {
        Self::with(audited(seed))
    }
}

/// Many clients: client `who` is of network `who / 1000`.
impl House {
    /// Lies a client has been caught in, as the closed store says. Opens it again.
    pub fn strikes(&mut self, who: u64) -> u64 {
        let client = self.engine.client_digest(&names(who).0);
        self.engine.close();
        let store = RedbStore::open(self.storage(), StoreOptions::default()).unwrap();
        let strikes = store.client(client).unwrap().strikes;
        store.close();
        self.checked();
        strikes
    }

    pub fn ingest(&self, strategy: Strategy, name: &str, blocks: &[Vec<u8>]) -> Ingested {
        let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
        self.engine.ingest_blocks(&options(strategy), name, &blocks).unwrap()
    }

    /// Asks for a unit, after the upkeep of the engine.
    pub fn issue(&self, who: u64, tier: DifficultyTier) -> Option<Issued> {
        issue_to(&self.engine, who, tier)
    }

    pub fn submit(&self, who: u64, result: &WorkResult) -> Result<Accepted, SubmitError> {
        let (client, network) = names(who);
        self.engine.submit(&Answer::new(&client, result).network(&network))
    }

    /// One unit, answered with leaf hashes that `lie` may change. `None` if there is no unit for it.
    pub fn work(&self, who: u64, lie: impl FnOnce(&mut Vec<Checksum>)) -> Option<Result<Accepted, SubmitError>> {
        let issued = self.issue(who, HIGH)?;
        Some(self.submit(who, &answer(&issued, lie)))
    }

    /// Honest clients work off what there is for them. Returns the number of units.
    pub fn drain(&self, clients: Range<u64>) -> u64 {
        let mut units = 0;
        loop {
            let before = units;
            for who in clients.clone() {
                while let Some(verdict) = self.work(who, |_| {}) {
                    verdict.unwrap();
                    units += 1;
                }
            }
            if units == before {
                break;
            }
        }
        self.settle();
        units
    }

    /// Waits until everything before this is written, also what a refused answer changed.
    pub fn written(&self) {
        let (done, written) = mpsc::channel();
        for_gate(&self.engine).touch_with(move |outcome| done.send(outcome).unwrap());
        written.recv().unwrap().unwrap();
    }

    /// Upkeep until nothing is left to do.
    pub fn settle(&self) {
        loop {
            let done = self.engine.upkeep().unwrap();
            if done.completed + done.removed + done.doubts == 0 {
                return;
            }
        }
    }

    pub fn leaves(&self, name: &str) -> Vec<Checksum> {
        exported_leaves(&self.engine, name)
    }

    /// The tree exports the right hashes, under `Strict`.
    pub fn assert_right(&self, name: &str, blocks: &[impl AsRef<[u8]>]) {
        let expected: Vec<Checksum> = blocks.iter().map(|block| sha3_512(block.as_ref())).collect();
        assert_eq!(self.leaves(name), expected, "{name}");
        assert_eq!(self.engine.root(name).unwrap(), root(&expected).unwrap(), "{name}");
        self.engine.validate(name).unwrap();
    }
}

/// One client, which is honest, and trees of files.
impl House {
    pub fn ingest_paths(&self, options: &IngestOptions, paths: &[&Path]) -> Result<IngestReport, IngestError> {
        let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
        self.engine.ingest_paths(options, &paths, &mut |_| ControlFlow::Continue(()))
    }

    pub fn unit(&self) -> Option<Issued> {
        try_issue(&self.engine, CLIENT, HIGH)
    }

    /// Works off all that is left. Returns the number of units. The units that are ready share a commit.
    pub fn work_off(&self) -> u64 {
        let mut units = 0;
        let (done, verdicts) = mpsc::channel();
        while let Some(issued) = self.unit() {
            let mut next = Some(issued);
            let mut waiting = 0;
            while let Some(issued) = next {
                let done = done.clone();
                self.engine.submit_with(&Answer::new(CLIENT, &solve(&issued.unit)), move |verdict| {
                    done.send(verdict.map(|_| ())).unwrap();
                });
                waiting += 1;
                next = self.engine.issue(&IssueRequest::new(CLIENT, HIGH)).ok();
            }
            verdicts.iter().take(waiting).for_each(|verdict| verdict.unwrap());
            units += waiting as u64;
        }
        // Assembled, and then its data dropped.
        self.engine.upkeep().unwrap();
        self.engine.upkeep().unwrap();
        units
    }
}

/// A unit for client `who`, after the upkeep of the engine. `None` if there is none for it.
pub fn issue_to(engine: &PouwEngine, who: u64, tier: DifficultyTier) -> Option<Issued> {
    engine.upkeep().unwrap();
    let (client, network) = names(who);
    match engine.issue(&IssueRequest::new(&client, tier).network(&network)) {
        Ok(issued) => Some(issued),
        Err(IssueError::NoWork) => None,
        Err(other) => panic!("{other}"),
    }
}

/// The leaves of a tree, as a strict export gives them.
pub fn exported_leaves(engine: &PouwEngine, name: &str) -> Vec<Checksum> {
    let mut leaves = Vec::new();
    let mut push = |leaf: &Checksum| {
        leaves.push(*leaf);
        Ok(())
    };
    engine.export_leaves(name, &mut push).unwrap();
    leaves
}

/// Key and network prefix of a client: a thousand clients share a network.
pub fn names(who: u64) -> (Vec<u8>, Vec<u8>) {
    (format!("client-{who}").into_bytes(), format!("network-{}", who / 1_000).into_bytes())
}

/// A client of another network for each number.
pub fn apart(number: u64) -> u64 {
    number * 1_000
}

pub fn options(strategy: Strategy) -> IngestOptions {
    IngestOptions::new(Exposure::Public).block_size(BLOCK as u64).strategy(strategy)
}

/// The right answer, its leaf hashes changed by `lie`, with a top that fits them.
pub fn answer(issued: &Issued, lie: impl FnOnce(&mut Vec<Checksum>)) -> WorkResult {
    let mut result = solve(&issued.unit);
    let single = result.leaf_hashes.is_empty();
    let mut leaves = if single { vec![result.result_hash] } else { result.leaf_hashes.clone() };
    lie(&mut leaves);
    result.result_hash = fold(&leaves, issued.unit.fold_levels).unwrap();
    if !single {
        result.leaf_hashes = leaves;
    }
    result
}

/// A hash that is wrong.
pub fn wrong(hash: &Checksum) -> Checksum {
    sha3_512(hash.as_bytes())
}

/// `count` blocks of [`BLOCK`] bytes that repeat nowhere.
pub fn blocks(count: u64, seed: u64) -> Vec<Vec<u8>> {
    let mut state = SplitMix64(seed);
    let block = |_| (0..BLOCK / 8).flat_map(|_| state.next().to_le_bytes()).collect();
    (0..count).map(block).collect()
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
