//! `kill -9` inside each thing that a way to verify adds: answers of every strategy, votes, quorums that agree, differ
//! or wait too long, strikes, backtracking, strict exports, repairs.
//!
//! The child works through a small library with clients of distinct networks, some of which lie. It is told a phase and
//! a number: at that write, change of length or sync within that phase its storage stands still, the child says so,
//! and the parent kills it there. Some more children work with several threads and are killed at any moment. After
//! each kill the store is checked and held against everything that was acknowledged. `POUW_KILLS` sets the number of
//! kills in each phase, 2 if it is not set.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::clients::{answer, apart, blocks, names, options, wrong};
use crate::support::crash::{CHILD, Dice, Victim, kills, say};
use crate::support::disk::{Access, Hooked};
use crate::support::house::{self, clock, parts};
use pouw::hash::{Checksum, sha3_512};
use pouw::internal::engine::testing::Mistake;
use pouw::internal::store::rows::LeafState;
use pouw::internal::store::{Reader, RedbStore, Store as _};
use pouw::merkle::{TILE_LEAVES, root};
use pouw::protocol::{ClientDigest, DifficultyTier, Keyring, WorkId};
use pouw::{
    Accepted, Answer, ConfigBuilder, EntryKind, FakeClock, IssueError, IssueRequest, Issued, PouwEngine,
    StoreDirectory, StoreOptions, Strategy, SubmitError, TreeState,
};

const TEST: &str = "kill_strategies::a_process_killed_in_any_phase_of_any_strategy_loses_nothing_it_acknowledged";
/// Phase and I/O to stop at, or `any` for threads that never stop by themselves.
const STOP: &str = "POUW_CRASH_STOP";
const SEED: &str = "POUW_CRASH_SEED";
/// Set to let the child acknowledge before it commits.
const EARLY: &str = "POUW_CRASH_EARLY";
/// Any phase but those before the work.
const AT_WORK: &str = "work";

const PHASES: [&str; 14] = [
    "open",
    "ingest",
    "precomputed",
    "known",
    "damage",
    "audit",
    "vote",
    "agree",
    "dispute",
    "expire",
    "strike",
    "backtrack",
    "export",
    "repair",
];

const AUDIT: Strategy = Strategy::SampledAudit { k: 2 };
const PAIR: Strategy = Strategy::Redundant { quorum: 2 };
const THREE: Strategy = Strategy::Redundant { quorum: 3 };
const TREES: [(&str, Strategy, u64); 9] = [
    ("plain", Strategy::Precomputed, 40),
    ("known", Strategy::KnownAddress, 70),
    ("audit", AUDIT, 96),
    ("pair", PAIR, 70),
    ("three", THREE, 40),
    ("more audit", AUDIT, 64),
    ("more known", Strategy::KnownAddress, 33),
    ("more pairs", PAIR, 64),
    ("more plain", Strategy::Precomputed, 33),
];

const HONEST: u64 = 6;
const LIARS: u64 = 40;
const WAIT_MS: u64 = 600_000;

fn content(tree: usize) -> Vec<Vec<u8>> {
    blocks(TREES[tree].2, 1 + tree as u64)
}

/// In the trees of known addresses every ninth block is damaged when it first comes.
fn given(tree: usize) -> Vec<Vec<u8>> {
    let mut blocks = content(tree);
    if TREES[tree].1 == Strategy::KnownAddress {
        blocks.iter_mut().step_by(9).for_each(|block| block[9] ^= 1);
    }
    blocks
}

fn honest(number: u64) -> u64 {
    apart(1 + number)
}

fn liar(number: u64) -> u64 {
    apart(100 + number)
}

fn config() -> ConfigBuilder {
    let config = house::config_with([3; 32]).quorum_wait(Duration::from_millis(WAIT_MS));
    config.accept_clock_ahead(true).token_ttl(Duration::from_secs(3_600)).min_queue_depth(8)
}

// ---------------------------------------------------------------------------------------------------
// The child.

/// Stops the store at one change of its files, so that the parent can kill the process right there.
#[derive(Debug)]
struct Switch {
    out: Mutex<io::Stdout>,
    stop: Option<(String, u64)>,
    phase: Mutex<&'static str>,
    ios: AtomicU64,
    stopped: AtomicBool,
}

