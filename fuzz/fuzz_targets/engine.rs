//! An engine under hostile input: tokens and results of any bytes, tokens with a genuine MAC over any fields, and lies
//! of clients of several networks in trees of every way to verify. Nothing panics, nothing is credited twice, no answer
//! but the right one counts where the server knows it, no wrong hash leaves under `Strict`, and the store stays sound.
//!
//! Any bytes are a run, so a corpus may start empty; a few files of 200 to 400 random bytes are good seeds.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use pouw::hash::{Checksum, sha3_512};
use pouw::internal::engine::for_gate;
use pouw::internal::store::check;
use pouw::internal::store::sim::SimDisk;
use pouw::merkle::{LeafIndex, fold};
use pouw::protocol::{
    ByTier, ChallengeToken, DifficultyTier, Keyring, MicroJoules, TokenPurpose, TreeHandle, UnixMillis, WorkId,
    WorkResult, WorkUnit,
};
use pouw::solver::compute_work_unit;
use pouw::{
    Answer, Config, EntryKind, EventSink, ExportPolicy, Exposure, FakeClock, IngestOptions, IssueRequest, PouwEngine,
    Provenance, Runtime, StoreOptions, Strategy, TreeError,
};

const SECRET: [u8; 32] = [9; 32];
const TTL_MS: u64 = 60_000;
const START_MS: u64 = 1_700_000_000_000;
/// Clients, each of the network its last letter names.
const CLIENTS: [&[u8]; 5] = [b"one.a", b"two.b", b"three.c", b"four.a", b"five.d"];
/// Leaves of a tree of the fuzzer's choice, at most.
const LEAVES_MAX: u8 = 80;

fn network(client: &[u8]) -> &[u8] {
    client.split_at(client.len() - 1).1
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mut house = House::new(input.byte());
    for _ in 0..64 {
        if input.0.is_empty() {
            break;
        }
        house.step(&mut input);
        house.audit();
    }
    house.states();
    house.exports();
    house.states();
    house.audit();
    house.engine.close();
    let report = check(Arc::new(house.disk), &mut |_| {}).expect("the files can be read");
    assert!(report.is_clean(), "{:?}", report.findings);
});

/// Bytes that never run out.
struct Input<'d>(&'d [u8]);

impl<'d> Input<'d> {
    fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let (now, later) = self.0.split_at(self.0.len().min(N));
        out[..now.len()].copy_from_slice(now);
        self.0 = later;
        out
    }

    fn slice(&mut self) -> &'d [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        let (now, later) = self.0.split_at(len);
        self.0 = later;
        now
    }
}

struct House {
    disk: SimDisk,
    clock: Arc<FakeClock>,
    engine: PouwEngine,
    /// Units that are out, and the client of each.
    units: Vec<(WorkUnit, &'static [u8])>,
    accepted: BTreeSet<WorkId>,
    /// Trees by name: how they are verified, and their right blocks.
    trees: BTreeMap<String, (Strategy, Vec<Vec<u8>>)>,
}

fn open(disk: &SimDisk, clock: &Arc<FakeClock>) -> PouwEngine {
    let config =
        Config::builder(SECRET).floor(ByTier::all(Duration::ZERO)).background(false).leases_max(64).synthetic_max(16);
    let config = config.quorum_wait(Duration::from_millis(30_000)).audit_seed(1);
    let parts = Runtime::on(Arc::new(disk.clone()))
        .clock(clock.clone())
        .events(EventSink::default())
        .options(StoreOptions::new().state_cache_bytes(1 << 20).blocks_cache_bytes(1 << 20));
    PouwEngine::open_with(parts, config.build().expect("valid")).expect("it opens")
}

impl House {
    fn new(leaves: u8) -> Self {
        let (disk, clock) = (SimDisk::new(), Arc::new(FakeClock::at(UnixMillis(START_MS))));
        let engine = open(&disk, &clock);
        let bytes: Vec<u8> = (0..512 * (1 + usize::from(leaves % 80))).map(|at| (at / 512) as u8).collect();
        let options = IngestOptions::new(Exposure::Public).block_size(512);
        engine.ingest_bytes(&options, "tree", &bytes).expect("new content");
        let blocks = bytes.chunks(512).map(<[u8]>::to_vec).collect();
        let trees = [("tree".to_owned(), (Strategy::Precomputed, blocks))].into();
        Self { disk, clock, engine, units: Vec::new(), accepted: BTreeSet::new(), trees }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 16 {
            0 | 1 => self.issue(input),
            2 => self.raw(input),
            3 | 4 => self.answer(input),
            5 | 6 => self.forged(input),
            7 => self.clock.advance(Duration::from_millis(u64::from(u16::from_le_bytes(input.array())))),
            8 => self.reopen(),
            9 => self.ingest(input),
            10 | 11 => self.issue_and_answer(input),
            12 => drop(self.engine.sweep().expect("storage is sound")),
            13 => self.export(input),
            14 => self.repair(),
            _ => self.ask(input),
        }
    }

