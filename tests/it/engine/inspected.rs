//! A token inspected once and judged later is judged as one submitted whole; a byte budget shrinks units and
//! loses none; receipts tell what became of a challenge.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use pouw::hash::sha3_512;
use pouw::merkle::Shape;
use pouw::protocol::{ByTier, DifficultyTier, Reason, WorkResult};
use pouw::solver::compute_work_unit;
use pouw::{
    Accepted, Answer, Config, ConfigBuilder, Exposure, FakeClock, IngestOptions, Inspected, IssueError, IssueRequest,
    Issued, Parts, PouwEngine, Receipt, SubmitError,
};

use DifficultyTier::{High, Low, Medium};

fn settings() -> ConfigBuilder {
    Config::builder([7; 32]).floor(ByTier::from([1_000, 2_000, 3_000]).map(Duration::from_millis)).background(false)
}

struct Bench {
    dir: tempfile::TempDir,
    clock: Arc<FakeClock>,
    engine: PouwEngine,
}

impl Bench {
    fn new() -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(FakeClock::at(1_700_000_000_000)));
        let engine = open(&dir, &clock);
        let options = IngestOptions { block_size: 512, ..IngestOptions::new(Exposure::Public) };
        engine.ingest_bytes(&options, "tree", &vec![5; 512 * 96]).unwrap();
        engine.upkeep().unwrap();
        Self { dir, clock, engine }
    }

    fn issue(&self, client: &[u8], tier: DifficultyTier) -> Issued {
        self.engine.upkeep().unwrap();
        self.engine.issue(&IssueRequest::new(client, tier)).unwrap()
    }

    fn inspect(&self, client: &[u8], issued: &Issued) -> Result<Inspected, SubmitError> {
        self.engine.inspect(client, &issued.unit.challenge_token, 0)
    }

    fn judge(&self, inspected: Inspected, result: &WorkResult) -> Result<Accepted, SubmitError> {
        let (sender, receiver) = channel();
        self.engine.submit_inspected(inspected, result, move |verdict| sender.send(verdict).unwrap());
        receiver.recv().unwrap()
    }

    fn reopen(&mut self) {
        self.engine.close();
        self.engine = open(&self.dir, &self.clock);
        self.engine.upkeep().unwrap();
    }
}

fn open(dir: &tempfile::TempDir, clock: &Arc<FakeClock>) -> PouwEngine {
    let parts = Parts { clock: clock.clone(), ..Parts::in_directory(dir.path()) };
    PouwEngine::open_with(parts, settings().build().unwrap()).unwrap()
}

fn solve(issued: &Issued) -> WorkResult {
    compute_work_unit(&issued.unit).unwrap()
}

fn wrong(issued: &Issued) -> WorkResult {
    WorkResult { result_hash: sha3_512(b"something else"), ..solve(issued) }
}

/// What an answer came to, without times and texts.
fn verdict(answer: Result<Accepted, SubmitError>) -> Result<(u64, u64), Reason> {
    answer.map(|accepted| (accepted.nodes, accepted.award.0)).map_err(|error| error.reason())
}

