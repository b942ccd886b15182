//! Where trust has its edges: subscribers that call back, long histories, released trees, small units, receipts.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::support::clients::{HIGH, answer, apart, blocks, options, wrong};
use crate::support::house::House;
use parking_lot::Mutex;
use pouw::hash::{Checksum, sha3_512};
use pouw::merkle::LeafIndex;
use pouw::protocol::DifficultyTier;
use pouw::{
    Event, ExportPolicy, HashReason, IngestLayout, Ingested, PouwEngine, Provenance, Receipt, Strategy, SubmitError,
    TreeError,
};

const AUDIT: Strategy = Strategy::SampledAudit { k: 1 };
const PAIR: Strategy = Strategy::Redundant { quorum: 2 };
const LEAVES: u64 = 32;
const SAMPLE: ExportPolicy = ExportPolicy::Statistical { epsilon: 0.5, delta: 0.5 };

fn short_blocks(count: u64, seed: u64) -> Vec<Vec<u8>> {
    (0..count).map(|number| [seed, number].map(u64::to_le_bytes).concat()).collect()
}

fn all_wrong(leaves: &mut [Checksum]) {
    leaves.iter_mut().for_each(|leaf| *leaf = wrong(leaf));
}

/// One unit, leaf `at` of it wrong, by one new client after the other until an audit misses it. Who it was.
fn believed_lie(house: &House, at: usize) -> u64 {
    let lie = |leaves: &mut Vec<_>| leaves[at] = wrong(&leaves[at]);
    (1..).map(apart).find(|who| matches!(house.work(*who, lie), Some(Ok(_)))).unwrap()
}

/// A client is caught with every leaf of this tree, which nobody has worked on. What it did before is not looked at yet.
fn caught(house: &House, who: u64, bait: &str) {
    house.ingest(AUDIT, bait, &blocks(LEAVES, 77));
    let verdict = house.work(who, |leaves| all_wrong(leaves)).unwrap();
    assert!(matches!(verdict, Err(SubmitError::WrongResult { .. })), "{verdict:?}");
}

fn attested(engine: &PouwEngine, name: &str) -> Result<Provenance, TreeError> {
    engine.export_leaves_under(ExportPolicy::Attested, name, &mut |_| Ok(())).map(|done| done.provenance)
}

fn satisfy(engine: &PouwEngine, name: &str, policy: ExportPolicy) -> Result<u64, TreeError> {
    engine.satisfy(name, policy, &mut |_| ControlFlow::Continue(())).map(|done| done.hashed)
}

fn count(house: &House, name: &str, provenance: Provenance) -> u64 {
    house.engine.tree(name).unwrap().provenance.count(provenance)
}

/// A test that would hang fails instead.
fn in_time(test: fn()) {
    let (tell, told) = channel::<()>();
    let running = std::thread::spawn(move || {
        let _told_at_the_end = tell;
        test();
    });
    assert_eq!(told.recv_timeout(Duration::from_secs(60)), Err(RecvTimeoutError::Disconnected), "it hangs");
    if let Err(panic) = running.join() {
        std::panic::resume_unwind(panic);
    }
}

