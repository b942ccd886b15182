//! Units that come back by the server's own fault: none is handed out again before the server has looked at its
//! leaves, the others are, and one event says what was found.

use std::time::Duration;

use crate::support::clients::{HIGH, answer, apart, audited, blocks, options};
use crate::support::house::{House, config};
use crate::support::store_plant::{BLOCKS, HASHES, ReadableTable, SUMS, plant};
use crate::support::work::{BLOCK, solve, spoiled};
use pouw::protocol::DifficultyTier;
use pouw::{Answer, Event, Exposure, IngestOptions, Ingested, IssueRequest, Strategy, SubmitError, TreeState};

const SECOND: Duration = Duration::from_secs(1);

/// What became of units while a client answered all it was given, with a sweep every second.
#[derive(Debug, Default, PartialEq, Eq)]
struct Drained {
    accepted: usize,
    withdrawn: usize,
}

/// Honest work for this many seconds.
fn work_for(house: &House, seconds: u64) -> Drained {
    let mut drained = Drained::default();
    for _ in 0..seconds {
        // Two clients of other networks, so that quorums come together.
        for who in [apart(1), apart(2)] {
            while let Some(issued) = house.issue(who, HIGH) {
                match house.submit(who, &answer(&issued, |_| {})) {
                    Ok(_) => drained.accepted += 1,
                    Err(SubmitError::Withdrawn) => drained.withdrawn += 1,
                    Err(other) => panic!("{other}"),
                }
                assert!(drained.accepted + drained.withdrawn < 1_000, "units are handed out for ever");
            }
        }
        house.clock.advance(SECOND);
        house.engine.sweep().unwrap();
    }
    house.engine.upkeep().unwrap();
    drained
}

/// Flips one bit in the stored bytes of each of these blocks, and opens the store again.
fn flip(house: &mut House, damaged: &[&Vec<u8>]) {
    house.engine.close();
    plant(&house.store().join("blocks.redb"), |txn| {
        let mut table = txn.open_table(BLOCKS).unwrap();
        let mut bytes = table.get((0, 0)).unwrap().unwrap().value().to_vec();
        for block in damaged {
            let at = bytes.windows(block.len()).position(|window| window == block.as_slice()).unwrap();
            bytes[at + 77] ^= 4;
        }
        table.insert((0, 0), bytes.as_slice()).unwrap();
    });
    house.reopen();
}

/// Leaves that events call damaged, in order, once for each event.
fn told(house: &House) -> Vec<u64> {
    let leaf = |event: &Event| if let Event::BlockDamaged { leaf, .. } = event { Some(*leaf) } else { None };
    let mut told: Vec<u64> = house.events.lock().iter().filter_map(leaf).collect();
    told.sort_unstable();
    told
}

fn complaints(house: &House) -> usize {
    let is = |event: &&Event| matches!(event, Event::CorruptionFound { .. } | Event::SourceChanged { .. });
    house.events.lock().iter().filter(is).count()
}

#[test]
fn flipped_bytes_of_a_precomputed_tree_cost_one_unit_each_and_the_blocks_given_again_mend_it() {
    let cases = [vec![5], vec![5, 6, 31, 32, 70, 99]].map(|damaged| [(damaged.clone(), true), (damaged, false)]);
    for (damaged, summed) in cases.into_iter().flatten() {
        let data = blocks(100, 1);
        let mut house = House::in_directory(config());
        house.ingest(Strategy::Precomputed, "rotten", &data);
        house.ingest(Strategy::Precomputed, "sound", &blocks(40, 2));
        if !summed {
            house.engine.close();
            plant(&house.store().join("blocks.redb"), |txn| assert!(txn.delete_table(SUMS).unwrap()));
            house.reopen();
        }
        flip(&mut house, &damaged.iter().map(|leaf| &data[*leaf as usize]).collect::<Vec<_>>());
        let drained = work_for(&house, 100);
        // A unit of 32 leaves each, whichever of its leaves are damaged; none where checksums show it before.
        let units = damaged.iter().map(|leaf| leaf / 32).collect::<std::collections::BTreeSet<_>>().len();
        assert_eq!(drained.withdrawn, if summed { 0 } else { units }, "{damaged:?}, {summed}");
        assert_eq!(told(&house), damaged);
        assert_eq!(complaints(&house), 0);
        let tree = house.engine.tree("rotten").unwrap();
        assert_eq!((tree.pending, tree.provenance.damaged), (0, damaged.len() as u64));
        assert_eq!(house.engine.tree("sound").unwrap().state, TreeState::Complete);
        let stats = house.engine.stats();
        assert_eq!((stats.totals.pending, stats.totals.refused, stats.leases, stats.blocked.len()), (0, 0, 0, 0));
        house.checked();
        assert_eq!(work_for(&house, 3), Drained::default(), "nor after the next open");
        assert_eq!(told(&house), [0_u64; 0]);
        assert_eq!(house.ingest(Strategy::Precomputed, "rotten", &data), Ingested::Repaired);
        house.settle();
        house.assert_right("rotten", &data);
        house.checked();
        assert!(house.engine.damaged(None, 1).unwrap().is_empty());
    }
}

