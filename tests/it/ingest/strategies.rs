//! Ingest of trees that are not verified at ingest: names in use, files by reference, interruptions, leaves of all sizes.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::slice;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::support::clients::{apart, audited, blocks, options};
use crate::support::disk::copy;
use crate::support::house::House;
use crate::support::work::BLOCK;
use pouw::hash::{Checksum, sha3_512};
use pouw::internal::store::rows::DataPlace;
use pouw::internal::store::sim::{Loss, SimDisk};
use pouw::internal::store::{RedbStore, Store as _};
use pouw::merkle::LeafIndex;
use pouw::{
    Event, ExportPolicy, HashReason, IngestError, IngestOptions, IngestReport, Ingested, PouwEngine, Provenance,
    StoreOptions, Strategy, TreeError, TreeState,
};

const AUDIT: Strategy = Strategy::SampledAudit { k: 2 };
const PAIR: Strategy = Strategy::Redundant { quorum: 2 };
const ALL: [Strategy; 4] = [Strategy::Precomputed, Strategy::KnownAddress, AUDIT, PAIR];
/// The strategies whose leaf hashes come from clients.
const OFFLOADED: [Strategy; 2] = [AUDIT, PAIR];

fn ingest(house: &House, strategy: Strategy, blocks: &[Vec<u8>]) -> Result<Ingested, IngestError> {
    let slices: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
    if strategy == Strategy::KnownAddress {
        let given: Vec<(Checksum, &[u8])> = slices.iter().map(|block| (sha3_512(block), *block)).collect();
        return house.engine.ingest_known_blocks(&options(strategy), "t", &given);
    }
    house.engine.ingest_blocks(&options(strategy), "t", &slices)
}

/// The same bytes are unchanged, others are a conflict, and another strategy is refused by the name of its field.
fn assert_in_use(house: &House, strategy: Strategy, data: &[Vec<u8>], when: &str) {
    let before = house.engine.tree("t").unwrap();
    assert_eq!(ingest(house, strategy, data).unwrap(), Ingested::Unchanged, "{strategy} {when}");
    let mut others = vec![data.to_vec(); 4];
    others[0][17][5] ^= 1;
    others[1].pop();
    others[2].push(vec![7; BLOCK]);
    others[3].swap(0, 1);
    for (number, other) in others.iter().enumerate() {
        let refused = ingest(house, strategy, other).unwrap_err();
        assert!(matches!(refused, IngestError::Conflict { .. }), "{strategy} {when}, other {number}: {refused}");
    }
    let more = [Strategy::SampledAudit { k: 3 }, Strategy::Redundant { quorum: 3 }];
    for other in ALL.into_iter().chain(more).filter(|other| *other != strategy) {
        let refused = ingest(house, other, data).unwrap_err();
        let IngestError::Option { field: "strategy", value, .. } = &refused else { panic!("{refused}") };
        assert_eq!(*value, other.to_string(), "{strategy} {when}");
    }
    assert_eq!(house.engine.tree("t").unwrap(), before, "{strategy} {when}: nothing has changed");
}

#[test]
fn a_name_in_use_takes_the_same_bytes_and_the_same_strategy_at_any_time() {
    for strategy in ALL {
        let mut house = House::in_memory(1);
        let data = blocks(75, 1);
        assert_eq!(ingest(&house, strategy, &data).unwrap(), Ingested::Added);
        assert_in_use(&house, strategy, &data, "untouched");
        house.work(apart(1), |_| {}).unwrap().unwrap();
        assert_in_use(&house, strategy, &data, "begun");
        house.drain(2..3);
        house.drain(apart(3)..apart(3) + 1);
        house.checked();
        assert_eq!(house.engine.tree("t").unwrap().state, TreeState::Complete);
        assert_in_use(&house, strategy, &data, "complete");
        house.assert_right("t", &data);
        house.settle();
        house.checked();
        assert_eq!(house.engine.tree("t").unwrap().data, DataPlace::Dropped);
        assert_in_use(&house, strategy, &data, "exported, its data gone");
        house.assert_right("t", &data);
    }
}

