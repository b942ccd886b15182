//! An engine under hostile input: tokens and results of any bytes, and tokens with a genuine MAC over any fields.
//! Nothing panics, nothing is credited twice, no answer but the right one counts, and the store stays sound.
//!
//! Any bytes are a run, so a corpus may start empty; a few files of 200 to 400 random bytes are good seeds.
#![no_main]

#[path = "../../tests/model/memory.rs"]
#[allow(dead_code, reason = "shared: each test uses a part of it")]
mod memory;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use memory::Memory;
use pouw::engine::ingest::IngestOptions;
use pouw::engine::{Answer, Config, EventSink, FakeClock, IssueRequest, Parts, PouwEngine};
use pouw::hash::Checksum;
use pouw::merkle::LeafIndex;
use pouw::protocol::{
    ChallengeToken, DifficultyTier, Keyring, MicroJoules, TokenPurpose, TreeHandle, UnixMillis, WorkId, WorkResult,
    WorkUnit,
};
use pouw::solver::compute_work_unit;
use pouw::store::records::Exposure;
use pouw::store::{StoreOptions, check};

const SECRET: [u8; 32] = [9; 32];
const TTL_MS: u64 = 60_000;
const START_MS: u64 = 1_700_000_000_000;
const CLIENT: &[u8] = b"client";

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
    house.engine.close();
    let report = check(Arc::new(house.memory), &mut |_| {}).expect("the files can be read");
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
    memory: Memory,
    clock: Arc<FakeClock>,
    engine: PouwEngine,
    units: Vec<WorkUnit>,
    accepted: BTreeSet<WorkId>,
}

fn open(memory: &Memory, clock: &Arc<FakeClock>) -> PouwEngine {
    let config = Config::builder(SECRET).floor_ms([0; 3]).background(false).leases_max(64).synthetic_max(16);
    let parts = Parts {
        storage: Arc::new(memory.clone()),
        clock: clock.clone(),
        events: EventSink::default(),
        options: StoreOptions { state_cache_bytes: 1 << 20, blocks_cache_bytes: 1 << 20 },
    };
    PouwEngine::open_with(parts, config.build().expect("valid")).expect("it opens")
}

impl House {
    fn new(leaves: u8) -> Self {
        let (memory, clock) = (Memory::default(), Arc::new(FakeClock::at(START_MS)));
        let engine = open(&memory, &clock);
        let bytes: Vec<u8> = (0..512 * (1 + usize::from(leaves % 80))).map(|at| (at / 512) as u8).collect();
        let options = IngestOptions { block_size: 512, ..IngestOptions::new(Exposure::Public) };
        engine.ingest_bytes(&options, "tree", &bytes).expect("new content");
        Self { memory, clock, engine, units: Vec::new(), accepted: BTreeSet::new() }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 10 {
            0 | 1 => self.issue(input),
            2 => self.raw(input),
            3 | 4 => self.answer(input),
            5 | 6 => self.forged(input),
            7 => self.clock.advance(u64::from(u16::from_le_bytes(input.array()))),
            8 => self.reopen(),
            _ => self.ask(input),
        }
    }

    fn issue(&mut self, input: &mut Input<'_>) {
        self.engine.upkeep().expect("storage is sound");
        let tier = DifficultyTier::ALL[usize::from(input.byte() % 3)];
        let request = IssueRequest { synthetic: true, ..IssueRequest::new(CLIENT, tier) };
        self.units.extend(self.engine.issue(&request).map(|issued| issued.unit));
    }

    /// Text that was never a token, and a result read from any bytes.
    fn raw(&mut self, input: &mut Input<'_>) {
        let (text, json) = (String::from_utf8_lossy(input.slice()), input.slice());
        let Some(unit) = self.units.last() else { return };
        let result = WorkResult::from_json_beside(json, &text, unit.id).unwrap_or_else(|_| solve(unit));
        assert!(self.engine.submit(&Answer { token: &text, ..Answer::new(CLIENT, &result) }).is_err());
        assert!(self.engine.reissue(CLIENT, &text).is_err());
    }

