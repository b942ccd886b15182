//! An engine that only reads: what it shows is right, what would write is refused, and not a byte changes.

use std::io;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::house::{House, config, parts};
use crate::support::work::{answer_right, cut, issue, made_up, pattern, work, work_off};
use pouw::hash::Checksum;
use pouw::internal::store::sim::SimDisk;
use pouw::merkle::LeafIndex;
use pouw::protocol::DifficultyTier::{High, Low};
use pouw::protocol::MicroJoules;
use pouw::{
    IngestError, IssueError, IssueRequest, OpenError, PouwEngine, Runtime, StorageBackend, StorageProvider, StoreError,
    StoreFile, SubmitError, TreeError, WriteError,
};

/// Storage that can only be opened to be read, and counts the changes that are tried.
#[derive(Debug, Clone)]
struct Medium {
    disk: SimDisk,
    tried: Arc<AtomicUsize>,
}

impl Medium {
    fn of(disk: &SimDisk) -> Self {
        Self { disk: disk.clone(), tried: Arc::default() }
    }

    fn tried(&self) -> usize {
        self.tried.load(Ordering::SeqCst)
    }
}

fn refuse<T>(tried: &AtomicUsize) -> io::Result<T> {
    tried.fetch_add(1, Ordering::SeqCst);
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl StorageProvider for Medium {
    fn open(&self, _: StoreFile) -> io::Result<Box<dyn StorageBackend>> {
        refuse(&self.tried)
    }

    fn open_read_only(&self, file: StoreFile) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(Page { inner: self.disk.open(file)?, tried: self.tried.clone() }))
    }

    fn sync_names(&self) -> io::Result<()> {
        refuse(&self.tried)
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        self.disk.path(file)
    }
}

#[derive(Debug)]
struct Page {
    inner: Box<dyn StorageBackend>,
    tried: Arc<AtomicUsize>,
}

impl StorageBackend for Page {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        refuse(&self.tried)
    }

    fn sync_data(&self) -> io::Result<()> {
        refuse(&self.tried)
    }

    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        refuse(&self.tried)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> io::Result<bool> {
        self.inner.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> io::Result<()> {
        self.inner.unlock_range(start, end)
    }
}

fn bytes(disk: &SimDisk) -> (Vec<u8>, Vec<u8>) {
    (disk.bytes(StoreFile::State), disk.bytes(StoreFile::Blocks))
}

fn look(medium: &Medium) -> Result<PouwEngine, OpenError> {
    PouwEngine::open_read_only_with(Runtime::on(Arc::new(medium.clone())))
}

/// A tree that is complete, and one with a leaf done.
fn lived() -> House {
    let house = House::with(config());
    house.engine.ingest_bytes(&cut(), "done", &pattern(33 * 512, 1)).unwrap();
    work_off(&house.engine, b"client", High);
    house.engine.upkeep().unwrap();
    house.engine.ingest_bytes(&cut(), "half", &pattern(5 * 512, 2)).unwrap();
    work(&house.engine, b"client", Low);
    house
}

#[test]
fn it_shows_everything_and_the_medium_is_never_written() {
    let house = lived();
    let nodes = |engine: &PouwEngine| {
        let mut nodes = Vec::new();
        let mut sink = |node: &Checksum| {
            nodes.push(*node);
            Ok(())
        };
        engine.export_addresses("done", &mut sink).unwrap();
        nodes
    };
    let shown = |engine: &PouwEngine| {
        let trees: Vec<String> = engine.trees(None, 9).unwrap().iter().map(|tree| format!("{tree:?}")).collect();
        let ledger: Vec<String> = engine.ledger(0, 99).unwrap().iter().map(|entry| format!("{entry:?}")).collect();
        let stats = engine.stats();
        let counted = (stats.totals, stats.commits, stats.boot, stats.account);
        let proof = format!("{:?}", engine.prove("done", LeafIndex(7)).unwrap());
        (trees, ledger, counted, proof, nodes(engine), engine.balance(b"client").unwrap())
    };
    house.engine.close();
    let before = bytes(&house.disk);
    let medium = Medium::of(&house.disk);
    let engine = look(&medium).unwrap();
    let seen = shown(&engine);
    engine.close();
    assert_eq!(medium.tried(), 0);
    assert!(bytes(&house.disk) == before, "a byte changed");
    let mut house = house;
    house.reopen();
    let mut known = shown(&house.engine);
    known.2.2 -= 1;
    // The clean end of the look before was no opening, and wrote no commit.
    assert_eq!(seen, known);
}

