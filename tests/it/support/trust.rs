//! A store whose trees are verified in any way, and clients of distinct networks, honest or not.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use pouw::hash::{Checksum, sha3_512};
use pouw::internal::engine::testing::Mistake;
use pouw::internal::store::sim::SimDisk;
use pouw::internal::store::{Store, check};
use pouw::merkle::{fold, root};
use pouw::protocol::{ByTier, DifficultyTier, WorkResult};
use pouw::solver::compute_work_unit;
use pouw::{
    Accepted, Answer, Config, Directory, Event, EventSink, Exposure, FakeClock, IngestOptions, Ingested, IssueError,
    IssueRequest, Issued, Parts, PouwEngine, StorageProvider, StoreOptions, Strategy, SubmitError,
};
use tempfile::TempDir;

pub const BLOCK: usize = 512;
pub const HIGH: DifficultyTier = DifficultyTier::High;

/// Seed of the audits: what a test shows, it shows every time.
pub const SEED: u64 = 5;

pub struct House {
    pub engine: PouwEngine,
    pub clock: Arc<FakeClock>,
    pub events: Arc<Mutex<Vec<Event>>>,
    seed: u64,
    quorum_wait_ms: u64,
    mistake: Option<Mistake>,
    storage: Arc<dyn StorageProvider>,
    pub directory: TempDir,
}

impl House {
    pub fn new() -> Self {
        Self::seeded(SEED)
    }

    pub fn seeded(seed: u64) -> Self {
        Self::making(None, seed)
    }

    pub fn making(mistake: Option<Mistake>, seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("store");
        std::fs::create_dir_all(&store).unwrap();
        Self::on(directory, Arc::new(Directory::new(store)), mistake, seed)
    }

    /// With the store in memory, for tests that write so often that the disk would set their pace.
    pub fn in_memory(seed: u64) -> Self {
        Self::on(tempfile::tempdir().unwrap(), Arc::new(SimDisk::new()), None, seed)
    }

    fn on(directory: TempDir, storage: Arc<dyn StorageProvider>, mistake: Option<Mistake>, seed: u64) -> Self {
        let clock = Arc::new(FakeClock::at(1_700_000_000_000));
        let quorum_wait_ms = 600_000;
        let (engine, events) = open(&storage, &clock, (seed, quorum_wait_ms, mistake));
        Self { engine, clock, events, seed, quorum_wait_ms, mistake, storage, directory }
    }

    pub fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    /// What the store stands on.
    pub fn storage(&self) -> Arc<dyn StorageProvider> {
        self.storage.clone()
    }

    /// Closes the store, checks it, and opens it again.
    pub fn checked(&mut self) {
        self.engine.close();
        let report = check(self.storage.clone(), &mut |_| {}).unwrap();
        assert!(report.is_clean(), "{:?}", report.findings);
        let how = (self.seed, self.quorum_wait_ms, self.mistake);
        (self.engine, self.events) = open(&self.storage, &self.clock, how);
    }

    /// Opens the store again, without a check. Whoever is told of an event has the engine at hand.
    pub fn reopened(&mut self, tell: impl Fn(&PouwEngine, Event) + Send + Sync + 'static) {
        self.engine.close();
        let engine: Arc<OnceLock<PouwEngine>> = Arc::default();
        let at_hand = engine.clone();
        let sink = EventSink::new(move |event| {
            if let Some(engine) = at_hand.get() {
                tell(engine, event);
            }
        });
        let how = (self.seed, self.quorum_wait_ms, self.mistake);
        self.engine = open_for(&self.storage, &self.clock, how, sink);
        assert!(engine.set(self.engine.clone()).is_ok());
    }

    /// Lies a client has been caught in, as the closed store says. Opens it again.
    pub fn strikes(&mut self, who: u64) -> u64 {
        let client = *self.engine.client_digest(&names(who).0).as_bytes();
        self.engine.close();
        let store = Store::open(self.storage.clone(), StoreOptions::default()).unwrap();
        let strikes = store.client(client).unwrap().strikes;
        store.close();
        self.checked();
        strikes
    }

    pub fn ingest(&self, strategy: Strategy, name: &str, blocks: &[Vec<u8>]) -> Ingested {
        let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
        self.engine.ingest_blocks(&options(strategy), name, &blocks).unwrap()
    }

    /// Asks for a unit as client `who`, which is of network `who / 1000`: refills first.
    pub fn issue(&self, who: u64, tier: DifficultyTier) -> Option<Issued> {
        self.engine.upkeep().unwrap();
        let (client, network) = names(who);
        match self.engine.issue(&IssueRequest::new(&client, tier).network(&network)) {
            Ok(issued) => Some(issued),
            Err(IssueError::NoWork) => None,
            Err(other) => panic!("{other}"),
        }
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

    /// Honest clients, each of its own network, work off what there is for them. The units it took.
    pub fn drain(&self, clients: std::ops::Range<u64>) -> u64 {
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

    /// Waits until everything before this is written, and with it what a refused answer left behind.
    pub fn written(&self) {
        let (tell, told) = std::sync::mpsc::channel();
        self.engine.touch_with(move |written| tell.send(written).unwrap());
        told.recv().unwrap().unwrap();
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
    pub fn assert_right(&self, name: &str, blocks: &[Vec<u8>]) {
        let expected: Vec<Checksum> = blocks.iter().map(|block| sha3_512(block)).collect();
        assert_eq!(self.leaves(name), expected, "{name}");
        assert_eq!(self.engine.root(name).unwrap(), root(&expected).unwrap(), "{name}");
        self.engine.validate(name).unwrap();
    }
}

type How = (u64, u64, Option<Mistake>);

fn open(
    storage: &Arc<dyn StorageProvider>,
    clock: &Arc<FakeClock>,
    (seed, wait, mistake): How,
) -> (PouwEngine, Arc<Mutex<Vec<Event>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = events.clone();
    let sink = EventSink::new(move |event| seen.lock().push(event));
    (open_for(storage, clock, (seed, wait, mistake), sink), events)
}

fn open_for(
    storage: &Arc<dyn StorageProvider>,
    clock: &Arc<FakeClock>,
    (seed, wait, mistake): How,
    events: EventSink,
) -> PouwEngine {
    let parts = Parts {
        storage: storage.clone(),
        clock: clock.clone(),
        events,
        options: StoreOptions { state_cache_bytes: 4 << 20, blocks_cache_bytes: 4 << 20 },
    };
    let config = Config::builder([7; 32])
        .floor(ByTier::all(Duration::ZERO))
        .background(false)
        .quorum_wait(Duration::from_millis(wait))
        .audit_seed(seed);
    let config = mistake.into_iter().fold(config, |config, mistake| config.mistake(mistake));
    PouwEngine::open_with(parts, config.build().unwrap()).unwrap()
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
    IngestOptions { block_size: BLOCK as u64, strategy, ..IngestOptions::new(Exposure::Public) }
}

/// The right answer, its leaf hashes changed by `lie`, with a top that fits them.
pub fn answer(issued: &Issued, lie: impl FnOnce(&mut Vec<Checksum>)) -> WorkResult {
    let mut result = compute_work_unit(&issued.unit).unwrap();
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
    let mut state = pouw::internal::engine::testing::SplitMix64(seed);
    let block = |_| (0..BLOCK / 8).flat_map(|_| state.next().to_le_bytes()).collect();
    (0..count).map(block).collect()
}
