//! An engine on storage of the test's choice, and a clock that moves when a test moves it.
//!
//! ```text
//! House::new()            in a directory, audits from a fixed seed     House::in_memory(seed)   the same in memory
//! House::with(config())   in memory                                    House::in_directory(config())
//! ```

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use pouw::internal::store::check;
use pouw::internal::store::sim::SimDisk;
use pouw::protocol::{ByTier, UnixMillis};
use pouw::{
    Config, ConfigBuilder, Event, EventSink, FakeClock, PouwEngine, Runtime, StorageProvider, StoreDirectory,
    StoreFile, StoreOptions,
};
use tempfile::TempDir;

use super::disk::after_power_cut;

/// The time at which every test begins.
pub const START_MS: u64 = 1_700_000_000_000;

pub const SECRET: [u8; 32] = [7; 32];

/// The settings of most tests: no floors, no background thread.
pub fn config() -> ConfigBuilder {
    config_with(SECRET)
}

/// The same under this secret.
pub fn config_with(secret: [u8; 32]) -> ConfigBuilder {
    Config::builder(secret).floor(ByTier::all(Duration::ZERO)).background(false)
}

pub fn clock() -> Arc<FakeClock> {
    Arc::new(FakeClock::at(UnixMillis(START_MS)))
}

/// Small caches and no subscriber.
pub fn parts(storage: Arc<dyn StorageProvider>, clock: &Arc<FakeClock>) -> Runtime {
    Runtime::on(storage)
        .clock(clock.clone())
        .events(EventSink::default())
        .options(StoreOptions::new().state_cache_bytes(1 << 20).blocks_cache_bytes(1 << 20))
}

/// An engine on this disk.
pub fn on_disk(disk: &SimDisk, clock: &Arc<FakeClock>, config: ConfigBuilder) -> PouwEngine {
    open(parts(Arc::new(disk.clone()), clock), config)
}

/// An engine in this directory.
pub fn in_directory(directory: &Path, clock: &Arc<FakeClock>, config: ConfigBuilder) -> PouwEngine {
    open(parts(Arc::new(StoreDirectory::new(directory)), clock), config)
}

pub fn open(parts: Runtime, config: ConfigBuilder) -> PouwEngine {
    PouwEngine::open_with(parts, config.build().unwrap()).unwrap()
}

/// An engine with its storage, its clock and its events.
pub struct House {
    pub engine: PouwEngine,
    pub clock: Arc<FakeClock>,
    /// The events since the store was opened.
    pub events: Arc<Mutex<Vec<Event>>>,
    /// Holds the store of a house in memory.
    pub disk: SimDisk,
    /// Holds the store of the other houses, and files beside it.
    pub directory: TempDir,
    storage: Arc<dyn StorageProvider>,
    config: ConfigBuilder,
}

impl House {
    pub fn with(config: ConfigBuilder) -> Self {
        Self::on_disk(SimDisk::new(), config)
    }

    /// In memory, with what this disk holds.
    pub fn on_disk(disk: SimDisk, config: ConfigBuilder) -> Self {
        Self::on(Arc::new(disk.clone()), disk, tempfile::tempdir().unwrap(), config)
    }

    pub fn in_directory(config: ConfigBuilder) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("store");
        std::fs::create_dir_all(&store).unwrap();
        Self::on(Arc::new(StoreDirectory::new(store)), SimDisk::new(), directory, config)
    }

    fn on(storage: Arc<dyn StorageProvider>, disk: SimDisk, directory: TempDir, config: ConfigBuilder) -> Self {
        let clock = clock();
        let (sink, events) = remembering();
        let engine = open(parts(storage.clone(), &clock).events(sink), config.clone());
        Self { engine, clock, events, disk, directory, storage, config }
    }

    /// Closes the store and opens it again.
    pub fn reopen(&mut self) {
        self.reopen_as(self.config.clone());
    }

    /// The same, with other settings from now on.
    pub fn reopen_as(&mut self, config: ConfigBuilder) {
        self.engine.close();
        self.config = config;
        let (sink, events) = remembering();
        self.events = events;
        self.engine = self.open(sink);
    }

    /// Loses everything that is not durable, and opens what is left. For houses in memory.
    pub fn power_cut(&mut self) {
        let left = after_power_cut(&self.disk);
        self.engine.close();
        self.storage = Arc::new(left.clone());
        self.disk = left;
        self.reopen();
    }

    /// Closes the store, changes its block file below redb, and opens it again. For houses in memory.
    pub fn rot(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        self.engine.close();
        let (state, mut blocks) = (self.disk.bytes(StoreFile::State), self.disk.bytes(StoreFile::Blocks));
        change(&mut blocks);
        self.disk = SimDisk::with_files(state, blocks);
        self.storage = Arc::new(self.disk.clone());
        self.reopen();
    }

    /// Closes the store, checks it, and opens it again.
    pub fn checked(&mut self) {
        self.engine.close();
        let report = check(self.storage.clone(), &mut |_| {}).unwrap();
        assert!(report.is_clean(), "{:?}", report.findings);
        self.reopen();
    }

    /// Opens the store again. The subscriber `hear` has the engine at hand.
    pub fn reopen_heard(&mut self, hear: impl Fn(&PouwEngine, Event) + Send + Sync + 'static) {
        self.engine.close();
        let engine: Arc<OnceLock<PouwEngine>> = Arc::default();
        let at_hand = engine.clone();
        self.engine = self.open(EventSink::new(move |event| {
            if let Some(engine) = at_hand.get() {
                hear(engine, event);
            }
        }));
        assert!(engine.set(self.engine.clone()).is_ok());
    }

    fn open(&self, events: EventSink) -> PouwEngine {
        open(parts(self.storage.clone(), &self.clock).events(events), self.config.clone())
    }

    /// The directory of the store.
    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    pub fn storage(&self) -> Arc<dyn StorageProvider> {
        self.storage.clone()
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

    pub fn names(&self) -> Vec<String> {
        self.engine.trees(None, 10_000).unwrap().into_iter().map(|tree| tree.name).collect()
    }
}

fn remembering() -> (EventSink, Arc<Mutex<Vec<Event>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = events.clone();
    (EventSink::new(move |event| seen.lock().push(event)), events)
}
