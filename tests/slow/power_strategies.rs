//! Power fails at every write and sync of everything that a way to verify adds: each deed is there as a whole or not at
//! all, what was acknowledged is there, the store is clean, and going on from there ends right.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::support::clients::{HIGH, answer, apart, audited, blocks, exported_leaves, issue_to, names, options, wrong};
use crate::support::house::{START_MS, on_disk};
use pouw::hash::{Checksum, sha3_512};
use pouw::internal::engine::for_gate;
use pouw::internal::engine::testing::Mistake;
use pouw::internal::store::sim::{Loss, SimDisk};
use pouw::internal::store::{RedbStore, Store as _, check};
use pouw::merkle::root;
use pouw::protocol::UnixMillis;
use pouw::{
    Answer, EntryKind, FakeClock, HashReason, LedgerEntry, PouwEngine, StoreOptions, Strategy, SubmitError, TreeState,
};

const AUDIT: Strategy = Strategy::SampledAudit { k: 2 };
const PAIR: Strategy = Strategy::Redundant { quorum: 2 };
const WAIT_MS: u64 = 600_000;
const SIZES: StoreOptions = StoreOptions::new().state_cache_bytes(1 << 20).blocks_cache_bytes(1 << 20);

/// Names of trees, their strategies, and leaves.
const TREES: [(&str, Strategy, u64); 4] =
    [("first", AUDIT, 40), ("second", AUDIT, 32), ("votes", PAIR, 40), ("known", Strategy::KnownAddress, 40)];

fn content(name: &str) -> Vec<Vec<u8>> {
    let at = TREES.iter().position(|(known, ..)| *known == name).unwrap();
    blocks(TREES[at].2, 1 + at as u64)
}

struct Place {
    disk: SimDisk,
    clock: Arc<FakeClock>,
    engine: PouwEngine,
    /// Changes and syncs recorded when the last verdict was given, on the thread that gives it.
    told_at: Arc<AtomicUsize>,
}

impl Place {
    fn open(disk: SimDisk, now_ms: u64, mistake: Option<Mistake>) -> Self {
        let clock = Arc::new(FakeClock::at(UnixMillis(now_ms)));
        let config = audited(5);
        let config = mistake.into_iter().fold(config, |config, mistake| config.mistake(mistake));
        let engine = on_disk(&disk, &clock, config);
        Self { engine, disk, clock, told_at: Arc::default() }
    }

    fn ingest(&self, name: &str) {
        let (_, strategy, _) = TREES.into_iter().find(|(known, ..)| *known == name).unwrap();
        let blocks = content(name);
        if strategy == Strategy::KnownAddress {
            return self.give_known(&[3, 8]);
        }
        let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
        self.engine.ingest_blocks(&options(strategy), name, &blocks).unwrap();
    }

    /// The tree of known addresses, with damage at these leaves.
    fn give_known(&self, damaged: &[usize]) {
        let right = content("known");
        let mut given = right.clone();
        damaged.iter().for_each(|leaf| given[*leaf][0] ^= 1);
        let given: Vec<_> = right.iter().zip(&given).map(|(of, block)| (sha3_512(of), block.as_slice())).collect();
        self.engine.ingest_known_blocks(&options(Strategy::KnownAddress), "known", &given).unwrap();
    }

    /// An answer with these leaves wrong; `None` if there is no unit for this client.
    fn answer(&self, who: u64, lies: &[usize]) -> Option<Result<(), SubmitError>> {
        let issued = issue_to(&self.engine, who, HIGH)?;
        let (client, network) = names(who);
        let lie = |leaves: &mut Vec<Checksum>| {
            let count = leaves.len();
            lies.iter().filter(|at| **at < count).for_each(|at| leaves[*at] = wrong(&leaves[*at]));
        };
        let result = answer(&issued, lie);
        let (sender, receiver) = channel();
        let (disk, told_at) = (self.disk.clone(), self.told_at.clone());
        self.engine.submit_with(&Answer::new(&client, &result).network(&network), move |verdict| {
            told_at.store(disk.recorded(), Ordering::SeqCst);
            sender.send(verdict.map(drop)).unwrap();
        });
        Some(receiver.recv().unwrap())
    }

    fn honest(&self, who: u64) {
        self.answer(apart(who), &[]).expect("there is a unit").unwrap();
    }

    /// The first of these clients whose lie survives its audit.
    fn liar(&self, from: u64, lies: &[usize]) -> u64 {
        (from..).map(apart).find(|who| self.answer(*who, lies).unwrap().is_ok()).unwrap()
    }

    fn referee_hashes(&self) -> u64 {
        self.engine.stats().account.of(PAIR).server(HashReason::Referee).hashes
    }