    /// A tree of any way to verify; of those with known addresses, some blocks may be damaged.
    fn ingest(&mut self, input: &mut Input<'_>) {
        let strategies = [
            Strategy::Precomputed,
            Strategy::KnownAddress,
            Strategy::SampledAudit { k: 1 + input.byte() % 4 },
            Strategy::Redundant { quorum: 2 + input.byte() % 3 },
        ];
        let (number, leaves) = (input.byte() % 6, 1 + input.byte() % LEAVES_MAX);
        let strategy = strategies[usize::from(number) % 4];
        let name = format!("tree {number}");
        let blocks: Vec<Vec<u8>> = (0..leaves).map(|leaf| [[number, leaf]; 256].concat()).collect();
        let damage = usize::from(input.byte());
        let options = IngestOptions::new(Exposure::Public).block_size(512).strategy(strategy);
        let done = if strategy == Strategy::KnownAddress {
            let mut given = blocks.clone();
            given.iter_mut().skip(damage % 32).step_by(17).for_each(|block| block[1] ^= 0x80);
            self.give(&name, &options, &blocks, &given)
        } else {
            let slices: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
            self.engine.ingest_blocks(&options, &name, &slices).is_ok()
        };
        if done {
            self.trees.entry(name).or_insert((strategy, blocks));
        }
    }

    fn give(&self, name: &str, options: &IngestOptions, blocks: &[Vec<u8>], given: &[Vec<u8>]) -> bool {
        let pairs = blocks.iter().zip(given).map(|(block, given)| (sha3_512(block), given.as_slice()));
        let pairs: Vec<(Checksum, &[u8])> = pairs.collect();
        self.engine.ingest_known_blocks(options, name, &pairs).is_ok()
    }

    /// Damaged blocks are given again as they should be.
    fn repair(&mut self) {
        for (name, (strategy, blocks)) in &self.trees {
            if *strategy == Strategy::KnownAddress {
                let options = IngestOptions::new(Exposure::Public).block_size(512);
                self.give(name, &options, blocks, blocks);
            }
        }
    }

    fn export(&mut self, input: &mut Input<'_>) {
        let which = usize::from(input.byte());
        let Some(name) = self.trees.keys().nth(which % self.trees.len().max(1)).cloned() else { return };
        match input.byte() % 4 {
            0 => drop(self.engine.export_leaves_under(ExportPolicy::Attested, &name, &mut |_| Ok(()))),
            1 => {
                let policy = ExportPolicy::Statistical { epsilon: 0.2, delta: 0.2 };
                drop(self.engine.export_leaves_under(policy, &name, &mut |_| Ok(())));
            }
            _ => self.strict(&name),
        }
    }

    /// What leaves under `Strict` is right, whoever lied.
    fn strict(&self, name: &str) {
        let (_, blocks) = &self.trees[name];
        let mut leaves = Vec::new();
        let sink = &mut |leaf: &Checksum| {
            leaves.push(*leaf);
            Ok(())
        };
        match self.engine.export_leaves(name, sink) {
            Ok(exported) => {
                assert!(exported.provenance <= Provenance::Known, "{exported:?} under strict");
                let right: Vec<Checksum> = blocks.iter().map(|block| sha3_512(block)).collect();
                assert_eq!(leaves, right, "a wrong hash left under strict");
            }
            Err(TreeError::NotComplete { .. } | TreeError::Unknown(_)) => {}
            Err(other) => panic!("{name}: {other}"),
        }
    }

    fn exports(&mut self) {
        self.engine.upkeep().expect("storage is sound");
        self.trees.keys().for_each(|name| self.strict(name));
    }

    fn issue(&mut self, input: &mut Input<'_>) {
        self.engine.upkeep().expect("storage is sound");
        let tier = DifficultyTier::ALL[usize::from(input.byte() % 3)];
        let client = CLIENTS[usize::from(input.byte()) % CLIENTS.len()];
        let (synthetic, network) = (input.byte() % 4 == 0, network(client));
        let request = IssueRequest::new(client, tier).synthetic(synthetic).network(network);
        self.units.extend(self.engine.issue(&request).map(|issued| (issued.unit, client)));
    }

