//! Block data that is not needed any more, beside a page that cannot be read: it stays for now, all other data goes, and
//! the store stays open.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::support::disk::{PAGE, Rotting, copy};
use crate::support::house::{House, config, open, parts};
use crate::support::store_plant::{BLOCKS, HANDLES, HASHES, NAMES, READY, TREES, branches_above, plant};
use crate::support::work::{BLOCK, cut, pattern};
use pouw::internal::store::mend;
use pouw::internal::store::sim::SimDisk;
use pouw::{Event, EventSink, PouwEngine, StorageBackend, StorageProvider, StoreFile, StoreOptions};

/// Trees, each in a file of its own: several branches of redb's, with a root above them.
const COUNT: usize = 1_500;
const MARK: [u8; BLOCK * 2] = [0x5a; BLOCK * 2];
/// Rows within 128 pages of the damaged page on each side, and those on it.
const KEPT_MAX: usize = 2 * 512 + 8;

fn name(tree: usize) -> String {
    format!("name-{tree:04}")
}

/// A store of small trees with a chunk of 1 KiB each, in the order of their names.
fn house() -> House {
    let house = House::with(config());
    for tree in 0..COUNT {
        house.write(&format!("trees/{}", name(tree)), &pattern(BLOCK * 2, tree));
    }
    assert_eq!(house.engine.ingest_path(&cut(), house.path("trees")).unwrap().added, COUNT as u64);
    house
}

/// The store, in which the page of the marked chunk cannot be read.
fn rotten(house: &House) -> (PouwEngine, Rotting, Arc<Mutex<Vec<String>>>) {
    let rotting = Rotting::new(Arc::new(house.disk.clone()));
    let told = Arc::<Mutex<Vec<String>>>::default();
    let heard = told.clone();
    let parts =
        parts(Arc::new(rotting.clone()), &house.clock).options(uncached()).events(EventSink::new(move |event| {
            if let Event::CorruptionFound { what, .. } = event {
                heard.lock().push(what);
            }
        }));
    let engine = open(parts, config());
    rotting.rot(StoreFile::Blocks, page(&house.disk));
    (engine, rotting, told)
}

/// Marks the chunk of a tree, so that one page only has it: older copies of it are in free pages.
fn mark(house: &mut House, tree: usize) {
    house.edit_blocks(|txn| {
        txn.open_table(BLOCKS).unwrap().insert((tree as u64, 0), MARK.as_slice()).unwrap();
    });
    house.engine.close();
}

/// The page of the marked chunk.
fn page(disk: &SimDisk) -> u64 {
    let bytes = disk.bytes(StoreFile::Blocks);
    let found: Vec<usize> =
        (0..).zip(bytes.windows(MARK.len())).filter(|(_, bytes)| *bytes == MARK).map(|(at, _)| at).collect();
    assert_eq!(found.len(), 1);
    found[0] as u64 / PAGE
}

fn uncached() -> StoreOptions {
    StoreOptions::new().state_cache_bytes(0).blocks_cache_bytes(0)
}

fn settle(engine: &PouwEngine) {
    while engine.upkeep().unwrap().removed > 0 {}
    assert_eq!(engine.failure(), None);
}

/// Chunks of the store on this disk.
fn chunks(disk: &SimDisk) -> usize {
    House::on_disk(copy(disk), config()).block_rows().0
}

fn kept(disk: &SimDisk) -> usize {
    let kept = chunks(disk);
    assert!((1..=KEPT_MAX).contains(&kept), "{kept} are left");
    kept
}

#[test]
fn the_data_of_forgotten_trees_goes_but_for_what_is_beside_the_page() {
    let house = house();
    // The first and the last page of the table, and one between.
    for tree in [COUNT / 2, 0, COUNT - 1] {
        let mut house = House::on_disk(copy_closed(&house), config());
        mark(&mut house, tree);
        let (engine, rotting, told) = rotten(&house);
        (0..COUNT).for_each(|tree| engine.forget(&name(tree)).unwrap());
        settle(&engine);
        let stays = |what: &&String| what.contains("not needed any more stays");
        let kept = kept(&house.disk);
        // Some events with each round.
        for _ in 0..40 {
            engine.upkeep().unwrap();
        }
        assert_eq!(told.lock().iter().filter(stays).count(), kept, "one for each tree");
        // It is written to still, but for the last page, and nothing is tried again for now.
        let late = usize::from(tree != COUNT - 1);
        if late > 0 {
            engine.ingest_bytes(&cut(), "late", &[1; 512]).unwrap();
        }
        settle(&engine);
        assert_eq!(told.lock().iter().filter(stays).count(), kept);
        rotting.heal();
        house.clock.advance(Duration::from_secs(601));
        settle(&engine);
        engine.close();
        assert_eq!(chunks(&house.disk), late);
    }
}