    fn strict(&self, name: &str) -> Vec<Checksum> {
        exported_leaves(&self.engine, name)
    }
}

struct Deed {
    name: &'static str,
    prepare: fn(&Place),
    act: fn(&Place),
}

const DEEDS: [Deed; 9] = [
    Deed { name: "an audited answer", prepare: |place| place.ingest("first"), act: |place| place.honest(1) },
    Deed { name: "a vote", prepare: |place| place.ingest("votes"), act: |place| place.honest(1) },
    Deed {
        name: "the last vote of a quorum",
        prepare: |place| {
            place.ingest("votes");
            place.honest(1);
        },
        act: |place| place.honest(2),
    },
    Deed {
        name: "a dispute in which both are wrong",
        prepare: |place| {
            place.ingest("votes");
            place.liar(1, &[3, 4, 9]);
        },
        act: |place| {
            // Some of them fail their own audit and change nothing about the votes.
            let before = place.referee_hashes();
            for who in 200..240 {
                assert!(place.answer(apart(who), &[20, 21]).unwrap().is_err());
                place.engine.sweep().unwrap();
                if place.referee_hashes() > before {
                    return;
                }
            }
            panic!("nobody got through its audit");
        },
    },
    Deed {
        name: "the server ends a quorum",
        prepare: |place| {
            place.ingest("votes");
            let liar = place.liar(1, &[3, 4, 9]);
            // Its neighbour is not asked about the same leaves.
            place.answer(liar + 1, &[]).unwrap().unwrap();
            place.clock.advance(Duration::from_millis(WAIT_MS));
        },
        act: |place| assert_eq!(place.engine.sweep().unwrap().refereed, 2),
    },
    Deed {
        name: "an upgrade with a correction",
        prepare: |place| {
            place.ingest("first");
            place.liar(1, &[7]);
            while place.answer(apart(300), &[]).is_some() {}
            place.engine.upkeep().unwrap();
        },
        act: |place| drop(place.strict("first")),
    },
    Deed {
        name: "a step back along the answers of a liar",
        prepare: |place| {
            place.ingest("second");
            let liar = place.liar(1, &[7]);
            place.engine.upkeep().unwrap();
            place.ingest("first");
            let all: Vec<usize> = (0..32).collect();
            assert!(place.answer(liar, &all).unwrap().is_err());
            place.engine.sweep().unwrap();
        },
        act: |place| assert!(place.engine.upkeep().unwrap().doubts > 0),
    },
    Deed { name: "an answer that finds damage", prepare: |place| place.ingest("known"), act: |place| place.honest(1) },
    Deed {
        name: "a repair",
        prepare: |place| {
            place.ingest("known");
            while place.answer(apart(1), &[]).is_some() {}
        },
        act: |place| place.give_known(&[]),
    },
];

/// Everything that stands in a store but the boots, as text, and the number of its last commit.
fn shot(disk: &SimDisk) -> (u64, String) {
    let store = RedbStore::open(Arc::new(disk.clone()), SIZES).unwrap();
    let reader = store.read().unwrap();
    let mut out = format!("{:?} {:?}\n", store.head(), store.account());
    for (tree, row) in reader.trees(None, 100).unwrap() {
        let tiles = row.leaves.div_ceil(32);
        let groups = reader.groups(tree, 0, row.groups as usize).unwrap();
        let states = reader.tiles(tree, 0, tiles as usize).unwrap();
        let (counts, claims) = (reader.provenance(tree).unwrap(), reader.claims(tree, 0, 100).unwrap());
        out += &format!("{row:?} {groups:?} {states:?} {counts:?} {claims:?}\n");
    }
    out += &format!("{:?} {:?}\n", reader.quorums(None, 100).unwrap(), reader.suspects(100).unwrap());
    out += &format!("{:?} {:?}\n", reader.doubted(None, 100).unwrap(), reader.damaged(None, 100).unwrap());
    for (seq, row) in reader.ledger(0, 1_000).unwrap() {
        let client = store.client(row.client).unwrap();
        out += &format!("{seq} {row:?} {client:?} {:?}\n", reader.receipt(row.id).unwrap());
    }
    let seq = store.head().commit_seq;
    drop(reader);
    store.close();
    (seq, out)
}

fn expect_clean(disk: &SimDisk, when: &str) {
    let report = check(Arc::new(disk.clone()), &mut |_| {}).unwrap();
    assert!(report.is_clean(), "{when}: {:?}", report.findings);
}