impl Switch {
    /// Before something changes on the disk.
    fn pass(&self) {
        if let Some((stop, nth)) = &self.stop {
            // Nobody leaves the phase before the parent is told.
            let phase = self.phase.lock().unwrap();
            let inside = *phase == stop || (stop == AT_WORK && !["open", "ingest"].contains(&*phase));
            if inside && self.ios.fetch_add(1, Ordering::SeqCst) + 1 == *nth {
                self.stopped.store(true, Ordering::SeqCst);
                say(&self.out, &format!("stopped {stop}"));
            }
        }
        while self.stopped.load(Ordering::SeqCst) {
            std::thread::park();
        }
    }
}

/// A range of a tree, and for each vote on it whether it is a lie.
type Groups = HashMap<(usize, u64), Vec<bool>>;

struct Worker {
    engine: PouwEngine,
    clock: Arc<FakeClock>,
    switch: Arc<Switch>,
    /// Tree and leaf of a block, by its first bytes.
    places: HashMap<[u8; 8], (usize, u64)>,
    groups: Mutex<Groups>,
    deeds: AtomicU64,
    alone: bool,
}

fn word(name: &str) -> String {
    std::env::var(name).unwrap()
}

fn run_child(dir: &Path) {
    let (seed, stop) = (word(SEED).parse::<u64>().unwrap(), word(STOP));
    let stop = stop.split_once(':').map(|(phase, nth)| (phase.to_owned(), nth.parse().unwrap()));
    let alone = stop.is_some();
    let places: HashMap<_, _> = (0..TREES.len())
        .flat_map(|tree| (0..).zip(given(tree)).map(move |(leaf, block)| (*block.first_chunk().unwrap(), (tree, leaf))))
        .collect();
    let switch = Arc::new(Switch {
        out: Mutex::new(io::stdout()),
        stop,
        phase: Mutex::new("open"),
        ios: AtomicU64::new(0),
        stopped: AtomicBool::new(false),
    });
    // The harness has begun a line.
    say(&switch.out, "");
    let groups = Mutex::new(waiting_groups(dir));
    // Engine time goes on from the newest time in the store; a day later a client without credit would be forgotten.
    let clock = clock();
    let at = switch.clone();
    let storage = Hooked::new(Arc::new(StoreDirectory::new(dir)), move |access| {
        if access == Access::Change {
            at.pass();
        }
    });
    let parts = parts(Arc::new(storage), &clock);
    let early = std::env::var_os(EARLY).map(|_| Mistake::AcknowledgeEarly);
    let config = early.into_iter().fold(config(), |config, mistake| config.mistake(mistake)).build().unwrap();
    let engine = PouwEngine::open_with(parts, config).unwrap();
    *switch.phase.lock().unwrap() = "";
    let worker = Worker { engine, clock, switch, places, groups, deeds: AtomicU64::new(0), alone };
    (0..TREES.len()).for_each(|tree| worker.ingest(tree));
    std::thread::scope(|scope| {
        for thread in 0..if alone { 1 } else { 4 } {
            let worker = &worker;
            let mut dice = Dice((seed * 8 + thread + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            scope.spawn(move || while !worker.step(&mut dice) {});
        }
    });
    worker.engine.close();
    worker.say("finished");
}

/// The votes that wait, as an earlier child left them.
fn waiting_groups(dir: &Path) -> Groups {
    let Ok(store) = RedbStore::open(Arc::new(StoreDirectory::new(dir)), StoreOptions::default()) else {
        return Groups::new();
    };
    let reader = store.read().unwrap();
    let mut groups = Groups::new();
    for ((tree, start), row) in reader.quorums(None, 10_000).unwrap() {
        let name = reader.tree(tree).unwrap().unwrap().name;
        let tree = TREES.iter().position(|(known, ..)| *known == name).unwrap();
        let right: Vec<Checksum> = content(tree).iter().skip(start as usize).map(|block| sha3_512(block)).collect();
        let lies = |leaves: &[Checksum]| leaves.iter().zip(&right).any(|(leaf, right)| leaf != right);
        groups.insert((tree, start), row.as_ref().unwrap().votes.iter().map(|vote| lies(&vote.leaves)).collect());
    }
    drop(reader);
    store.close();
    groups
}

impl Worker {
    fn say(&self, line: &str) {
        say(&self.switch.out, line);
    }

    /// Does something in a phase; `told` is what is acknowledged by it.
    fn during<T>(&self, phase: &'static str, deed: impl FnOnce() -> T, told: impl FnOnce(&T) -> Option<String>) -> T {
        let number = self.deeds.fetch_add(1, Ordering::SeqCst);
        self.say(&format!("begin {phase} {number}"));
        *self.switch.phase.lock().unwrap() = phase;
        let done = deed();
        *self.switch.phase.lock().unwrap() = "";
        told(&done).iter().for_each(|line| self.say(line));
        self.say(&format!("end {phase} {number}"));
        done
    }

    fn ingest(&self, tree: usize) {
        let (name, strategy, _) = TREES[tree];
        let (blocks, addresses) = (given(tree), content(tree));
        let told = |_: &_| Some(format!("tree {tree}"));
        if strategy == Strategy::KnownAddress {
            let blocks: Vec<_> = addresses.iter().zip(&blocks).map(|(of, block)| (sha3_512(of), &block[..])).collect();
            self.during("ingest", || self.engine.ingest_known_blocks(&options(strategy), name, &blocks).unwrap(), told);
        } else {
            let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
            self.during("ingest", || self.engine.ingest_blocks(&options(strategy), name, &blocks).unwrap(), told);
        }
    }

    /// True when nothing is left to do.
    fn step(&self, dice: &mut Dice) -> bool {
        match dice.below(40) {
            0 => self.expire(),
            1 => self.export(dice),
            2 => self.repair(),
            3 | 4 => self.strike(liar(dice.below(LIARS)), dice),
            5..=14 => drop(self.work(liar(dice.below(LIARS)), true, dice)),
            _ => {
                let worked = (0..HONEST).any(|_| self.work(honest(dice.below(HONEST)), false, dice));
                if !worked && self.engine.stats().totals.pending == 0 {
                    return self.finish(dice);
                }
            }
        }
        false
    }

    fn upkeep(&self, phase: &'static str) {
        self.during(phase, || self.engine.upkeep().unwrap(), |_| None);
    }

    fn issue(&self, who: u64, dice: &mut Dice) -> Option<Issued> {
        self.upkeep("upkeep");
        let (client, network) = names(who);
        let tier = DifficultyTier::ALL[dice.below(3) as usize];
        match self.engine.issue(&IssueRequest::new(&client, tier).network(&network)) {
            Ok(issued) => Some(issued),
            Err(IssueError::NoWork) => None,
            Err(other) => panic!("{other}"),
        }
    }

    fn place(&self, issued: &Issued) -> (usize, u64) {
        self.places[issued.unit.input_data.first_chunk().unwrap()]
    }

    /// One answer, right, or wrong at an eighth of its leaves. False if there is no unit for this client.
    fn work(&self, who: u64, lies: bool, dice: &mut Dice) -> bool {
        let Some(issued) = self.issue(who, dice) else { return false };
        let place = self.place(&issued);
        let phase = self.phase(place, lies, &issued);
        let lie = |leaves: &mut Vec<Checksum>| {
            let count = if lies { (leaves.len() / 8).max(1) } else { 0 };
            leaves.iter_mut().take(count).for_each(|leaf| *leaf = wrong(leaf));
        };
        let result = answer(&issued, lie);
        let (client, network) = names(who);
        let submit = || self.engine.submit(&Answer::new(&client, &result).network(&network));
        let verdict = self.during(phase, submit, |verdict: &Result<Accepted, SubmitError>| match verdict {
            Ok(Accepted { id, seq: Some(_), award, .. }) => Some(format!("paid {id} {}", award.0)),
            Ok(Accepted { id, deferred, .. }) => Some(format!("voted {id} {} {who}", deferred.0)),
            Err(_) => None,
        });
        match verdict {
            Ok(accepted) => {
                let mut groups = self.groups.lock().unwrap();
                let group = groups.entry(place).or_default();
                group.retain(|lie| !lie || lies);
                group.push(lies);
                if accepted.seq.is_some() {
                    groups.remove(&place);
                }
            }
            Err(SubmitError::WrongResult { .. }) if lies => {}
            // Somebody else moved the clock, or ended the wait for the quorum.
            Err(SubmitError::Expired { .. } | SubmitError::Withdrawn) if !self.alone => {}
            Err(other) => panic!("{who} in {phase}: {other:?}"),
        }
        true
    }

    fn phase(&self, place: (usize, u64), lies: bool, issued: &Issued) -> &'static str {
        let groups = self.groups.lock().unwrap();
        let group = groups.get(&place).map_or(&[][..], Vec::as_slice);
        let damaged = || issued.unit.leaves().any(|leaf| !content(place.0).iter().any(|block| block == leaf));
        match TREES[place.0].1 {
            _ if lies && !matches!(TREES[place.0].1, AUDIT | PAIR | THREE) => "lie",
            Strategy::Precomputed => "precomputed",
            Strategy::KnownAddress if damaged() => "damage",
            Strategy::KnownAddress => "known",
            Strategy::Redundant { .. } if group.iter().any(|other| *other != lies) => "dispute",
            Strategy::Redundant { quorum } if group.len() + 1 == usize::from(quorum) => "agree",
            Strategy::Redundant { .. } => "vote",
            _ => "audit",
        }
    }

    /// A liar is caught, its strike written with the sweep, and what it stands for is doubted.
    fn strike(&self, who: u64, dice: &mut Dice) {
        let Some(issued) = self.issue(who, dice) else { return };
        let all = |leaves: &mut Vec<Checksum>| leaves.iter_mut().for_each(|leaf| *leaf = wrong(leaf));
        let (client, network) = names(who);
        let result = answer(&issued, all);
        let caught = self.engine.submit(&Answer::new(&client, &result).network(&network));
        match caught {
            Err(SubmitError::WrongResult { .. }) => {}
            Err(SubmitError::Expired { .. } | SubmitError::Withdrawn) if !self.alone => return,
            other => panic!("{other:?}"),
        }
        self.during("strike", || self.engine.sweep().unwrap(), |_| Some(format!("struck {who}")));
        self.upkeep("backtrack");
    }

    /// Quorums that have waited too long are ended.
    fn expire(&self) {
        if std::mem::take(&mut *self.groups.lock().unwrap()).is_empty() {
            return;
        }
        self.clock.advance(Duration::from_millis(WAIT_MS));
        self.during("expire", || self.engine.sweep().unwrap(), |_| None);
    }

    /// A tree for which only clients stand is exported under `Strict`.
    fn export(&self, dice: &mut Dice) {
        let trees = self.engine.trees(None, 100).unwrap();
        let weak = trees.iter().filter(|tree| tree.state == TreeState::Complete && tree.provenance.weak() > 0);
        let weak: Vec<&str> = weak.map(|tree| tree.name.as_str()).collect();
        if weak.is_empty() {
            return;
        }
        let name = weak[dice.below(weak.len() as u64) as usize];
        let told = |_: &_| Some(format!("exported {}", TREES.iter().position(|tree| tree.0 == name).unwrap()));
        self.during("export", || self.engine.export_leaves(name, &mut |_| Ok(())).unwrap(), told);
        self.upkeep("backtrack");
    }

    /// The trees in which damage was found are given again as they should be.
    fn repair(&self) {
        for (tree, (name, strategy, _)) in TREES.into_iter().enumerate() {
            let damaged = self.engine.damaged(None, 1_000).unwrap();
            let damaged: Vec<u64> = damaged.iter().filter(|one| one.tree == name).map(|one| one.leaf.0).collect();
            if damaged.is_empty() {
                continue;
            }
            let blocks = content(tree);
            let blocks: Vec<_> = blocks.iter().map(|block| (sha3_512(block), &block[..])).collect();
            let again = || self.engine.ingest_known_blocks(&options(strategy), name, &blocks).unwrap();
            self.during("repair", again, |_| Some(format!("repaired {tree} {damaged:?}")));
        }
    }

    fn finish(&self, dice: &mut Dice) -> bool {
        self.repair();
        self.export(dice);
        self.upkeep("upkeep");
        let trees = self.engine.trees(None, 100).unwrap();
        trees.iter().all(|tree| tree.state == TreeState::Complete && tree.provenance.weak() == 0)
    }
}

// ---------------------------------------------------------------------------------------------------
// The parent.

/// What the children on one store have said.
#[derive(Default)]
struct Heard {
    trees: BTreeSet<usize>,
    paid: HashMap<WorkId, u64>,
    voted: HashMap<WorkId, (u64, u64)>,
    exported: BTreeSet<usize>,
    repaired: BTreeSet<(usize, u64)>,
    struck: HashMap<u64, u64>,
    /// Begun and not ended by the child that spoke last.
    open: BTreeMap<u64, String>,
}

impl Heard {
    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        let number = |word: &str| word.parse::<u64>().unwrap();
        match words.as_slice() {
            ["begin", phase, of] => drop(self.open.insert(number(of), (*phase).to_owned())),
            ["end", _, of] => drop(self.open.remove(&number(of))),
            ["tree", tree] => drop(self.trees.insert(tree.parse().unwrap())),
            ["paid", id, award] => drop(self.paid.insert(id.parse().unwrap(), number(award))),
            ["voted", id, rest] => {
                let (award, who) = rest.split_once(' ').unwrap();
                self.voted.insert(id.parse().unwrap(), (number(award), number(who)));
            }
            ["exported", tree] => drop(self.exported.insert(tree.parse().unwrap())),
            ["repaired", tree, leaves] => {
                let leaves = leaves.trim_matches(['[', ']']).split(", ").map(number);
                self.repaired.extend(leaves.map(|leaf| (tree.parse().unwrap(), leaf)));
            }
            ["struck", who] => *self.struck.entry(number(who)).or_default() += 1,
            // The test harness of the child has its own lines.
            _ => {}
        }
    }
}