#[test]
fn a_tree_that_is_damaged_everywhere_is_forgotten_without_a_trace() {
    let data = blocks(40, 1);
    let mut house = House::in_directory(config());
    house.ingest(Strategy::Precomputed, "rotten", &data);
    flip(&mut house, &data.iter().collect::<Vec<_>>());
    assert_eq!(work_for(&house, 2).accepted, 0);
    assert_eq!(told(&house), (0..40).collect::<Vec<_>>());
    house.checked();
    house.engine.forget("rotten").unwrap();
    house.settle();
    assert_eq!(house.engine.stats().totals.pending, 0);
    house.checked();
}

#[test]
fn a_lost_group_of_hashes_keeps_its_units_back_with_one_event() {
    let mut house = House::in_directory(config());
    let data = blocks(64, 3);
    house.ingest(Strategy::Precomputed, "t", &data);
    house.engine.close();
    plant(&house.store().join("state.redb"), |txn| drop(txn.open_table(HASHES).unwrap().remove((0, 3)).unwrap()));
    house.reopen();
    let drained = work_for(&house, 100);
    assert_eq!((drained.withdrawn, complaints(&house)), (1, 1), "{:?}", house.events.lock());
    let tree = house.engine.tree("t").unwrap();
    assert_eq!((tree.pending, house.engine.stats().leases, house.engine.stats().blocked.len()), (16, 0, 1));
}

#[test]
fn data_that_is_lost_is_told_once_and_holds_up_nothing_else_whatever_the_strategy() {
    for strategy in [Strategy::Precomputed, Strategy::SampledAudit { k: 2 }, Strategy::Redundant { quorum: 2 }] {
        let mut house = House::in_directory(audited(1).quorum_wait(SECOND));
        // The second chunk of 65 516 bytes begins within leaf 127.
        let data = blocks(200, 4);
        house.ingest(strategy, "t", &data);
        if strategy == (Strategy::Redundant { quorum: 2 }) {
            // A vote waits for its second when the data is lost.
            for _ in 0..7 {
                house.work(apart(7), |_| {}).unwrap().unwrap();
            }
        }
        house.engine.close();
        plant(&house.store().join("blocks.redb"), |txn| drop(txn.open_table(BLOCKS).unwrap().remove((0, 1)).unwrap()));
        house.reopen();
        let drained = work_for(&house, 200);
        assert_eq!(drained.withdrawn, 0, "{strategy}");
        // One for each stretch that is read.
        assert!((1..=3).contains(&complaints(&house)), "{strategy}: {:?}", house.events.lock());
        let tree = house.engine.tree("t").unwrap();
        assert!((73..=104).contains(&tree.pending), "{strategy}: {}", tree.pending);
        assert_eq!(house.engine.stats().leases, 0);
        house.reopen();
        assert_eq!(house.engine.tree("t").unwrap().state, TreeState::Active);
    }
}

/// A file that changes without its length, time or inode: only the bytes tell.
#[test]
fn a_file_that_rots_unseen_is_handed_out_once_at_most_and_again_when_it_is_right() {
    rots_unseen(true);
    rots_unseen(false);
}