    /// A unit that is answered at once, with lies at some leaves if the input says so.
    fn issue_and_answer(&mut self, input: &mut Input<'_>) {
        let before = self.units.len();
        self.issue(input);
        let lies = u32::from_le_bytes(input.array()) & u32::from_le_bytes(input.array());
        let lies = if input.byte() % 2 == 0 { 0 } else { lies };
        if self.units.len() == before {
            return;
        }
        let Some((unit, client)) = self.units.pop() else { return };
        let mut given = solve(&unit);
        for at in (0..given.leaf_hashes.len()).filter(|at| lies & (1 << at) != 0) {
            given.leaf_hashes[at] = sha3_512(given.leaf_hashes[at].as_bytes());
        }
        if !given.leaf_hashes.is_empty() {
            given.result_hash = fold(&given.leaf_hashes, unit.fold_levels).expect("one top");
        }
        self.give_answer(&unit, client, &given);
    }

    fn give_answer(&mut self, unit: &WorkUnit, client: &[u8], given: &WorkResult) {
        let answer = Answer::new(client, given).token(&unit.challenge_token).network(network(client));
        if self.engine.submit(&answer).is_ok() {
            let unknown = !unit.synthetic && self.unknown(unit);
            assert!(unknown || *given == solve(unit), "a wrong answer was accepted");
            assert!(self.accepted.insert(unit.id), "a token took effect twice");
        }
    }

    /// Whether the server did not know the answer to this unit: of a tree whose hashes clients bring.
    fn unknown(&self, unit: &WorkUnit) -> bool {
        let first: Vec<u8> = unit.leaves().next().unwrap_or_default().to_vec();
        let known = |strategy| matches!(strategy, Strategy::Precomputed | Strategy::KnownAddress);
        let of = |(strategy, blocks): &(Strategy, Vec<Vec<u8>>)| !known(*strategy) && blocks.contains(&first);
        self.trees.values().any(of)
    }

    /// Text that was never a token, and a result read from any bytes.
    fn raw(&mut self, input: &mut Input<'_>) {
        let (text, json) = (String::from_utf8_lossy(input.slice()), input.slice());
        let Some((unit, client)) = self.units.last() else { return };
        let result = WorkResult::from_json_beside(json, &text, unit.id).unwrap_or_else(|_| solve(unit));
        assert!(self.engine.submit(&Answer::new(client, &result).token(&text)).is_err());
        assert!(for_gate(&self.engine).reissue(client, &text).is_err());
    }

    /// The right answer to a unit, or one with something changed.
    fn answer(&mut self, input: &mut Input<'_>) {
        if self.units.is_empty() {
            return;
        }
        let (unit, client) = self.units[usize::from(input.byte()) % self.units.len()].clone();
        let mut given = solve(&unit);
        match input.byte() % 6 {
            0 => given.result_hash = hash(input),
            1 => given.leaf_hashes.push(hash(input)),
            2 => given.leaf_hashes.reverse(),
            3 => given.work_unit_id = WorkId::from_bytes(input.array()),
            _ => {}
        }
        self.give_answer(&unit, client, &given);
    }

    /// A genuine MAC over fields of the fuzzer's choice: as if an older version had issued it.
    fn forged(&mut self, input: &mut Input<'_>) {
        let keyring = Keyring::new(&SECRET).expect("32 bytes");
        let Some((unit, client)) = self.units.last() else { return };
        let real = ChallengeToken::open(&unit.challenge_token, &keyring, TTL_MS).expect("issued by this engine");
        let purposes = [TokenPurpose::Work, TokenPurpose::Interior, TokenPurpose::Synthetic];
        let change = input.byte();
        let pick = |bit: u8| change & (1 << bit) != 0;
        let token = ChallengeToken {
            purpose: purposes[usize::from(input.byte() % 3)],
            boot: if pick(0) { u64::from_le_bytes(input.array()) } else { real.boot },
            id: if pick(1) { WorkId::from_bytes(input.array()) } else { real.id },
            tree: if pick(2) { TreeHandle::from_bytes(input.array()) } else { real.tree },
            start: if pick(3) { u64::from_le_bytes(input.array()) } else { u64::from(input.byte()) },
            order: input.byte() % 41,
            expires_at: if pick(4) { UnixMillis(u64::from_le_bytes(input.array())) } else { real.expires_at },
            not_before: if pick(5) { UnixMillis(u64::from_le_bytes(input.array())) } else { real.not_before },
            ..real
        };
        let text = token.seal(&keyring);
        let mut result = WorkResult { work_unit_id: token.id, challenge_token: text.clone(), ..solve(unit) };
        if pick(6) {
            result.leaf_hashes = vec![result.result_hash; usize::from(input.byte())];
        }
        // It may even count, if it fits: then it is one more challenge, judged by the same rules.
        let answer = Answer::new(client, &result).token(&text).network(network(client));
        if let Ok(accepted) = self.engine.submit(&answer) {
            assert!(self.accepted.insert(accepted.id), "a token took effect twice");
        }
        let _ = for_gate(&self.engine).reissue(client, &text);
    }