/// What a subscriber got that exports the tree of each of these events at once.
type Exports = Arc<Mutex<Vec<(&'static str, Result<Provenance, String>)>>>;

fn exporting(house: &mut House) -> Exports {
    let exports = Exports::default();
    let seen = exports.clone();
    house.reopen_heard(move |engine, event| {
        let (what, name) = match event {
            Event::TreeCompleted { name, .. } => ("completed", name),
            Event::LeafCorrected { name, .. } => ("corrected", name),
            _ => return,
        };
        let done = attested(engine, &name).map_err(|error| error.to_string());
        seen.lock().push((what, done));
    });
    exports
}

#[test]
fn a_subscriber_exports_a_tree_when_it_hears_of_it() {
    in_time(|| {
        let mut house = House::in_memory(1);
        let exports = exporting(&mut house);
        let heard = || std::mem::take(&mut *exports.lock());
        let data = blocks(2 * LEAVES, 1);
        house.ingest(AUDIT, "t", &data);
        let liar = believed_lie(&house, 3);
        assert!(house.work(liar, |_| {}).unwrap().is_ok());
        house.settle();
        assert_eq!(heard(), [("completed", Ok(Provenance::Audited))], "by upkeep");
        satisfy(&house.engine, "t", ExportPolicy::Strict).unwrap();
        let verified = Ok(Provenance::Verified);
        assert_eq!(heard(), [("corrected", verified.clone()), ("completed", verified.clone())], "by a verification");
        house.assert_right("t", &data);
        // A liar's past is looked at in the background.
        let other = blocks(LEAVES, 2);
        house.ingest(AUDIT, "other", &other);
        let liar = believed_lie(&house, 5);
        house.settle();
        assert_eq!(heard(), [("completed", Ok(Provenance::Audited))]);
        caught(&house, liar, "bait");
        house.written();
        house.settle();
        assert_eq!(heard(), [("corrected", verified.clone()), ("completed", verified)], "by upkeep");
        house.assert_right("other", &other);
        house.checked();
    });
}

#[test]
fn a_subscriber_exports_strictly_while_upkeep_completes_the_tree() {
    in_time(|| {
        let mut house = House::in_memory(2);
        let exports = Arc::new(Mutex::new(Vec::new()));
        let seen = exports.clone();
        house.reopen_heard(move |engine, event| {
            if let Event::TreeCompleted { name, .. } = event {
                seen.lock().push(satisfy(engine, &name, ExportPolicy::Strict).map_err(|error| error.to_string()));
            }
        });
        house.ingest(AUDIT, "t", &blocks(LEAVES, 1));
        house.drain(apart(1)..apart(1) + 1);
        assert_eq!(*exports.lock(), [Ok(LEAVES)]);
        house.checked();
    });
}

#[test]
fn a_subscriber_ingests_a_damaged_block_again_when_it_hears_of_it() {
    in_time(|| {
        let mut house = House::in_memory(3);
        let data = blocks(LEAVES, 3);
        let mut broken = data.clone();
        broken[9][100] ^= 1;
        let ids: Vec<Checksum> = data.iter().map(|block| sha3_512(block)).collect();
        let given = |blocks: &[Vec<u8>]| -> Vec<(Checksum, Vec<u8>)> {
            ids.iter().copied().zip(blocks.iter().cloned()).collect()
        };
        let ingest = |engine: &PouwEngine, given: &[(Checksum, Vec<u8>)]| {
            let given: Vec<(Checksum, &[u8])> = given.iter().map(|(id, block)| (*id, block.as_slice())).collect();
            engine.ingest_known_blocks(&options(Strategy::KnownAddress), "t", &given).map_err(|error| error.to_string())
        };
        let (mended, seen) = (given(&data), Arc::new(Mutex::new(Vec::new())));
        let heard = seen.clone();
        house.reopen_heard(move |engine, event| {
            if matches!(event, Event::BlockDamaged { leaf: 9, .. }) {
                heard.lock().push(ingest(engine, &mended));
            }
        });
        ingest(&house.engine, &given(&broken)).unwrap();
        house.work(apart(1), |_| {}).unwrap().unwrap();
        house.settle();
        assert_eq!(*seen.lock(), [Ok(Ingested::Repaired)]);
        house.settle();
        assert!(house.engine.damaged(None, 9).unwrap().is_empty());
        house.assert_right("t", &data);
        house.checked();
    });
}

#[test]
fn no_doubted_leaf_leaves_under_any_policy_however_long_the_history_of_its_client() {
    // One step back ends within the second tree.
    const UNITS: [u64; 2] = [40, 300];
    let mut house = House::in_memory(4);
    let ways = [ExportPolicy::Attested, SAMPLE].map(|policy| [(policy, false), (policy, true)]);
    for (round, (policy, upkeep_before)) in (0_u64..).zip(ways.concat()) {
        let liar = apart(1 + round);
        let trees = ["a", "b"].map(|name| format!("{name}{round}"));
        for (name, units) in trees.iter().zip(UNITS) {
            house.ingest(AUDIT, name, &short_blocks(units * LEAVES, 1_000 * round + units));
            assert_eq!(house.drain(liar..liar + 1), units);
        }
        caught(&house, liar, &format!("bait{round}"));
        if upkeep_before {
            // One step back, and some of the tiles; the others of this tree have their turn after the next sweep.
            house.written();
            house.engine.upkeep().unwrap();
            assert!(trees.iter().any(|name| count(&house, name, Provenance::Doubted) > 0), "{policy}");
        }
        for (name, units) in trees.iter().zip(UNITS) {
            let done = house.engine.export_leaves_under(policy, name, &mut |_| Ok(())).unwrap();
            assert_eq!((done.nodes, done.provenance), (units * LEAVES, Provenance::Verified), "{policy}, {name}");
            assert_eq!(count(&house, name, Provenance::Verified), units * LEAVES);
        }
        house.drain(apart(500)..apart(500) + 1);
    }
    house.checked();
}

#[test]
fn a_release_hashes_what_is_doubted_and_is_final() {
    let mut house = House::in_memory(5);
    let data = blocks(3 * LEAVES, 5);
    house.ingest(AUDIT, "t", &data);
    let liar = believed_lie(&house, 3);
    let other = apart(600);
    (0..2).for_each(|_| assert!(house.work(other, |_| {}).unwrap().is_ok()));
    house.settle();
    caught(&house, liar, "bait");
    let issued = house.issue(other, HIGH).unwrap();
    house.written();
    house.engine.release("t").unwrap();
    let kept = |house: &House| Provenance::ALL.map(|provenance| count(house, "t", provenance));
    assert_eq!(kept(&house), [LEAVES, 0, 0, 2 * LEAVES, 0], "what the liar stands for is verified");
    assert_eq!(house.engine.provenance("t", LeafIndex(3)).unwrap(), Some(Provenance::Verified));
    let strict_refuses = |house: &House| {
        for policy in [ExportPolicy::Strict, SAMPLE] {
            let refused = satisfy(&house.engine, "t", policy).unwrap_err();
            assert!(matches!(refused, TreeError::Unverifiable { leaves: 1.., .. }), "{refused}");
        }
    };
    strict_refuses(&house);
    // The data is still there when the other client is caught too.
    house.submit(other, &answer(&issued, |leaves| all_wrong(leaves))).unwrap_err();
    house.written();
    assert_eq!(attested(&house.engine, "t").unwrap(), Provenance::Audited);
    house.settle();
    assert_eq!(kept(&house), [LEAVES, 0, 0, 2 * LEAVES, 0], "nothing is doubted any more");
    strict_refuses(&house);
    house.checked();
    strict_refuses(&house);
    let mut leaves = Vec::new();
    let sink = &mut |leaf: &Checksum| {
        leaves.push(*leaf);
        Ok(())
    };
    house.engine.export_leaves_under(ExportPolicy::Attested, "t", sink).unwrap();
    assert!(leaves.iter().eq(data.iter().map(|block| sha3_512(block)).collect::<Vec<_>>().iter()));
}

#[test]
fn the_receipt_of_a_vote_says_what_became_of_it() {
    let mut house = House::in_memory(6);
    house.ingest(PAIR, "t", &blocks(LEAVES, 6));
    let lie = |leaves: &mut Vec<_>| leaves[3] = wrong(&leaves[3]);
    let receipt = |house: &House, id| house.engine.receipt(id).unwrap();
    let lied = (1..).map(apart).find_map(|who| house.work(who, lie).unwrap().ok()).unwrap();
    assert_eq!(receipt(&house, lied.id), Receipt::Voted);
    let first = house.work(apart(100), |_| {}).unwrap().unwrap();
    assert_eq!((receipt(&house, lied.id), receipt(&house, first.id)), (Receipt::Refused, Receipt::Voted));
    house.checked();
    assert_eq!((receipt(&house, lied.id), receipt(&house, first.id)), (Receipt::Refused, Receipt::Voted));
    // Caught with another answer, its vote does not count either.
    caught(&house, apart(100), "bait");
    house.written();
    let next = [101, 102].map(|who| house.work(apart(who), |_| {}).unwrap().unwrap());
    assert_eq!(receipt(&house, first.id), Receipt::Refused);
    house.checked();
    assert_eq!((receipt(&house, lied.id), receipt(&house, first.id)), (Receipt::Refused, Receipt::Refused));
    for accepted in next {
        assert!(matches!(receipt(&house, accepted.id), Receipt::Accepted(_)), "{accepted:?}");
    }
}

#[test]
fn a_damaged_block_that_no_unit_can_carry_is_in_the_report_of_its_ingest() {
    let house = House::in_memory(7);
    let directory = tempfile::tempdir().unwrap();
    let mut files: Vec<(Checksum, Vec<u8>)> =
        (0..3).map(|byte| vec![byte; 140_000]).map(|block| (sha3_512(&block), block)).collect();
    files.sort();
    let mut known = options(Strategy::KnownAddress).layout(IngestLayout::Blocks).tree("t");
    known.block_size = 1 << 20;
    let ingest = |flip: u8| {
        for (at, (id, block)) in files.iter().enumerate() {
            let mut block = block.clone();
            block[70_000] ^= if at == 1 { flip } else { 0 };
            std::fs::write(directory.path().join(id.to_hex()), block).unwrap();
        }
        house.engine.ingest_paths(&known, &[directory.path().into()], &mut |_| ControlFlow::Continue(())).unwrap()
    };
    for (report, why) in [(ingest(1), "does not hash to its address"), (ingest(1), "still does not hash")] {
        assert_eq!((report.damaged, report.problems.len(), report.is_clean()), (1, 1, false), "{report:?}");
        let problem = &report.problems[0];
        assert!(problem.what == "t, leaf 1" && problem.why.contains(why), "{problem:?}");
        let listed = house.engine.damaged(None, 9).unwrap();
        assert_eq!(
            listed.iter().map(|block| (block.leaf, block.address)).collect::<Vec<_>>(),
            [(LeafIndex(1), files[1].0)]
        );
    }
    let mended = ingest(0);
    assert_eq!((mended.repaired, mended.damaged, mended.is_clean()), (1, 0, true));
    assert!(house.engine.damaged(None, 9).unwrap().is_empty());
}

#[test]
fn a_unit_that_was_hashed_again_as_a_whole_is_verified() {
    let mut house = House::in_memory(8);
    let data = blocks(LEAVES, 8);
    let server = |house: &House, reason: HashReason| house.engine.stats().account.of(AUDIT).server(reason).hashes;
    for (name, k, tier) in [("small", 2, DifficultyTier::Low), ("whole", 32, HIGH)] {
        let before = server(&house, HashReason::Audit);
        house.ingest(Strategy::SampledAudit { k }, name, &data);
        while let Some(issued) = house.issue(apart(1), tier) {
            house.submit(apart(1), &answer(&issued, |_| {})).unwrap();
        }
        house.settle();
        assert_eq!(server(&house, HashReason::Audit) - before, LEAVES, "{name}");
        assert_eq!(count(&house, name, Provenance::Verified), LEAVES, "{name}");
        // A claim on verified leaves would be found.
        house.checked();
        assert_eq!(satisfy(&house.engine, name, ExportPolicy::Strict).unwrap(), 0, "{name}");
        house.assert_right(name, &data);
    }
    assert_eq!(server(&house, HashReason::Export), 0);
}

#[test]
fn an_export_during_which_a_leaf_is_corrected_says_so() {
    for nodes in [false, true] {
        let mut house = House::in_memory(9);
        let data = blocks(2 * LEAVES, 9);
        house.ingest(AUDIT, "t", &data);
        let liar = believed_lie(&house, 3);
        assert!(house.work(liar, |_| {}).unwrap().is_ok());
        house.settle();
        let engine = house.engine.clone();
        let mut written = 0;
        let sink = &mut |_: &Checksum| {
            written += 1;
            if written == 1 {
                satisfy(&engine, "t", ExportPolicy::Strict).unwrap();
            }
            Ok(())
        };
        let done = match nodes {
            true => house.engine.export_addresses_under(ExportPolicy::Attested, "t", sink),
            false => house.engine.export_leaves_under(ExportPolicy::Attested, "t", sink),
        };
        assert!(matches!(&done, Err(TreeError::Corrected(name)) if name == "t"), "{done:?}");
        house.assert_right("t", &data);
        house.checked();
    }
}
