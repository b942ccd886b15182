//! Damage is contained: a row that is gone or does not decode keeps back its own leaves, tree or token, is told
//! as an event, and everything else goes on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::work::solve;
use pouw::hash::sha3_512;
use pouw::protocol::{ByTier, DifficultyTier};
use pouw::{
    Answer, Config, Event, EventSink, Exposure, IngestOptions, IssueError, IssueRequest, Parts, PouwEngine,
    SubmitError, TreeState,
};
use redb::{Database, TableDefinition};

type Bytes = &'static [u8];
const HASHES: TableDefinition<(u64, u64), Bytes> = TableDefinition::new("hashes-0");
const TILES: TableDefinition<(u64, u64), Bytes> = TableDefinition::new("tiles-0");
const CLIENTS: TableDefinition<[u8; 16], Bytes> = TableDefinition::new("clients-0");
const BLOCKS: TableDefinition<(u64, u32), Bytes> = TableDefinition::new("blocks-0");

struct Bench {
    dir: tempfile::TempDir,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Bench {
    /// Three trees of 100 leaves, numbered 0 to 2.
    fn with_three_trees() -> Self {
        let bench = Self { dir: tempfile::tempdir().unwrap(), events: Arc::default() };
        let engine = bench.open();
        let options = IngestOptions::new(Exposure::Public).block_size(512);
        for tree in 0..3u8 {
            engine.ingest_bytes(&options, &format!("tree-{tree}"), &vec![tree; 512 * 100 - 1]).unwrap();
        }
        engine.close();
        bench
    }

    fn open(&self) -> PouwEngine {
        let events = self.events.clone();
        let parts = Parts {
            events: EventSink::new(move |event| events.lock().unwrap().push(event)),
            ..Parts::in_directory(self.dir.path())
        };
        let config = Config::builder([7; 32]).floor(ByTier::all(Duration::ZERO)).background(false).build().unwrap();
        PouwEngine::open_with(parts, config).unwrap()
    }

    fn plant(&self, file: &str, damage: impl FnOnce(&redb::WriteTransaction)) {
        let database = Database::open(self.dir.path().join(file)).unwrap();
        let txn = database.begin_write().unwrap();
        damage(&txn);
        txn.commit().unwrap();
    }

    fn corrupted_trees(&self) -> Vec<u64> {
        let mut trees: Vec<u64> = self
            .events
            .lock()
            .unwrap()
            .iter()
            .filter_map(|event| match event {
                Event::CorruptionFound { tree, .. } => Some(*tree),
                _ => None,
            })
            .collect();
        trees.dedup();
        trees
    }
}

/// Works until nothing more is handed out; an upkeep that fails is not the end of it.
fn drain(engine: &PouwEngine) {
    for _ in 0..200 {
        // What is damaged may fail its own part each time.
        let _ = engine.upkeep();
        match engine.issue(&IssueRequest::new(b"worker", DifficultyTier::High)) {
            Ok(issued) => {
                let result = solve(&issued.unit);
                // A unit of a damaged tree may be impossible to judge; it must not disturb the others.
                let _ = engine.submit(&Answer::new(b"worker", &result));
            }
            Err(IssueError::NoWork) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

fn states(engine: &PouwEngine) -> Vec<TreeState> {
    (0..3).map(|tree| engine.tree(&format!("tree-{tree}")).unwrap().state).collect()
}

#[test]
fn a_lost_chunk_of_block_data_keeps_back_its_own_leaves_and_no_other_tree() {
    let bench = Bench::with_three_trees();
    bench.plant("blocks.redb", |txn| {
        txn.open_table(BLOCKS).unwrap().remove((0, 0)).unwrap();
    });
    let engine = bench.open();
    drain(&engine);
    assert_eq!(states(&engine), [TreeState::Active, TreeState::Complete, TreeState::Complete]);
    assert_eq!(bench.corrupted_trees(), [0]);
    assert_eq!(engine.stats().blocked[0].0, 0);
}

#[test]
fn a_damaged_tile_row_keeps_back_its_own_tile_and_no_other() {
    let bench = Bench::with_three_trees();
    bench.plant("state.redb", |txn| {
        txn.open_table(TILES).unwrap().insert((1, 2), &[0xff; 16][..]).unwrap();
    });
    let engine = bench.open();
    drain(&engine);
    assert_eq!(states(&engine), [TreeState::Complete, TreeState::Active, TreeState::Complete]);
    assert_eq!(engine.tree("tree-1").unwrap().pending, 32, "three of its four tiles are done");
    assert_eq!(bench.corrupted_trees(), [1]);
}

#[test]
fn a_lost_group_of_hashes_makes_its_own_tree_inconsistent_and_no_other() {
    let bench = Bench::with_three_trees();
    let engine = bench.open();
    engine.upkeep().unwrap();
    // All leaves are done, nothing is assembled yet.
    while let Ok(issued) = engine.issue(&IssueRequest::new(b"worker", DifficultyTier::High)) {
        let result = solve(&issued.unit);
        engine.submit(&Answer::new(b"worker", &result)).unwrap();
    }
    assert_eq!(states(&engine), [TreeState::Assembling; 3]);
    engine.close();
    bench.plant("state.redb", |txn| {
        txn.open_table(HASHES).unwrap().remove((0, 3)).unwrap();
    });
    let engine = bench.open();
    engine.upkeep().unwrap();
    assert_eq!(states(&engine), [TreeState::Inconsistent, TreeState::Complete, TreeState::Complete]);
    assert_eq!(bench.corrupted_trees(), [0]);
}

#[test]
fn a_damaged_client_row_fails_that_clients_answers_and_no_commit_of_others() {
    let bench = Bench::with_three_trees();
    let engine = bench.open();
    let damaged = *engine.client_digest(b"damaged").as_bytes();
    engine.close();
    bench.plant("state.redb", |txn| {
        txn.open_table(CLIENTS).unwrap().insert(damaged, &b"\x07no row"[..]).unwrap();
    });
    let engine = bench.open();
    engine.upkeep().unwrap();
    let wrong = |client: &[u8]| {
        let issued = engine.issue(&IssueRequest::new(client, DifficultyTier::High)).unwrap();
        let mut result = solve(&issued.unit);
        result.result_hash = sha3_512(b"wrong");
        engine.submit(&Answer::new(client, &result)).unwrap_err()
    };
    assert!(matches!(wrong(b"damaged"), SubmitError::WrongResult { .. }));
    // The token of that answer rides along with the next commit, which it must not spoil.
    let issued = engine.issue(&IssueRequest::new(b"honest", DifficultyTier::High)).unwrap();
    let result = solve(&issued.unit);
    engine.submit(&Answer::new(b"honest", &result)).unwrap();
    drain(&engine);
    assert_eq!(states(&engine), [TreeState::Complete; 3]);
    assert_eq!(engine.stats().refused_waiting, 0);
}

#[test]
fn with_few_clients_the_ledger_is_still_checkpointed_and_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        Config::builder([7; 32]).floor(ByTier::all(Duration::ZERO)).background(false).ledger_entries_kept(1_000);
    let engine = PouwEngine::open(dir.path(), config.build().unwrap()).unwrap();
    let one = pouw::protocol::MicroJoules(0);
    // 65 536 entries behind the last checkpoint begin one; debits of nothing are the cheapest entries.
    std::thread::scope(|scope| {
        for lane in 0..16u8 {
            let engine = &engine;
            scope.spawn(move || {
                for at in 0..4_200u32 {
                    let mut key = [lane; 16];
                    key[..4].copy_from_slice(&at.to_le_bytes());
                    engine.debit(&[lane % 4], one, key).unwrap();
                }
            });
        }
    });
    let before = engine.ledger(0, 1).unwrap()[0].seq;
    engine.sweep().unwrap();
    let after = engine.ledger(0, 1).unwrap()[0].seq;
    assert!(after > before, "the oldest entry is still {after}");
}