#[test]
fn every_verb_that_writes_is_refused_with_a_typed_error() {
    let house = lived();
    let issued = issue(&house.engine, b"client", Low);
    house.engine.close();
    let before = bytes(&house.disk);
    let medium = Medium::of(&house.disk);
    let engine = look(&medium).unwrap();
    let read_only = |error: &TreeError| matches!(error, TreeError::Write(WriteError::ReadOnly));
    assert!(read_only(&engine.forget("half").unwrap_err()));
    let ingested = engine.ingest_bytes(&cut(), "new", &[1; 512]);
    assert!(matches!(ingested, Err(IngestError::Store(StoreError::ReadOnly))), "{ingested:?}");
    for synthetic in [false, true] {
        let issued = engine.issue(&IssueRequest::new(b"client", Low).synthetic(synthetic));
        assert!(matches!(issued, Err(IssueError::ReadOnly)), "{issued:?}");
    }
    // The token was signed with a secret that this engine does not know.
    let answered = answer_right(&engine, b"client", &issued.unit);
    assert!(matches!(answered, Err(SubmitError::Token(_))), "{answered:?}");
    let debited = engine.debit(b"client", MicroJoules(1), [9; 16]);
    assert!(matches!(debited, Err(pouw::DebitError::Write(WriteError::ReadOnly))), "{debited:?}");
    engine.refill().unwrap();
    engine.close();
    assert!(matches!(engine.forget("half"), Err(TreeError::Store(StoreError::Closed))));
    assert_eq!(medium.tried(), 0);
    assert!(bytes(&house.disk) == before, "a byte changed");
}

#[test]
fn a_store_that_a_crash_left_is_mended_in_memory_only() {
    let house = lived();
    made_up(&house.engine, b"client", Low);
    // The process is gone, and its files are as they were at this moment.
    let left = crate::support::disk::copy(&house.disk);
    let before = bytes(&left);
    let medium = Medium::of(&left);
    let engine = look(&medium).unwrap();
    assert_eq!(engine.trees(None, 9).unwrap().len(), 2);
    assert_eq!(engine.tree("half").unwrap().pending, 4);
    drop(engine);
    assert_eq!(medium.tried(), 0);
    assert!(bytes(&left) == before, "a byte changed");
}

#[test]
fn a_medium_that_cannot_be_written_is_named_and_a_store_that_is_not_there_is_not_made() {
    let house = lived();
    house.engine.close();
    let medium = Medium::of(&house.disk);
    let opened = PouwEngine::open_with(parts(Arc::new(medium), &house.clock), config().build().unwrap());
    let Err(OpenError::Store(error @ StoreError::NoAccess { .. })) = opened else { panic!("{opened:?}") };
    assert!(error.to_string().contains("state.redb"), "{error}");

    let nowhere = tempfile::tempdir().unwrap();
    let looked = PouwEngine::open_read_only(nowhere.path());
    assert!(matches!(looked, Err(OpenError::Store(StoreError::NotCreated { .. }))), "{looked:?}");
    assert_eq!(std::fs::read_dir(nowhere.path()).unwrap().count(), 0);
}

#[test]
fn readers_share_a_directory_and_exclude_a_writer() {
    let house = House::in_directory(config());
    house.engine.ingest_bytes(&cut(), "a", &[1; 512]).unwrap();
    let in_use = |opened: Result<PouwEngine, OpenError>| {
        assert!(matches!(opened, Err(OpenError::Store(StoreError::AlreadyOpen { .. }))), "{opened:?}");
    };
    let look = || PouwEngine::open_read_only(house.store());
    in_use(look());
    house.engine.close();
    let (one, other) = (look().unwrap(), look().unwrap());
    assert_eq!(one.tree("a").unwrap().leaves, other.tree("a").unwrap().leaves);
    let write = || PouwEngine::open(house.store(), config().accept_clock_ahead(true).build().unwrap());
    in_use(write());
    one.close();
    in_use(write());
    other.close();
    write().unwrap();
}

#[test]
fn an_engine_that_only_reads_lists_no_thread_that_writes() {
    let house = House::with(config());
    assert_eq!(house.engine.stats().threads.len(), 1);
    house.engine.close();
    let seen = PouwEngine::open_read_only_with(parts(Arc::new(Medium::of(&house.disk)), &house.clock)).unwrap();
    assert_eq!(seen.stats().threads, []);
}
