//! Work as an honest client does it: ask, solve, answer.

use pouw::hash::sha3_512;
use pouw::protocol::{DifficultyTier, WorkResult, WorkUnit};
use pouw::solver::compute_work_unit;
use pouw::{Accepted, Answer, Exposure, IngestOptions, IssueError, IssueRequest, Issued, PouwEngine, SubmitError};

/// Smallest block size, bytes: the one most tests cut at.
pub const BLOCK: usize = 512;

/// The right answer to a unit.
pub fn solve(unit: &WorkUnit) -> WorkResult {
    compute_work_unit(unit).expect("the unit adds up")
}

/// The same answer with another top hash.
pub fn spoiled(result: &WorkResult) -> WorkResult {
    WorkResult { result_hash: sha3_512(b"something else"), ..result.clone() }
}

/// The unit in the document of a refusal.
pub fn unit_in(document: &[u8]) -> Option<WorkUnit> {
    let document: serde_json::Value = serde_json::from_slice(document).unwrap();
    document.get("workUnit").map(|unit| WorkUnit::from_json(unit.to_string().as_bytes()).unwrap())
}

/// Public blocks of [`BLOCK`] bytes, verified at ingest.
pub fn cut() -> IngestOptions {
    IngestOptions::new(Exposure::Public).block_size(BLOCK as u64)
}

/// `len` bytes, others for each `salt`.
pub fn pattern(len: usize, salt: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * 31 + salt) % 251) as u8).collect()
}

/// A unit for this client. The engine does its upkeep first.
pub fn issue(engine: &PouwEngine, client: &[u8], tier: DifficultyTier) -> Issued {
    try_issue(engine, client, tier).expect("there is work")
}

/// The same; `None` if nothing is left to hand out.
pub fn try_issue(engine: &PouwEngine, client: &[u8], tier: DifficultyTier) -> Option<Issued> {
    engine.upkeep().unwrap();
    match engine.issue(&IssueRequest::new(client, tier)) {
        Ok(issued) => Some(issued),
        Err(IssueError::NoWork) => None,
        Err(other) => panic!("{other}"),
    }
}

/// Made-up work for this client.
pub fn made_up(engine: &PouwEngine, client: &[u8], tier: DifficultyTier) -> Issued {
    engine.issue(&IssueRequest::new(client, tier).synthetic(true)).unwrap()
}

/// Solves the unit and submits the answer.
pub fn answer_right(engine: &PouwEngine, client: &[u8], unit: &WorkUnit) -> Result<Accepted, SubmitError> {
    engine.submit(&Answer::new(client, &solve(unit)))
}

/// The answer to the unit is refused as wrong.
pub fn answer_wrong(engine: &PouwEngine, client: &[u8], unit: &WorkUnit) {
    let refused = engine.submit(&Answer::new(client, &spoiled(&solve(unit))));
    assert!(matches!(refused, Err(SubmitError::WrongResult { .. })), "{refused:?}");
}

/// One unit for this client, and its right answer. Returns what it counted for.
pub fn work(engine: &PouwEngine, client: &[u8], tier: DifficultyTier) -> Accepted {
    let issued = issue(engine, client, tier);
    answer_right(engine, client, &issued.unit).unwrap()
}

/// Works off all that is left. Returns the number of units.
pub fn work_off(engine: &PouwEngine, client: &[u8], tier: DifficultyTier) -> u64 {
    let mut units = 0;
    while let Some(issued) = try_issue(engine, client, tier) {
        let accepted = answer_right(engine, client, &issued.unit).unwrap();
        assert_eq!(accepted.nodes, issued.unit.node_count);
        units += 1;
    }
    units
}