/// The data of the tree is gone, and its row does not say so.
fn is_half_removed(disk: &SimDisk) -> bool {
    let store = RedbStore::open(Arc::new(copy(disk)), StoreOptions::default()).unwrap();
    let (tree, row) = store.read().unwrap().tree_named("t").unwrap().unwrap();
    let gone = store.read_leaves(tree, 0, 0, &[1]).is_err();
    store.close();
    gone && row.data != DataPlace::Dropped
}

/// Crashes at every write of the removal of a tree's data: wherever it stopped, the tree takes the same bytes only.
#[test]
fn a_crash_while_data_is_removed_leaves_a_tree_that_takes_the_same_bytes() {
    for strategy in ALL {
        let house = House::in_memory(1);
        let data = blocks(75, 1);
        ingest(&house, strategy, &data).unwrap();
        house.disk.record();
        house.drain(2..3);
        house.drain(apart(3)..apart(3) + 1);
        house.settle();
        house.assert_right("t", &data);
        house.settle();
        let recording = house.disk.take_recording().unwrap();
        let mut half_removed = 0;
        for at in 0..=recording.len() {
            let disk = recording.crash_at(at, Loss::Everything);
            half_removed += u64::from(is_half_removed(&disk));
            let left = House::on_disk(disk, audited(1));
            let mut other = data.clone();
            other[17][5] ^= 1;
            assert!(matches!(ingest(&left, strategy, &other), Err(IngestError::Conflict { .. })), "{strategy}, {at}");
            assert_eq!(ingest(&left, strategy, &data).unwrap(), Ingested::Unchanged, "{strategy}, {at}");
            if left.engine.tree("t").unwrap().state != TreeState::Complete {
                continue;
            }
            left.assert_right("t", &data);
            left.settle();
            assert_eq!(left.engine.tree("t").unwrap().data, DataPlace::Dropped, "{strategy}, {at}");
        }
        assert!(half_removed > 0, "{strategy}: no crash came between the data and its row");
    }
}

/// The data of a tree goes while the same content is given once more.
#[test]
fn a_tree_whose_data_is_removed_during_a_comparison_takes_the_same_bytes() {
    for (strategy, by_reference) in OFFLOADED.into_iter().flat_map(|strategy| [(strategy, false), (strategy, true)]) {
        let house = House::new();
        let path = house.write("t", &vec![9; 75 * BLOCK]);
        let options = options(strategy).by_reference(by_reference);
        assert_eq!(house.ingest_paths(&options, &[&path]).unwrap().added, 1);
        house.drain(2..3);
        house.drain(apart(3)..apart(3) + 1);
        house.engine.upkeep().unwrap();
        let mut removed = false;
        let again = house.engine.ingest_paths(&options, slice::from_ref(&path), &mut |_| {
            if !removed {
                house.leaves("t");
                house.settle();
                removed = house.engine.tree("t").unwrap().data == DataPlace::Dropped;
            }
            ControlFlow::Continue(())
        });
        assert!(removed, "{strategy}: its data stayed");
        let again = again.unwrap();
        assert_eq!((again.unchanged, again.conflicts, again.read.leaves), (1, 0, 75), "{strategy}: {again:?}");
        house.engine.close();
        assert!(PouwEngine::check_store(house.path("store"), &mut |_| {}).unwrap().is_clean());
    }
}

fn files(strategy: Strategy) -> IngestOptions {
    options(strategy).by_reference(true)
}

fn take(house: &House, options: &IngestOptions) -> Result<IngestReport, IngestError> {
    house.engine.ingest_paths(options, &[house.directory.path().join("in")], &mut |_| ControlFlow::Continue(()))
}

fn write(house: &House, name: &str, bytes: &[u8]) -> PathBuf {
    let path = house.directory.path().join("in").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Other bytes of the same length, and another time, so that no clock's grain hides the change.
fn change(path: &PathBuf) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[0] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let later = SystemTime::now() + Duration::from_secs(7);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(later).unwrap();
}