fn rots_unseen(summed: bool) {
    let mut house = House::in_memory(5);
    let data = blocks(10, 5).concat();
    let path = house.write("in/a", &data);
    let at = path.metadata().unwrap().modified().unwrap();
    let write = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
    };
    let by_reference = IngestOptions::new(Exposure::Public).block_size(BLOCK as u64).by_reference(true);
    drop(house.ingest_paths(&by_reference, &[&house.path("in")]).unwrap());
    if !summed {
        house.drop_sums();
    }
    let mut rotten = data.clone();
    rotten[3 * BLOCK + 1] ^= 1;
    write(&rotten);
    let drained = work_for(&house, 300);
    assert_eq!((drained.withdrawn, complaints(&house)), (usize::from(!summed), 1), "{:?}", house.events.lock());
    assert_eq!(house.engine.tree("a").unwrap().pending, 1, "the leaves beside it are done");
    write(&data);
    work_for(&house, 600);
    house.assert_right("a", &data.chunks(BLOCK).collect::<Vec<_>>());
    assert_eq!(house.engine.stats().blocked, []);
}

#[test]
fn a_unit_that_is_sent_again_is_withdrawn_if_its_bytes_are_not_what_they_were() {
    for strategy in [Strategy::Precomputed, Strategy::SampledAudit { k: 2 }, Strategy::Redundant { quorum: 2 }] {
        let house = House::in_memory(6);
        let data = blocks(4, 6).concat();
        let path = house.write("in/a", &data);
        let at = path.metadata().unwrap().modified().unwrap();
        let by_reference = options(strategy).by_reference(true);
        drop(house.ingest_paths(&by_reference, &[&house.path("in")]).unwrap());
        house.engine.upkeep().unwrap();
        let issued = house.engine.issue(&IssueRequest::new(b"client", DifficultyTier::High)).unwrap();
        let token = &issued.unit.challenge_token;
        let gate = pouw::internal::engine::for_gate(&house.engine);
        assert_eq!(gate.reissue(b"client", token).unwrap().input_data, issued.unit.input_data);
        std::fs::write(&path, vec![1; data.len()]).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
        let refused = gate.reissue(b"client", token).unwrap_err();
        assert!(matches!(refused, SubmitError::Withdrawn), "{refused}");
        assert_eq!((house.engine.stats().leases, house.engine.stats().blocked.len()), (0, 1), "{strategy}");
        house.engine.upkeep().unwrap();
        assert_eq!((complaints(&house), house.engine.stats().ready_units), (1, 0));
        let late = house.engine.submit(&Answer::new(b"client", &solve(&issued.unit))).unwrap_err();
        assert!(matches!(late, SubmitError::Withdrawn), "{late}");
    }
}

/// A file of more tiles than are kept back singly, all of which rot.
#[test]
fn no_unit_of_a_tree_that_is_damaged_all_over_comes_back_without_a_look() {
    let mut house = House::in_memory(7);
    let data = blocks(260 * 32, 7).concat();
    let path = house.write("in/a", &data);
    let at = path.metadata().unwrap().modified().unwrap();
    let by_reference = options(Strategy::Precomputed).by_reference(true);
    drop(house.ingest_paths(&by_reference, &[&house.path("in")]).unwrap());
    house.drop_sums();
    let issued: Vec<_> = (0..).map_while(|_| house.issue(apart(1), HIGH)).collect();
    assert_eq!(issued.len(), 260);
    std::fs::write(&path, vec![1; data.len()]).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
    // Wrong answers, so that the server reads the leaves again.
    for issued in &issued {
        let refused = house.submit(apart(1), &spoiled(&answer(issued, |_| {})));
        assert!(matches!(refused, Err(SubmitError::Withdrawn)), "{refused:?}");
    }
    assert_eq!(house.issue(apart(1), HIGH).map(|issued| issued.unit.id), None);
    assert_eq!(house.engine.stats().blocked.len(), 1);
}

#[test]
fn a_full_disk_while_leaves_are_marked_is_no_damage_and_they_are_marked_later() {
    let data = blocks(40, 1);
    let mut house = House::with(config());
    house.ingest(Strategy::Precomputed, "rotten", &data);
    house.rot(|file| {
        let at = file.windows(data[5].len()).position(|window| window == data[5].as_slice()).unwrap();
        file[at + 77] ^= 4;
    });
    house.engine.refill().unwrap();
    house.disk.set_full(true);
    assert!(house.engine.upkeep().is_err());
    assert_eq!(complaints(&house), 0, "{:?}", house.events.lock());
    house.disk.set_full(false);
    house.engine.upkeep().unwrap();
    house.engine.upkeep().unwrap();
    assert_eq!((told(&house), complaints(&house)), (vec![5], 0), "{:?}", house.events.lock());
    assert_eq!(house.engine.damaged(None, 9).unwrap().len(), 1);
    assert_eq!(house.engine.stats().blocked, []);
}