/// What the kills came to.
#[derive(Debug, Default)]
struct Tally {
    inside: BTreeMap<String, u64>,
    waiting_votes: u64,
    suspects_or_doubts: u64,
    corrections: u64,
    stores: u64,
}

/// An answer that was acknowledged, and is not there.
fn unpaid(reader: &dyn Reader, heard: &Heard) -> Option<WorkId> {
    let paid = |id: &WorkId| reader.receipt(*id).unwrap().map(|(_, row)| row.amount);
    heard.paid.iter().find(|(id, award)| paid(id) != Some(**award)).map(|(id, _)| *id)
}

/// Everything acknowledged is there, and the store is clean.
fn hold_against(dir: &Path, heard: &Heard, tally: &mut Tally) {
    let report = PouwEngine::check_store(dir, &mut |_| {}).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    let store = RedbStore::open(Arc::new(StoreDirectory::new(dir)), StoreOptions::default()).unwrap();
    let reader = store.read().unwrap();
    let keyring = Keyring::new(&store.identity().digest_key).unwrap();
    let strikes = |who: u64| store.client(ClientDigest::of(&keyring, &names(who).0)).unwrap().strikes;
    let paid = |id: &WorkId| reader.receipt(*id).unwrap().map(|(_, row)| row.amount);
    assert_eq!(unpaid(&*reader, heard), None, "its answer was acknowledged");
    let quorums = reader.quorums(None, 10_000).unwrap();
    let waiting: BTreeSet<WorkId> =
        quorums.iter().flat_map(|(_, row)| &row.as_ref().unwrap().votes).map(|vote| vote.id).collect();
    for (id, (award, who)) in &heard.voted {
        match paid(id) {
            Some(amount) => assert_eq!(amount, *award),
            None => assert!(
                waiting.contains(id) || (*who >= liar(0) && strikes(*who) > 0),
                "the vote {id} of {who} was acknowledged, and neither counts nor waits"
            ),
        }
    }
    for who in (0..HONEST).map(honest) {
        assert_eq!(strikes(who), 0, "{who} is honest");
    }
    for (who, struck) in &heard.struck {
        assert!(strikes(*who) >= *struck, "a strike of {who} is lost");
    }
    let tree_of = |tree: usize| reader.tree_named(TREES[tree].0).unwrap().unwrap();
    for tree in &heard.trees {
        assert_ne!(tree_of(*tree).1.state, TreeState::Ingesting, "tree {tree} was acknowledged");
    }
    for tree in &heard.exported {
        let (id, row) = tree_of(*tree);
        assert_eq!((row.state, reader.provenance(id).unwrap().weak()), (TreeState::Complete, 0), "{tree} was exported");
    }
    for (tree, leaf) in &heard.repaired {
        let tile = reader.tile(tree_of(*tree).0, leaf / TILE_LEAVES).unwrap();
        assert_eq!(tile.state(leaf % TILE_LEAVES), LeafState::Verified, "leaf {leaf} of {tree} was repaired");
    }
    tally.waiting_votes += waiting.len() as u64;
    let doubts = reader.suspects(100).unwrap().len() + reader.doubted(None, 100).unwrap().len();
    tally.suspects_or_doubts += u64::from(doubts > 0);
    drop(reader);
    store.close();
}