#[test]
fn trees_by_reference_are_worked_off_and_verified_from_their_files() {
    for strategy in OFFLOADED {
        let mut house = House::in_memory(2);
        let (data, tail) = (blocks(70, 2), vec![3; 100]);
        let bytes: Vec<u8> = data.concat().into_iter().chain(tail.clone()).collect();
        write(&house, "a", &bytes);
        assert_eq!(take(&house, &files(strategy)).unwrap().added, 1);
        assert_eq!(house.engine.tree("a").unwrap().data, DataPlace::Referenced);
        assert_eq!(take(&house, &files(strategy)).unwrap().unchanged, 1);
        house.drain(1..2);
        house.checked();
        house.drain(apart(2)..apart(2) + 1);
        house.checked();
        assert!(house.engine.tree("a").unwrap().provenance.weak() > 0);
        assert_eq!(take(&house, &files(strategy)).unwrap().unchanged, 1, "{strategy}, complete");
        house.assert_right("a", &[data, vec![tail]].concat());
        house.settle();
        house.checked();
    }
}

#[test]
fn a_file_that_changed_is_a_conflict_hands_nothing_out_and_cannot_be_verified() {
    for strategy in OFFLOADED {
        let house = House::in_memory(3);
        let paths = ["a", "b"].map(|name| write(&house, name, &blocks(40, name.len() as u64).concat()));
        drop(take(&house, &files(strategy)).unwrap());
        change(&paths[1]);
        let report = take(&house, &files(strategy)).unwrap();
        assert_eq!((report.unchanged, report.conflicts, report.is_clean()), (1, 1, false), "{strategy}");
        assert!(report.problems[0].what.ends_with("/b"), "{:?}", report.problems);
        house.drain(1..2);
        house.drain(apart(2)..apart(2) + 1);
        let (whole, changed) = (house.engine.tree("a").unwrap(), house.engine.tree("b").unwrap());
        assert_eq!((whole.state, whole.pending, changed.pending), (TreeState::Complete, 0, 40), "{strategy}");
        assert!(house.events.lock().iter().any(|event| matches!(event, Event::SourceChanged { .. })));
        // What was accepted before its file changed stays what it is, and is verified by nobody.
        change(&paths[0]);
        let refused = house.engine.export_leaves("a", &mut |_| Ok(())).unwrap_err();
        assert!(matches!(refused, TreeError::Unverifiable { .. }), "{refused}");
        let attested = house.engine.export_leaves_under(ExportPolicy::Attested, "a", &mut |_| Ok(())).unwrap();
        assert_eq!(attested.provenance, whole.provenance.weakest().unwrap());
        assert_eq!(take(&house, &files(strategy)).unwrap().conflicts, 2, "{strategy}");
    }
}

/// Without hashes nothing tells whether the stored part is of the same content.
#[test]
fn an_interrupted_ingest_begins_anew() {
    for strategy in OFFLOADED {
        let mut house = House::in_memory(4);
        let options = options(strategy).block_size(64 << 10);
        let bytes = blocks(40_960, 4).concat();
        write(&house, "big", &bytes);
        let source = [house.directory.path().join("in")];
        let mut stop = |at: &pouw::IngestProgress| match at.bytes >= 18 << 20 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let ended = house.engine.ingest_paths(&options, &source, &mut stop).unwrap_err();
        assert!(matches!(ended, IngestError::Cancelled), "{ended}");
        house.checked();
        let part = house.engine.tree("big").unwrap();
        assert!(part.state == TreeState::Ingesting && part.leaves > 0, "{part:?}");
        let report = take(&house, &options).unwrap();
        assert_eq!((report.added, report.resumed), (1, 0), "{strategy}");
        let whole = house.engine.tree("big").unwrap();
        assert!(whole.id > part.id && whole.leaves == 320, "{whole:?}");
        house.drain(1..2);
        house.drain(apart(2)..apart(2) + 1);
        house.checked();
        house.assert_right("big", &bytes.chunks(64 << 10).map(<[u8]>::to_vec).collect::<Vec<_>>());
    }
}

