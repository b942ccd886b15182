//! Properties of trees verified in any way, over random operations of honest clients and liars.
//!
//! A failure prints the shrunk operations. `POUW_TRUST_RUNS` makes it longer, `POUW_TRUST_SEED` another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use crate::support::clients::{answer, apart, audited, blocks, names, options, wrong};
use crate::support::house::House;
use pouw::hash::{Checksum, sha3_512};
use pouw::internal::engine::testing::Mistake;
use pouw::internal::store::rows::LeafState;
use pouw::internal::store::{RedbStore, Store as _, check};
use pouw::merkle::LeafIndex;
use pouw::protocol::DifficultyTier;
use pouw::{
    Answer, EntryKind, ExportPolicy, IssueRequest, Issued, Provenance, StoreOptions, Strategy, SubmitError, TreeError,
    TreeState,
};
use quickcheck::{Arbitrary, Gen, QuickCheck};

const WAIT_MS: u64 = 600_000;
const CLIENTS: u64 = 6;
const TREES: u8 = 6;

#[derive(Debug, Clone, Copy)]
enum Op {
    /// Tree, leaves.
    Ingest(u8, u8),
    /// Client, tier.
    Issue(u8, u8),
    /// One of the units that are out, leaves that are wrong.
    Answer(u8, u32),
    Sweep,
    Advance(u16),
    /// The clock moves on until no quorum may wait any longer.
    Expire,
    Upkeep,
    /// Tree, policy.
    Export(u8, u8),
    Repair,
    Forget(u8),
    Reopen,
}

impl Arbitrary for Op {
    fn arbitrary(g: &mut Gen) -> Self {
        let (a, b) = (u8::arbitrary(g), u8::arbitrary(g));
        // Half of the answers are right, most of the others wrong here and there.
        let lies = [0, 0, 0, 0, 1 << (a % 32), 7, u32::MAX, u32::arbitrary(g)];
        match u8::arbitrary(g) % 40 {
            0..=3 => Self::Ingest(a % TREES, 1 + b % 70),
            4..=17 => Self::Issue(a % CLIENTS as u8, b % 3),
            18..=29 => Self::Answer(b, *g.choose(&lies).unwrap()),
            30 => Self::Sweep,
            31 => Self::Advance(u16::arbitrary(g)),
            32 => Self::Expire,
            33 => Self::Upkeep,
            34..=36 => Self::Export(a % TREES, b % 4),
            37 => Self::Repair,
            38 if a % 4 == 0 => Self::Forget(b % TREES),
            _ => Self::Reopen,
        }
    }
}

fn name(tree: u8) -> String {
    format!("tree {tree}")
}

fn strategy(tree: u8) -> Strategy {
    match tree {
        0 => Strategy::Precomputed,
        1 => Strategy::KnownAddress,
        2 | 3 => Strategy::SampledAudit { k: tree - 1 },
        _ => Strategy::Redundant { quorum: tree - 2 },
    }
}

/// An answer that was taken: its client, tree, and leaves.
type Deed = (u64, u8, std::ops::Range<u64>);

struct World {
    house: House,
    out: Vec<(u64, Issued)>,
    /// Right blocks of the trees there are.
    trees: BTreeMap<u8, Vec<Vec<u8>>>,
    deeds: Vec<Deed>,
    /// Answers taken of clients that were caught later.
    exposed: Vec<Deed>,
    tally: BTreeMap<&'static str, u64>,
}

impl World {
    fn new(mistake: Option<Mistake>) -> Self {
        let config = mistake.into_iter().fold(audited(3), |config, mistake| config.mistake(mistake));
        let house = House::with(config);
        let (out, deeds, exposed) = (Vec::new(), Vec::new(), Vec::new());
        Self { house, out, trees: BTreeMap::new(), deeds, exposed, tally: BTreeMap::new() }
    }