/// Honest clients and the server do the rest, and every tree there is exports what it should.
fn go_on(disk: &SimDisk, now_ms: u64, when: &str) {
    let place = Place::open(disk.clone(), now_ms, None);
    for round in 0..20 {
        (400..403).for_each(|who| while place.answer(apart(who), &[]).is_some() {});
        place.clock.advance(Duration::from_millis(WAIT_MS));
        place.engine.sweep().unwrap();
        if !place.engine.damaged(None, 1).unwrap().is_empty() {
            place.give_known(&[]);
        }
        while place.engine.upkeep().unwrap().doubts > 0 {}
        let trees = place.engine.trees(None, 100).unwrap();
        if trees.iter().all(|tree| tree.state == TreeState::Complete) {
            break;
        }
        assert!(round < 19, "{when}: {trees:?}");
    }
    for tree in place.engine.trees(None, 100).unwrap() {
        let right: Vec<Checksum> = content(&tree.name).iter().map(|block| sha3_512(block)).collect();
        assert_eq!(place.strict(&tree.name), right, "{when}");
        assert_eq!(place.engine.root(&tree.name).unwrap(), root(&right).unwrap(), "{when}");
    }
    let entries = place.engine.ledger(0, 1_000).unwrap();
    let mut credited = BTreeSet::new();
    let of_leaves = |row: &&LedgerEntry| matches!(row.kind, EntryKind::Leaves | EntryKind::Part);
    for row in entries.iter().filter(of_leaves) {
        let leaves = row.start..row.start + (1 << row.order);
        leaves.for_each(|leaf| assert!(credited.insert((row.tree, leaf)), "{when}: leaf {leaf} is credited twice"));
    }
    let totals = place.engine.stats().totals;
    let sum: u64 = entries.iter().map(|entry| entry.amount.0).sum();
    assert_eq!((sum, totals.pending), (totals.awarded, 0), "{when}");
    place.engine.close();
    expect_clean(disk, when);
}

/// What a deed came to.
struct Felt {
    crashes: u64,
    states: usize,
    lost: Option<String>,
}

/// Does a deed once and crashes at each of its changes and syncs.
fn crash_through(deed: &Deed, mistake: Option<Mistake>) -> Felt {
    let disk = SimDisk::new();
    let place = Place::open(disk.clone(), START_MS, mistake);
    (deed.prepare)(&place);
    let now_ms = place.engine.now().0;
    place.engine.close();
    let place = Place::open(disk.clone(), now_ms, mistake);
    disk.record();
    (deed.act)(&place);
    let (mut acknowledged, mut commits) = (disk.recorded(), place.engine.stats().commits);
    if mistake.is_some() {
        // What was acknowledged is in the commit before this one.
        let (sender, receiver) = channel();
        for_gate(&place.engine).touch_with(move |done| sender.send(done).unwrap());
        receiver.recv().unwrap().unwrap();
        (acknowledged, commits) = (place.told_at.load(Ordering::SeqCst), place.engine.stats().commits - 1);
    }
    let recording = disk.take_recording().unwrap();
    let now_ms = place.engine.now().0;
    place.engine.close();
    let mut shots: BTreeMap<u64, String> = BTreeMap::new();
    let mut felt = Felt { crashes: 0, states: 0, lost: None };
    for at in 0..=recording.len() {
        let seed = at as u64;
        let sector = [0, 1, 512][at % 3];
        for (turn, loss) in [Loss::Everything, Loss::Random { seed, sector }, Loss::Nothing].into_iter().enumerate() {
            let crashed = recording.crash_at(at, loss);
            let when = format!("{}, crash at {at} of {}, {loss:?}", deed.name, recording.len());
            expect_clean(&crashed, &when);
            let (seq, now) = shot(&crashed);
            let known = shots.entry(seq).or_insert_with(|| now.clone());
            assert_eq!(*known, now, "{when}: a commit is there in part");
            if at >= acknowledged && seq < commits {
                felt.lost.get_or_insert(format!("{when}: commit {commits} was acknowledged, {seq} is the last"));
            }
            if mistake.is_none() && at % 3 == turn {
                go_on(&crashed, now_ms, &when);
            }
            felt.crashes += 1;
        }
    }
    felt.states = shots.len();
    felt
}

#[test]
fn power_may_fail_at_every_moment_of_every_deed() {
    for deed in &DEEDS {
        let felt = crash_through(deed, None);
        println!("{}: {} crashes, {} states", deed.name, felt.crashes, felt.states);
        assert_eq!(felt.lost, None);
        assert!(felt.states > 1 && felt.crashes > 20, "{}: nothing happened", deed.name);
    }
}

#[test]
fn an_acknowledgement_before_the_commit_of_an_audited_answer_is_caught() {
    let felt = crash_through(&DEEDS[0], Some(Mistake::AcknowledgeEarly));
    assert!(felt.lost.is_some(), "a test that cannot fail is worse than none");
}