#[test]
fn leaves_no_unit_can_carry_are_verified_at_ingest_and_mixed_lengths_are_worked_off() {
    for strategy in OFFLOADED {
        let mut house = House::in_memory(5);
        let cap = house.engine.config().send_cap();
        let lengths = [0, 1, 63, 65, 127, 129, 71, 72, 73, 600, cap, cap + 1, 200_000, 5, 0, 143, 144, 40_000];
        let data: Vec<Vec<u8>> = (0_u8..).zip(lengths).map(|(fill, len)| vec![fill; len]).collect();
        assert_eq!(ingest(&house, strategy, &data).unwrap(), Ingested::Added);
        let by_server = house.engine.stats().account.of(strategy).server(HashReason::Ingest);
        assert_eq!((by_server.hashes, by_server.bytes), (2, cap as u64 + 1 + 200_000));
        let tree = house.engine.tree("t").unwrap();
        assert_eq!((tree.pending, tree.block_len, tree.provenance.count(Provenance::Verified)), (16, 0, 2));
        house.checked();
        house.drain(1..2);
        house.drain(apart(2)..apart(2) + 1);
        house.checked();
        for (leaf, length) in (0..).zip(lengths) {
            let is_weak = house.engine.provenance("t", LeafIndex(leaf)).unwrap() != Some(Provenance::Verified);
            // A unit of no more leaves than are audited is hashed whole.
            let whole = strategy == Strategy::SampledAudit { k: 2 } && !is_weak;
            assert!(whole || is_weak == (length <= cap), "{strategy}, leaf {leaf}");
        }
        assert_eq!(ingest(&house, strategy, &data).unwrap(), Ingested::Unchanged);
        let mut other = data.clone();
        other[12][199_999] ^= 1;
        let refused = ingest(&house, strategy, &other).unwrap_err();
        assert!(matches!(refused, IngestError::Conflict { .. }), "{strategy}, a leaf that was not sent out: {refused}");
        house.assert_right("t", &data);
    }
}

#[test]
fn an_empty_file_is_one_empty_leaf_and_only_oversized_leaves_need_no_client() {
    for strategy in OFFLOADED {
        let mut house = House::in_memory(6);
        write(&house, "empty", b"");
        let large = vec![9; 140_000];
        write(&house, "large", &large);
        let options = options(strategy).block_size(1 << 20);
        let report = take(&house, &options).unwrap();
        assert_eq!((report.added, report.oversized), (2, 1));
        house.settle();
        assert_eq!(house.engine.tree("large").unwrap().state, TreeState::Complete);
        house.assert_right("large", &[large]);
        assert_eq!(house.engine.tree("empty").unwrap().pending, 1);
        house.drain(1..2);
        house.drain(apart(2)..apart(2) + 1);
        house.checked();
        house.assert_right("empty", &[vec![]]);
        assert_eq!(take(&house, &options).unwrap().unchanged, 2, "{strategy}");
    }
}

#[test]
fn a_strategy_out_of_range_is_refused_by_its_field() {
    let house = House::in_memory(7);
    let out_of_range = [(0, 2), (33, 2), (255, 9)]
        .map(|(k, quorum)| if quorum == 2 { Strategy::SampledAudit { k } } else { Strategy::Redundant { quorum } });
    for strategy in out_of_range.into_iter().chain([0, 1, 9].map(|quorum| Strategy::Redundant { quorum })) {
        let refused = ingest(&house, strategy, &blocks(2, 7)).unwrap_err();
        assert!(matches!(refused, IngestError::Option { field: "strategy", .. }), "{strategy}: {refused}");
    }
    let refused = house.engine.ingest_bytes(&options(Strategy::KnownAddress), "t", b"x").unwrap_err();
    assert!(matches!(refused, IngestError::Option { field: "strategy", .. }), "{refused}");
    assert!(house.engine.trees(None, 9).unwrap().is_empty());
}