/// All trees are right under `Strict`, the ledger's sum is what was paid, and no leaf was credited twice.
fn finish(dir: &Path, heard: &Heard, tally: &mut Tally) {
    hold_against(dir, heard, tally);
    let engine = PouwEngine::open(dir, config().build().unwrap()).unwrap();
    let mut ids = BTreeMap::new();
    for (tree, (name, ..)) in TREES.into_iter().enumerate() {
        let right: Vec<Checksum> = content(tree).iter().map(|block| sha3_512(block)).collect();
        let mut leaves = Vec::new();
        let exported = engine.export_leaves(name, &mut |leaf| {
            leaves.push(*leaf);
            Ok(())
        });
        assert_eq!((exported.unwrap().nodes, leaves), (right.len() as u64, right.clone()), "{name}");
        assert_eq!(engine.root(name).unwrap(), root(&right).unwrap(), "{name}");
        ids.insert(engine.tree(name).unwrap().id, tree);
    }
    let mut credited = BTreeSet::new();
    let (mut sum, mut seen) = (0, BTreeSet::new());
    for row in engine.ledger(0, usize::MAX).unwrap() {
        let tree = row.tree.unwrap();
        assert!(seen.insert(row.id), "one answer was paid twice");
        tally.corrections += u64::from(row.kind == EntryKind::Correction);
        assert_eq!(row.amount.0, u64::from(row.nodes) * 100);
        sum += row.amount.0;
        let end = (row.start + (1 << row.order)).min(TREES[ids[&tree]].2);
        match row.kind {
            EntryKind::Leaves => assert_eq!(u64::from(row.leaves), end - row.start),
            EntryKind::Part => assert!(u64::from(row.leaves) < end - row.start),
            _ => assert_eq!(row.leaves, 0),
        }
        if matches!(row.kind, EntryKind::Leaves | EntryKind::Part) {
            (row.start..end).for_each(|leaf| assert!(credited.insert((tree, leaf)), "{leaf} is credited twice"));
        }
    }
    let totals = engine.stats().totals;
    assert_eq!((sum, totals.nodes * 100, totals.pending), (totals.awarded, totals.awarded, 0));
    for (id, tree) in &ids {
        let voted = matches!(TREES[*tree].1, Strategy::Redundant { .. });
        let all = (0..TREES[*tree].2).all(|leaf| credited.contains(&(*id, leaf)));
        assert!(voted || all, "{tree}: a leaf is done and nobody was credited");
    }
    let everybody = (0..HONEST).map(honest).chain((0..LIARS).map(liar));
    let balances: u64 = everybody.map(|who| engine.balance(&names(who).0).unwrap().0).sum();
    assert_eq!(balances, sum);
    tally.stores += 1;
    engine.close();
}