    fn reopen(&mut self) {
        self.engine.close();
        self.engine = open(&self.disk, &self.clock);
    }

    /// Questions and orders with any names and numbers.
    fn ask(&mut self, input: &mut Input<'_>) {
        let number = u64::from_le_bytes(input.array());
        let name = String::from_utf8_lossy(input.slice());
        match input.byte() % 9 {
            0 => drop(self.engine.damaged(None, 10).expect("storage is sound")),
            1 => drop(self.engine.prove("tree", LeafIndex(number))),
            2 => drop(self.engine.remaining_nodes("tree", LeafIndex(number), 1_000)),
            3 => drop(self.engine.debit(CLIENTS[0], MicroJoules(number), [input.byte(); 16])),
            4 => drop(self.engine.ledger(number, 10)),
            5 => drop(self.engine.tree(&name)),
            7 => {
                if self.engine.forget(&name).is_ok() {
                    self.trees.remove(&*name);
                }
            }
            6 => drop(self.engine.ledger_of(name.as_bytes(), Some(number), 10)),
            _ => {
                let block_size = u64::from(input.byte()) * 8;
                let options = IngestOptions::new(Exposure::Ciphertext).block_size(block_size);
                // Names of the trees above are theirs.
                let name = format!("any {name}");
                drop(self.engine.ingest_bytes(&options, &name, input.slice()));
            }
        }
    }

    /// The states of the leaves are as many as are counted.
    fn states(&self) {
        for tree in self.engine.trees(None, usize::MAX).expect("storage is sound") {
            let mut found = BTreeMap::new();
            for leaf in (0..tree.leaves).map(LeafIndex) {
                *found.entry(self.engine.provenance(&tree.name, leaf).expect("it is there")).or_insert(0) += 1;
            }
            for provenance in Provenance::ALL {
                let found = found.get(&Some(provenance)).copied().unwrap_or(0);
                assert_eq!(found, tree.provenance.count(provenance), "{}: {provenance}", tree.name);
            }
        }
    }

    /// Credits are for leaves that are done, one challenge each, and add up.
    fn audit(&self) {
        let entries = self.engine.ledger(0, usize::MAX).expect("storage is sound");
        let ids: BTreeSet<[u8; 16]> = entries.iter().map(|entry| *entry.id.as_bytes()).collect();
        assert_eq!(ids.len(), entries.len());
        let stats = self.engine.stats();
        let credited: u64 = entries.iter().map(|entry| u64::from(entry.leaves)).sum();
        assert_eq!(credited, stats.totals.leaves);
        let mut ranges = BTreeSet::new();
        for row in &entries {
            assert!(row.kind != EntryKind::Correction || (row.amount.0, row.leaves) == (0, 0));
            if matches!(row.kind, EntryKind::Leaves | EntryKind::Part) {
                let leaves = row.start..row.start + (1 << row.order);
                leaves.for_each(|leaf| assert!(ranges.insert((row.tree, leaf)), "a leaf is credited twice"));
            }
        }
        let mut pending = 0;
        for tree in self.engine.trees(None, usize::MAX).expect("storage is sound") {
            let counts = &tree.provenance;
            let done: u64 = Provenance::ALL.iter().map(|provenance| counts.count(*provenance)).sum();
            assert_eq!(tree.pending + done + counts.damaged, tree.leaves);
            pending += tree.pending;
        }
        assert_eq!(pending, stats.totals.pending);
        let balances: u64 = CLIENTS.iter().map(|client| self.engine.balance(client).expect("storage is sound").0).sum();
        assert_eq!(balances, stats.totals.awarded - stats.totals.debited);
    }
}

fn hash(input: &mut Input<'_>) -> Checksum {
    Checksum::from_bytes(input.array())
}

fn solve(unit: &WorkUnit) -> WorkResult {
    compute_work_unit(unit).expect("the unit adds up")
}