#[test]
fn an_inspected_token_is_judged_as_one_submitted_whole() {
    // Client, milliseconds after issue, what is sent.
    type Case = (&'static [u8], u64, fn(&Issued) -> WorkResult);
    let cases: [Case; 6] = [
        (b"anna", 3_000, solve),
        (b"anna", 3_000, wrong),
        (b"anna", 0, solve),
        (b"berta", 3_000, solve),
        (b"anna", 60_000, solve),
        (b"anna", 3_000, |issued| WorkResult { leaf_hashes: Vec::new(), ..solve(issued) }),
    ];
    for (client, after_ms, answer) in cases {
        let twice = |whole: bool| {
            let bench = Bench::new();
            let issued = bench.issue(b"anna", High);
            let result = answer(&issued);
            bench.clock.advance(after_ms);
            let mut verdicts = Vec::new();
            for _ in 0..2 {
                verdicts.push(verdict(match whole {
                    true => bench.engine.submit(&Answer::new(client, &result)),
                    false => bench.inspect(client, &issued).and_then(|inspected| bench.judge(inspected, &result)),
                }));
            }
            let stats = bench.engine.stats();
            (verdicts, stats.leases, stats.totals, bench.engine.standing(b"anna"))
        };
        assert_eq!(twice(true), twice(false));
    }
}

#[test]
fn an_inspection_tells_id_tier_and_times_and_names_what_does_not_fit() {
    let bench = Bench::new();
    let issued = bench.issue(b"anna", Medium);
    bench.clock.advance(500);
    let inspected = bench.inspect(b"anna", &issued).unwrap();
    assert_eq!((inspected.id(), inspected.tier()), (issued.unit.id, Medium));
    assert_eq!((inspected.wait_ms(), inspected.ttl_ms()), (1_500, 59_500));
    assert_eq!(bench.inspect(b"berta", &issued).unwrap_err().reason(), Reason::ClientMismatch);
    let policy = bench.engine.inspect(b"anna", &issued.unit.challenge_token, 9);
    assert_eq!(policy.unwrap_err().reason(), Reason::PolicyMismatch);
    let again = bench.engine.reissue_inspected(&inspected).unwrap();
    assert_eq!(
        (again.input_data, again.challenge_token),
        (issued.unit.input_data.clone(), issued.unit.challenge_token.clone())
    );
    assert_eq!((again.wait_ms, again.ttl_ms), (1_500, 59_500));
    // An inspection is no promise: the token may expire before it is used, or be another store's.
    let other = Bench::new();
    assert_eq!(verdict(other.judge(inspected.clone(), &solve(&issued))), Err(Reason::TokenExpired));
    bench.clock.advance(59_500);
    assert_eq!(verdict(bench.judge(inspected.clone(), &solve(&issued))), Err(Reason::TokenExpired));
    assert_eq!(bench.engine.refuse_malformed(&inspected).unwrap_err().reason(), Reason::TokenExpired);
    assert_eq!(bench.inspect(b"anna", &issued).unwrap_err().reason(), Reason::TokenExpired);
}

#[test]
fn eight_results_that_cannot_be_read_close_a_challenge_and_those_before_the_floor_do_not_count() {
    let mut bench = Bench::new();
    let issued = bench.issue(b"anna", Low);
    let inspected = bench.inspect(b"anna", &issued).unwrap();
    for _ in 0..20 {
        let early = bench.engine.refuse_malformed(&inspected).unwrap_err();
        assert!(matches!(early, SubmitError::TooEarly { wait_ms: 1_000 }), "{early}");
    }
    bench.clock.advance(1_000);
    for _ in 0..3 {
        bench.engine.refuse_malformed(&inspected).unwrap();
        // One that can be read and does not fit counts the same.
        let misfit = WorkResult { leaf_hashes: vec![sha3_512(b"x")], ..solve(&issued) };
        assert_eq!(verdict(bench.judge(inspected.clone(), &misfit)), Err(Reason::Malformed));
    }
    assert_eq!(bench.engine.receipt(issued.unit.id).unwrap(), Receipt::Open);
    bench.engine.refuse_malformed(&inspected).unwrap();
    bench.engine.refuse_malformed(&inspected).unwrap();
    assert_eq!(bench.engine.refuse_malformed(&inspected).unwrap_err().reason(), Reason::TokenReplayed);
    assert_eq!(verdict(bench.judge(inspected, &solve(&issued))), Err(Reason::TokenReplayed));
    assert_eq!(bench.engine.stats().leases, 0);
    assert_eq!(bench.engine.receipt(issued.unit.id).unwrap(), Receipt::Refused);
    bench.reopen();
    assert_eq!(bench.engine.receipt(issued.unit.id).unwrap(), Receipt::Refused);
    assert_eq!(bench.inspect(b"anna", &issued).unwrap().id(), issued.unit.id, "memory and MAC alone do not know");
    assert_eq!(bench.engine.standing(b"anna").tier, Low, "who cannot be understood is not wrong");
}

#[test]
fn engine_time_never_falls() {
    let mut bench = Bench::new();
    let before = bench.engine.now_ms();
    bench.clock.advance(5_000);
    bench.clock.step_wall(-3_600_000);
    assert_eq!(bench.engine.now_ms(), before + 5_000);
    bench.reopen();
    assert_eq!(bench.engine.now_ms(), before + 5_000);
}

#[test]
fn a_byte_budget_shrinks_units_and_what_does_not_fit_stays_ready() {
    let bench = Bench::new();
    let within = |tier, bytes_max| {
        let request = IssueRequest::new(b"anna", tier).bytes_max(bytes_max);
        bench.engine.issue(&request)
    };
    let leaves = |issued: Issued| (issued.unit.input_data.len() / 512, issued.shortfall);
    assert_eq!(leaves(within(High, 512 * 32).unwrap()), (32, false));
    assert_eq!(leaves(within(High, 512 * 32 - 1).unwrap()), (16, false));
    assert_eq!(leaves(within(High, 512 * 15).unwrap()), (8, true));
    assert_eq!(leaves(within(Low, 512).unwrap()), (1, false));
    let before = (bench.engine.stats().ready_units, bench.engine.stats().ready_bytes);
    for tier in [Low, Medium, High] {
        let refused = within(tier, 511).unwrap_err();
        assert!(matches!(refused, IssueError::TooBig { bytes_max: 511 }), "{refused}");
        assert_eq!(refused.reason(), Reason::Budget);
    }
    assert_eq!((bench.engine.stats().ready_units, bench.engine.stats().ready_bytes), before);
    // Made-up work keeps to it too, when nothing real is there.
    let empty = open(&tempfile::tempdir().unwrap(), &bench.clock);
    let made_up = |tier, bytes_max| {
        let request = IssueRequest::new(b"a", tier).synthetic(true).bytes_max(bytes_max);
        empty.issue(&request).map(|issued| (issued.unit.input_data.len(), issued.shortfall))
    };
    assert_eq!(made_up(High, 1_024).unwrap(), (1_024, false));
    assert_eq!(made_up(High, 1_023).unwrap(), (512, true));
    assert_eq!(made_up(Medium, 64).unwrap(), (64, true));
    assert!(matches!(made_up(Low, 63), Err(IssueError::TooBig { bytes_max: 63 })));
}

#[test]
fn a_unit_that_begins_with_a_leaf_over_the_budget_keeps_its_place_and_hides_nobody_behind_it() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(FakeClock::at(1_700_000_000_000)));
    let engine = open(&dir, &clock);
    let options = IngestOptions { block_size: 9_000, ..IngestOptions::new(Exposure::Public) };
    engine.ingest_bytes(&options, "first", &[1; 9_000 * 2]).unwrap();
    engine.ingest_bytes(&options, "second", &[2; 100]).unwrap();
    engine.ingest_bytes(&options, "third", &[3; 9_000]).unwrap();
    engine.upkeep().unwrap();
    let low = IssueRequest::new(b"a", Low);
    let issue = |bytes_max: Option<usize>| engine.issue(&bytes_max.map_or(low, |bytes| low.bytes_max(bytes)));
    assert_eq!(issue(Some(8_999)).unwrap().unit.input_data, [2; 100]);
    assert!(matches!(issue(Some(8_999)), Err(IssueError::TooBig { .. })));
    let marks: Vec<u8> = (0..3).map(|_| issue(None).unwrap().unit.input_data[0]).collect();
    // Single leaves first, as without a budget; then the larger unit in halves.
    assert_eq!(marks, [3, 1, 1]);
    assert!(matches!(issue(None), Err(IssueError::NoWork)));
}