/// A directory for one store after the other.
struct Round {
    dir: tempfile::TempDir,
    heard: Heard,
    seed: u64,
    dice: Dice,
    tally: Tally,
}

impl Round {
    fn spawn(&mut self, stop: &str) -> Victim {
        self.seed += 1;
        self.heard.open.clear();
        Victim::spawn(TEST, self.dir.path(), &[(STOP, stop.to_owned()), (SEED, self.seed.to_string())])
    }

    /// Kills one child within a phase.
    fn kill_inside(&mut self, phase: &str) {
        for _ in 0..6 {
            // Following a liar back takes few writes: near the first of them there is something left to follow.
            let nth = 1 + self.dice.below(if phase == "backtrack" { 3 } else { 10 });
            let mut victim = self.spawn(&format!("{phase}:{nth}"));
            let heard = &mut self.heard;
            let (mut stopped, mut inside) = (false, false);
            victim.listen(|line| {
                heard.hear(line);
                stopped = line.starts_with("stopped");
                inside = phase == "open" || heard.open.values().any(|open| open == phase);
                stopped || line == "finished"
            });
            let open = heard.open.clone();
            victim.kill(Duration::ZERO, |line| heard.hear(line));
            if stopped {
                assert!(inside, "stopped in {open:?}, not in {phase}");
                *self.tally.inside.entry(phase.to_owned()).or_default() += 1;
                hold_against(self.dir.path(), &self.heard, &mut self.tally);
                return;
            }
            self.start_anew();
        }
        panic!("no child came to {phase}");
    }