    /// The right answer to a unit, or one with something changed.
    fn answer(&mut self, input: &mut Input<'_>) {
        if self.units.is_empty() {
            return;
        }
        let unit = self.units[usize::from(input.byte()) % self.units.len()].clone();
        let right = solve(&unit);
        let mut given = right.clone();
        match input.byte() % 6 {
            0 => given.result_hash = hash(input),
            1 => given.leaf_hashes.push(hash(input)),
            2 => given.leaf_hashes.reverse(),
            3 => given.work_unit_id = WorkId::from_bytes(input.array()),
            _ => {}
        }
        if self.engine.submit(&Answer { token: &unit.challenge_token, ..Answer::new(CLIENT, &given) }).is_ok() {
            assert_eq!(given, right, "a wrong answer was accepted");
            assert!(self.accepted.insert(unit.id), "a token took effect twice");
        }
    }

    /// A genuine MAC over fields of the fuzzer's choice: as if an older version had issued it.
    fn forged(&mut self, input: &mut Input<'_>) {
        let keyring = Keyring::new(&SECRET).expect("32 bytes");
        let Some(unit) = self.units.last() else { return };
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
        if let Ok(accepted) = self.engine.submit(&Answer { token: &text, ..Answer::new(CLIENT, &result) }) {
            assert!(self.accepted.insert(accepted.id), "a token took effect twice");
        }
        let _ = self.engine.reissue(CLIENT, &text);
    }

    fn reopen(&mut self) {
        self.engine.close();
        self.engine = open(&self.memory, &self.clock);
    }

    /// Questions and orders with any names and numbers.
    fn ask(&mut self, input: &mut Input<'_>) {
        let number = u64::from_le_bytes(input.array());
        let name = String::from_utf8_lossy(input.slice());
        match input.byte() % 8 {
            0 => drop(self.engine.sweep().expect("storage is sound")),
            1 => drop(self.engine.prove("tree", LeafIndex(number))),
            2 => drop(self.engine.remaining_nodes("tree", LeafIndex(number), 1_000)),
            3 => drop(self.engine.debit(CLIENT, MicroJoules(number), [input.byte(); 16])),
            4 => drop(self.engine.ledger(number, 10)),
            5 => drop(self.engine.tree(&name)),
            6 => drop(self.engine.ledger_of(name.as_bytes(), Some(number), 10)),
            _ => {
                let block_size = u64::from(input.byte()) * 8;
                let options = IngestOptions { block_size, ..IngestOptions::new(Exposure::Ciphertext) };
                drop(self.engine.ingest_bytes(&options, &name, input.slice()));
            }
        }
    }

    /// Credits are for leaves that are done, one challenge each, and add up.
    fn audit(&self) {
        let entries = self.engine.ledger(0, usize::MAX).expect("storage is sound");
        let ids: BTreeSet<[u8; 16]> = entries.iter().map(|entry| entry.row.id).collect();
        assert_eq!(ids.len(), entries.len());
        let credited: u64 = entries.iter().map(|entry| u64::from(entry.row.leaves)).sum();
        let mut done = 0;
        for tree in self.engine.trees(None, usize::MAX).expect("storage is sound") {
            let left = self.engine.remaining_nodes(&tree.name, LeafIndex(0), usize::MAX).expect("it is there");
            done += tree.leaves - left.len() as u64;
        }
        assert_eq!(credited, done);
        let stats = self.engine.stats();
        assert_eq!(
            self.engine.balance(CLIENT).expect("storage is sound").0,
            stats.totals.awarded - stats.totals.debited
        );
    }
}

fn hash(input: &mut Input<'_>) -> Checksum {
    Checksum::from_bytes(input.array())
}

fn solve(unit: &WorkUnit) -> WorkResult {
    compute_work_unit(unit, |_| ControlFlow::Continue(())).expect("the unit adds up")
}