#[test]
fn a_receipt_proves_that_the_work_is_part_of_a_complete_tree() {
    let bench = Bench::new();
    let mut entries = Vec::new();
    while let Ok(issued) = bench.engine.issue(&IssueRequest::new(b"anna", High)) {
        bench.clock.advance(3_000);
        let accepted = bench.engine.submit(&Answer::new(b"anna", &solve(&issued))).unwrap();
        let Receipt::Accepted(entry) = bench.engine.receipt(accepted.id).unwrap() else {
            panic!("no receipt");
        };
        entries.push((entry.row, solve(&issued)));
    }
    assert_eq!(bench.engine.proof_of(&entries[0].0).unwrap(), None, "the tree is not complete yet");
    bench.engine.upkeep().unwrap();
    assert_eq!(entries.len(), 3);
    for (row, result) in &entries {
        let found = bench.engine.proof_of(row).unwrap().unwrap();
        assert_eq!((found.leaf.0, found.commitment), (row.start, bench.engine.commitment("tree").unwrap()));
        assert_eq!(found.proof, bench.engine.prove("tree", found.leaf).unwrap());
        let shape = Shape::new(found.commitment.leaves).unwrap();
        found.proof.verify(shape, found.leaf, &result.leaf_hashes[0], &found.commitment.root).unwrap();
    }
    bench.engine.forget("tree").unwrap();
    assert_eq!(bench.engine.proof_of(&entries[0].0).unwrap(), None);
    let issued = bench.engine.issue(&IssueRequest::new(b"anna", Low).synthetic(true)).unwrap();
    assert_eq!(bench.engine.receipt(issued.unit.id).unwrap(), Receipt::Open);
    bench.clock.advance(60_001);
    bench.engine.sweep().unwrap();
    assert_eq!(bench.engine.receipt(issued.unit.id).unwrap(), Receipt::Unknown);
}