    /// Kills a child with several threads at any moment.
    fn kill_somewhere(&mut self) {
        let mut victim = self.spawn("any");
        let mut lines = 20 + self.dice.below(600);
        let spin = Duration::from_micros(self.dice.below(3_000));
        let heard = &mut self.heard;
        let mut finished = false;
        victim.listen(|line| {
            heard.hear(line);
            lines -= 1;
            finished = line == "finished";
            finished || lines == 0
        });
        victim.kill(spin, |line| {
            heard.hear(line);
            finished |= line == "finished";
        });
        if finished {
            return self.start_anew();
        }
        *self.tally.inside.entry("anything, with threads".to_owned()).or_default() +=
            u64::from(!self.heard.open.is_empty());
        hold_against(self.dir.path(), &self.heard, &mut self.tally);
    }

    fn start_anew(&mut self) {
        finish(self.dir.path(), &self.heard, &mut self.tally);
        (self.dir, self.heard) = (tempfile::tempdir().unwrap(), Heard::default());
    }
}

#[test]
fn a_process_killed_in_any_phase_of_any_strategy_loses_nothing_it_acknowledged() {
    if let Some(dir) = std::env::var_os(CHILD) {
        return run_child(Path::new(&dir));
    }
    let kills = kills(2);
    let mut round = Round {
        dir: tempfile::tempdir().unwrap(),
        heard: Heard::default(),
        seed: 0,
        dice: Dice(0x9e37_79b9_7f4a_7c15),
        tally: Tally::default(),
    };
    for _ in 0..kills {
        // The early phases first: a store is not old before its time.
        PHASES.into_iter().for_each(|phase| round.kill_inside(phase));
        (0..3).for_each(|_| round.kill_somewhere());
    }
    // A kill while a liar is followed back leaves something to follow often, not always.
    for _ in 0..20 {
        if round.tally.suspects_or_doubts > 0 {
            break;
        }
        round.kill_inside("backtrack");
    }
    // The rest of the work, undisturbed.
    let mut victim = round.spawn("never:0");
    let heard = &mut round.heard;
    assert!(victim.listen(|line| {
        heard.hear(line);
        line == "finished"
    }));
    victim.end();
    round.start_anew();
    let tally = round.tally;
    println!("{tally:#?}");
    assert!(PHASES.iter().all(|phase| tally.inside.get(*phase) >= Some(&kills)), "a phase is missing");
    assert!(tally.inside.get("anything, with threads").is_some_and(|hit| *hit > 0));
    assert!(tally.waiting_votes > 0 && tally.suspects_or_doubts > 0 && tally.corrections > 0, "nothing was at stake");
}

#[test]
fn an_acknowledgement_before_the_commit_is_caught_by_the_kills() {
    let lost = (1..60).step_by(4).any(|nth| {
        let dir = tempfile::tempdir().unwrap();
        let words = [(STOP, format!("{AT_WORK}:{nth}")), (SEED, "1".into()), (EARLY, "1".into())];
        let mut victim = Victim::spawn(TEST, dir.path(), &words);
        let mut heard = Heard::default();
        victim.listen(|line| {
            heard.hear(line);
            line.starts_with("stopped")
        });
        // It goes on to acknowledge what stands still on its way to the disk.
        victim.kill(Duration::from_millis(20), |line| heard.hear(line));
        let store = RedbStore::open(Arc::new(StoreDirectory::new(dir.path())), StoreOptions::default()).unwrap();
        let lost = unpaid(&*store.read().unwrap(), &heard).is_some();
        store.close();
        lost
    });
    assert!(lost, "a crash test that cannot fail is worse than none");
}