    fn note(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Ingest(tree, leaves) => self.ingest(tree, leaves),
            Op::Issue(client, tier) => self.issue(client.into(), tier),
            Op::Answer(which, lies) => self.answer(which, lies),
            Op::Sweep => self.sweep(),
            Op::Advance(ms) => self.house.clock.advance(Duration::from_millis(ms.into())),
            Op::Expire => {
                self.house.clock.advance(Duration::from_millis(WAIT_MS));
                self.sweep();
            }
            Op::Upkeep => drop(self.house.engine.upkeep().unwrap()),
            Op::Export(tree, policy) => self.export(tree, policy),
            Op::Repair => self.repair(),
            Op::Forget(tree) => self.forget(tree),
            Op::Reopen => self.reopen(),
        }
    }

    fn ingest(&mut self, tree: u8, leaves: u8) {
        if self.trees.contains_key(&tree) {
            return;
        }
        let blocks = blocks(leaves.into(), u64::from(tree) * 1_000 + u64::from(leaves));
        self.trees.insert(tree, blocks);
        self.give(tree, true);
        self.note("ingested");
    }

    /// Gives a tree its blocks; of known addresses, every eleventh may be damaged.
    fn give(&self, tree: u8, damage: bool) {
        let (name, right) = (name(tree), &self.trees[&tree]);
        let mut given = right.clone();
        if strategy(tree) != Strategy::KnownAddress {
            let blocks: Vec<&[u8]> = given.iter().map(Vec::as_slice).collect();
            self.house.engine.ingest_blocks(&options(strategy(tree)), &name, &blocks).unwrap();
            return;
        }
        if damage {
            given.iter_mut().step_by(11).for_each(|block| block[0] ^= 1);
        }
        let given: Vec<_> = right.iter().zip(&given).map(|(of, block)| (sha3_512(of), block.as_slice())).collect();
        self.house.engine.ingest_known_blocks(&options(strategy(tree)), &name, &given).unwrap();
    }

    fn issue(&mut self, client: u64, tier: u8) {
        self.house.engine.upkeep().unwrap();
        let who = apart(client);
        let (key, network) = names(who);
        let request = IssueRequest::new(&key, DifficultyTier::ALL[usize::from(tier)]).network(&network);
        if let Ok(issued) = self.house.engine.issue(&request) {
            self.out.push((who, issued));
        }
    }

    /// The tree and leaves of a unit, if its tree is still there.
    fn place(&self, issued: &Issued) -> Option<(u8, std::ops::Range<u64>)> {
        let leaves = issued.unit.leaves().count() as u64;
        // A damaged block differs in its first byte.
        let first = issued.unit.leaves().next()?.split_at(1).1;
        self.trees.iter().find_map(|(tree, blocks)| {
            let start = blocks.iter().position(|block| block.split_at(1).1 == first)? as u64;
            Some((*tree, start..start + leaves))
        })
    }

    fn answer(&mut self, which: u8, lies: u32) {
        if self.out.is_empty() {
            return;
        }
        let (who, issued) = self.out.swap_remove(usize::from(which) % self.out.len());
        let lie = |leaves: &mut Vec<Checksum>| {
            (0..leaves.len()).filter(|at| lies & (1 << at) != 0).for_each(|at| leaves[at] = wrong(&leaves[at]));
        };
        let result = answer(&issued, lie);
        let honest = result == answer(&issued, |_| {});
        let (key, network) = names(who);
        match self.house.engine.submit(&Answer::new(&key, &result).network(&network)) {
            Ok(accepted) => {
                let Some((tree, leaves)) = self.place(&issued) else { panic!("taken for a tree that is gone") };
                let known = matches!(strategy(tree), Strategy::Precomputed | Strategy::KnownAddress);
                assert!(honest || !known, "a wrong answer was taken");
                self.deeds.push((who, tree, leaves));
                self.note(match (accepted.seq, honest) {
                    (Some(_), true) => "right answer",
                    (Some(_), false) => "lie taken",
                    (None, true) => "right vote",
                    (None, false) => "lying vote",
                });
            }
            Err(SubmitError::WrongResult { .. }) => {
                assert!(!honest, "a right answer is called wrong");
                let (his, others) = self.deeds.drain(..).partition(|(other, ..)| *other == who);
                self.exposed.extend::<Vec<Deed>>(his);
                self.deeds = others;
                self.note("caught");
            }
            Err(SubmitError::Withdrawn | SubmitError::Expired { .. }) => self.note("too late"),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn sweep(&mut self) {
        if self.house.engine.sweep().unwrap().refereed > 0 {
            self.note("refereed");
        }
    }

    fn export(&mut self, tree: u8, policy: u8) {
        let policy = match policy {
            0 => ExportPolicy::Attested,
            1 => ExportPolicy::Statistical { epsilon: 0.2, delta: 0.2 },
            _ => ExportPolicy::Strict,
        };
        let Some(blocks) = self.trees.get(&tree) else { return };
        let mut leaves = Vec::new();
        let sink = &mut |leaf: &Checksum| {
            leaves.push(*leaf);
            Ok(())
        };
        match self.house.engine.export_leaves_under(policy, &name(tree), sink) {
            Ok(exported) if policy == ExportPolicy::Strict => {
                let right: Vec<Checksum> = blocks.iter().map(|block| sha3_512(block)).collect();
                assert_eq!(leaves, right, "a wrong hash left under strict");
                assert!(exported.provenance <= Provenance::Known, "{exported:?}");
                self.note("strict export");
            }
            Ok(_) => self.note("other export"),
            Err(TreeError::NotComplete { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }

    fn repair(&mut self) {
        if !self.house.engine.damaged(None, 1).unwrap().is_empty() {
            self.give(1, false);
            assert!(self.house.engine.damaged(None, 1).unwrap().is_empty());
            self.note("repaired");
        }
    }

    fn forget(&mut self, tree: u8) {
        if self.trees.remove(&tree).is_some() {
            self.house.engine.forget(&name(tree)).unwrap();
            self.deeds.retain(|(_, of, _)| *of != tree);
            self.exposed.retain(|(_, of, _)| *of != tree);
            self.note("forgotten");
        }
    }

    fn reopen(&mut self) {
        self.house.engine.close();
        let report = check(self.house.storage(), &mut |_| {}).unwrap();
        assert!(report.is_clean(), "{:?}", report.findings);
        self.no_lie_is_credited_to_nobody();
        self.house.reopen();
    }

    /// Nobody stands for a leaf that clients stand for who never answered it.
    fn no_lie_is_credited_to_nobody(&self) {
        let store = RedbStore::open(self.house.storage(), StoreOptions::default()).unwrap();
        let reader = store.read().unwrap();
        for (tree, row) in reader.trees(None, 100).unwrap() {
            for (start, claim) in reader.claims(tree, 0, 1_000).unwrap() {
                for submitter in claim.submitters {
                    let entry = reader.ledger_entry(submitter.seq).unwrap().unwrap();
                    assert_eq!((entry.client, entry.tree, entry.start), (submitter.client, tree, start));
                }
                let tile = reader.tile(tree, start / 32).unwrap();
                assert!(row.strategy != Strategy::Precomputed && tile.mask(32, LeafState::is_weak) != 0);
            }
        }
        drop(reader);
        store.close();
    }

    /// What holds after every operation.
    fn hold(&self) {
        let totals = self.house.engine.stats().totals;
        let entries = self.house.engine.ledger(0, usize::MAX).unwrap();
        assert_eq!(entries.iter().map(|entry| u64::from(entry.leaves)).sum::<u64>(), totals.leaves);
        assert_eq!(entries.iter().map(|entry| entry.amount.0).sum::<u64>(), totals.awarded);
        let mut credited = BTreeSet::new();
        for row in &entries {
            if matches!(row.kind, EntryKind::Leaves | EntryKind::Part) {
                let leaves = row.start..row.start + (1 << row.order);
                leaves.for_each(|leaf| assert!(credited.insert((row.tree, leaf)), "{leaf} is credited twice"));
            }
        }
        let mut pending = 0;
        for tree in self.house.engine.trees(None, 100).unwrap() {
            let counts = &tree.provenance;
            let done: u64 = Provenance::ALL.iter().map(|provenance| counts.count(*provenance)).sum();
            assert_eq!(tree.pending + done + counts.damaged, tree.leaves, "{tree:?}");
            let mut found = BTreeMap::new();
            for leaf in 0..tree.leaves {
                *found.entry(self.house.engine.provenance(&tree.name, LeafIndex(leaf)).unwrap()).or_insert(0) += 1;
            }
            for provenance in Provenance::ALL {
                let found = found.get(&Some(provenance)).copied().unwrap_or(0);
                assert_eq!(found, counts.count(provenance), "{provenance} of {tree:?}");
            }
            pending += tree.pending;
        }
        assert_eq!(pending, totals.pending);
    }

    /// What else a liar stood for when it was caught ends verified or pending, and everything ends right.
    fn finish(mut self) -> BTreeMap<&'static str, u64> {
        self.sweep();
        while self.house.engine.upkeep().unwrap().doubts > 0 {}
        for (who, tree, leaves) in &self.exposed {
            for leaf in leaves.clone() {
                let provenance = self.house.engine.provenance(&name(*tree), LeafIndex(leaf)).unwrap();
                // Another may have answered since, where its vote did not count.
                let other = self.deeds.iter().any(|(_, of, leaves)| of == tree && leaves.contains(&leaf));
                let firm = provenance.is_none_or(|provenance| provenance <= Provenance::Known);
                assert!(firm || other, "leaf {leaf} of {tree}, which {who} returned, is {provenance:?}");
            }
        }
        self.hold();
        self.out.clear();
        self.reopen();
        for _ in 0..12 {
            for client in 20..24 {
                loop {
                    self.issue(client, 2);
                    if self.out.is_empty() {
                        break;
                    }
                    self.answer(0, 0);
                }
            }
            self.repair();
            self.step(Op::Expire);
        }
        while self.house.engine.upkeep().unwrap().doubts > 0 {}
        let all = self.house.engine.trees(None, 100).unwrap();
        assert!(all.iter().all(|tree| tree.state == TreeState::Complete), "{all:?}");
        (0..TREES).for_each(|tree| self.export(tree, 2));
        self.hold();
        self.reopen();
        self.house.engine.close();
        self.tally
    }
}

static TALLY: Mutex<BTreeMap<&str, u64>> = Mutex::new(BTreeMap::new());

fn run(ops: Vec<Op>, mistake: Option<Mistake>) -> BTreeMap<&'static str, u64> {
    let mut world = World::new(mistake);
    world.ingest(3, 64);
    world.ingest(4, 64);
    for op in ops {
        world.step(op);
        world.hold();
    }
    world.finish()
}

fn holds(ops: Vec<Op>) -> bool {
    let came_to = run(ops, None);
    let mut all = TALLY.lock().unwrap();
    came_to.into_iter().for_each(|(what, count)| *all.entry(what).or_default() += count);
    true
}

#[test]
fn whoever_lies_what_is_counted_adds_up_and_what_leaves_under_strict_is_right() {
    let number = |name, usually| std::env::var(name).map_or(usually, |number| number.parse().unwrap());
    let (runs, seed) = (number("POUW_TRUST_RUNS", 60), number("POUW_TRUST_SEED", 1));
    QuickCheck::new().rng(Gen::from_size_and_seed(90, seed)).tests(runs).quickcheck(holds as fn(Vec<Op>) -> bool);
    let tally = TALLY.lock().unwrap();
    println!("{tally:#?}");
    let reached = [
        "ingested",
        "right answer",
        "lie taken",
        "right vote",
        "lying vote",
        "caught",
        "too late",
        "refereed",
        "strict export",
        "other export",
        "repaired",
        "forgotten",
    ];
    let never: Vec<_> = reached.iter().filter(|what| !tally.contains_key(*what)).collect();
    assert!(never.is_empty(), "never reached: {never:?}");
}

/// Those that show in what is counted or exported.
#[test]
fn random_operations_notice_planted_mistakes() {
    for mistake in [Mistake::NoBacktrack, Mistake::StrictTrustsAudited] {
        let noticed = (0..100).any(|seed| {
            let ops = Vec::arbitrary(&mut Gen::from_size_and_seed(90, seed));
            std::panic::catch_unwind(|| run(ops, Some(mistake))).is_err()
        });
        assert!(noticed, "{mistake:?} went unnoticed");
    }
}