#[test]
fn a_branch_that_cannot_be_read_is_not_merged_with_the_one_beside_it() {
    let house = house();
    house.engine.close();
    let branches = branches_above(&house.disk.bytes(StoreFile::Blocks), COUNT as u64 / 2);
    // The last of them is not the root: other trees are read without it.
    let whole = branches_above(&house.disk.bytes(StoreFile::Blocks), 1);
    let page = branches.iter().find(|page| !whole.contains(page)).expect("there is a branch below the root");
    let rotting = Rotting::new(Arc::new(house.disk.clone()));
    let engine = open(parts(Arc::new(rotting.clone()), &house.clock).options(uncached()), config());
    rotting.rot(StoreFile::Blocks, *page);
    (0..COUNT).for_each(|tree| engine.forget(&name(tree)).unwrap());
    settle(&engine);
    engine.close();
    rotting.heal();
    let left = chunks(&house.disk);
    assert!((300..COUNT).contains(&left), "{left} are left");
    let engine = open(parts(Arc::new(rotting), &house.clock), config());
    settle(&engine);
    engine.close();
    assert_eq!(chunks(&house.disk), 0);
}

fn copy_closed(house: &House) -> SimDisk {
    house.engine.close();
    copy(&house.disk)
}

/// A store whose state file knows nothing of its trees but that their numbers were used.
fn ownerless() -> House {
    let house = house();
    house.engine.close();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), house.disk.bytes(StoreFile::State)).unwrap();
    plant(file.path(), |txn| {
        txn.open_table(TREES).unwrap().retain(|_, _| false).unwrap();
        txn.open_table(NAMES).unwrap().retain(|_, _| false).unwrap();
        txn.open_table(HANDLES).unwrap().retain(|_, _| false).unwrap();
        txn.open_table(HASHES).unwrap().retain(|_, _| false).unwrap();
        txn.open_table(READY).unwrap().retain(|_, _| false).unwrap();
    });
    let state = std::fs::read(file.path()).unwrap();
    let mut house = House::on_disk(SimDisk::with_files(state, house.disk.bytes(StoreFile::Blocks)), config());
    mark(&mut house, COUNT / 2);
    house
}

#[test]
fn left_over_data_before_and_behind_the_page_goes_and_the_search_ends() {
    let house = ownerless();
    let (engine, rotting, told) = rotten(&house);
    settle(&engine);
    assert!(told.lock().iter().any(|what| what.contains("passed over")), "{:?}", told.lock());
    let before = kept(&house.disk);
    engine.ingest_bytes(&cut(), "late", &[1; 512]).unwrap();
    engine.close();
    rotting.heal();
    let engine = open(parts(Arc::new(rotting), &house.clock), config());
    settle(&engine);
    engine.close();
    assert!(before > 1 && chunks(&house.disk) == 1);
}

/// Storage of which a page of block data rots when both files are open: in debug builds redb reads every page of a file
/// that it opens.
#[derive(Debug)]
struct RotsWhenOpen {
    rotting: Rotting,
    page: u64,
}

impl StorageProvider for RotsWhenOpen {
    fn open(&self, file: StoreFile) -> io::Result<Box<dyn StorageBackend>> {
        self.rotting.open(file)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.rotting.rot(StoreFile::Blocks, self.page);
        self.rotting.sync_names()
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        self.rotting.path(file)
    }
}

#[test]
fn mending_passes_over_what_is_beside_the_page_and_says_so() {
    let house = ownerless();
    let rotting = Rotting::new(Arc::new(house.disk.clone()));
    let rots = RotsWhenOpen { rotting: rotting.clone(), page: page(&house.disk) };
    let report = mend(Arc::new(rots), uncached(), false).unwrap();
    let says = |words: &str| report.steps.iter().any(|step| step.what.contains(words));
    assert!(report.not_mended > 0 && says("its block data stays"), "{report:?}");
    let kept = kept(&house.disk);
    rotting.heal();
    let report = mend(Arc::new(rotting), uncached(), false).unwrap();
    assert_eq!((report.leftover_data, report.not_mended), (kept as u64, 0), "{report:?}");
    assert_eq!(chunks(&house.disk), 0);
}
