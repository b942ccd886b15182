//! A store with a backlog, gates in front of it, and clients that are over their limit.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use pouw::protocol::{ByTier, DifficultyTier, Reason, WorkUnit, header};
use pouw::solver::compute_work_unit;
use pouw::{
    Caller, Config, Decision, Exposure, Gate, GateConfig, GateConfigBuilder, Head, IngestOptions, PouwEngine, Refusal,
    Step,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tempfile::TempDir;

use super::failure::Failure;

/// Bytes of every leaf.
pub const LEAF_BYTES: u64 = 512;
/// Leaves that are never issued, so that no tree is completed and folded while the clock runs.
const SPARE_LEAVES: u64 = 32 * 512;
/// Units kept ready.
const READY_UNITS: usize = 1_024;
/// The longest window: no client's slot frees while the bench runs.
pub const DAY_MS: u64 = 86_400_000;

/// A real engine on a real store, in a temporary directory that goes with it.
pub struct Rig {
    pub engine: PouwEngine,
    directory: TempDir,
}

impl Rig {
    /// A store below `place` with `leaves` pending leaves, of which every client gets units of one tier.
    pub fn open(place: &Path, leaves: u64, tier: DifficultyTier) -> Result<Self, Failure> {
        let rig = Self::empty(place, tier)?;
        let source = rig.directory.path().join("leaves");
        write_leaves(&source, leaves + SPARE_LEAVES)?;
        let options = IngestOptions::new(Exposure::Public).block_size(LEAF_BYTES);
        let sources = std::slice::from_ref(&source);
        let report = rig.engine.ingest_paths(&options, sources, &mut |_| ControlFlow::Continue(()))?;
        std::fs::remove_file(&source)?;
        if !report.is_clean() {
            return Err(Failure::failed("the backlog was not ingested; choose another directory with --dir"));
        }
        rig.engine.refill()?;
        Ok(rig)
    }

    /// The same without a backlog.
    pub fn empty(place: &Path, tier: DifficultyTier) -> Result<Self, Failure> {
        let directory = tempfile::Builder::new().prefix("pouw-bench-").tempdir_in(place)?;
        let mut secret = vec![0; 32];
        getrandom::fill(&mut secret).map_err(|e| Failure::failed(format!("the system gave no random bytes: {e}")))?;
        let config = Config::builder(secret)
            .floor(ByTier::all(Duration::ZERO))
            .default_difficulty(tier)
            .max_difficulty(tier)
            .token_ttl(Duration::from_secs(3_600))
            .min_queue_depth(READY_UNITS)
            .ready_bytes_max(128 << 20)
            .waiting_answers_max(65_536)
            .build()?;
        let engine = PouwEngine::open(directory.path().join("store"), config)?;
        Ok(Self { engine, directory })
    }

    /// A gate in front of it.
    pub fn gate(&self, settings: GateConfigBuilder) -> Result<Gate, Failure> {
        Ok(Gate::new(self.engine.clone(), settings.build()?)?)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.engine.close();
    }
}

/// One request a day for each client, and other limits so high that no client reaches them.
pub fn unhindered() -> GateConfigBuilder {
    GateConfig::builder()
        .rate_limit(1)
        .window(Duration::from_millis(DAY_MS))
        .paid_admissions_per_window(1_000_000)
        .paid_admissions_per_prefix(1_000_000)
        .paid_admissions_in_all(1_000_000)
        .bytes_per_minute(1 << 40)
        .prefix_bytes_per_minute(1 << 40)
        .bytes_per_second(1 << 40)
        .bytes_in_flight(1 << 40)
        .open_challenges(64, 64)
        .waiting_answers_max(65_536)
        // Made-up work would be no useful hash.
        .synthetic(false)
}

/// Address of the client with this number; 256 of them share a network.
pub fn address(client: u32) -> IpAddr {
    let [_, b, c, d] = client.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, b, c, d))
}

/// A GET request, with an answer in its headers or without.
pub struct Knock<'a> {
    answer: Option<(&'a str, &'a str)>,
}

impl Head for Knock<'_> {
    fn method(&self) -> &str {
        "GET"
    }

    fn path(&self) -> &str {
        "/"
    }

    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        match (name, self.answer) {
            (header::ACCEPT, _) => each(b"subtree_hash"),
            (header::RESPONSE, Some((token, _))) => each(token.as_bytes()),
            (header::RESULT, Some((_, result))) => each(result.as_bytes()),
            _ => {}
        }
    }

    fn has_body(&self) -> bool {
        false
    }
}

/// The outcome of a request without an answer.
pub enum Asked {
    Passed,
    Challenged(Box<WorkUnit>),
    Refused(Reason),
}

/// Asks for the service, with nothing to show.
pub fn ask(gate: &Gate, client: u32) -> Result<Asked, Failure> {
    match gate.on_request(&Knock { answer: None }, &caller(client)) {
        Step::Decided(Decision::Pass(_)) => Ok(Asked::Passed),
        Step::Decided(Decision::Refuse(refusal)) if refusal.token().is_some() => {
            Ok(Asked::Challenged(Box::new(unit_in(&refusal.body)?)))
        }
        Step::Decided(Decision::Refuse(Refusal { reason, .. })) => Ok(Asked::Refused(reason)),
        _ => Err(Failure::failed("the gate asked for more of a request without an answer")),
    }
}

/// Asks until a challenge comes. Returns it, and how often there was no work because the ring had to be filled.
pub fn challenge(gate: &Gate, client: u32) -> Result<(WorkUnit, u64), Failure> {
    let mut dry = 0;
    loop {
        match ask(gate, client)? {
            Asked::Challenged(unit) => return Ok((*unit, dry)),
            // The one request that every client has.
            Asked::Passed => {}
            Asked::Refused(Reason::NoWork) if dry < DRY_MAX => {
                dry += 1;
                if gate.engine().refill()? == 0 {
                    std::thread::park_timeout(Duration::from_millis(1));
                }
            }
            Asked::Refused(reason) => return Err(Failure::failed(format!("no challenge: {}", reason.as_str()))),
        }
    }
}

/// An answer ready to be handed in.
pub struct Solved {
    pub client: u32,
    pub token: String,
    /// The result in the compact form.
    pub result: String,
    /// Hashes its unit asks for.
    pub nodes: u64,
}

pub fn solve(client: u32, unit: &WorkUnit) -> Result<Solved, Failure> {
    let result = compute_work_unit(unit)?;
    Ok(Solved { client, token: unit.challenge_token.clone(), result: result.to_compact(), nodes: unit.node_count })
}

impl Solved {
    /// Hands the answer to the gate and waits for the verdict: nothing if it is accepted, else what the gate says.
    pub fn answer(&self, gate: &Gate) -> Result<(), Failure> {
        let knock = Knock { answer: Some((&self.token, &self.result)) };
        let decision = match gate.on_request(&knock, &caller(self.client)) {
            Step::Judge(pending) => pending.wait(),
            Step::Decided(decision) => decision,
            _ => return Err(Failure::failed("the gate asked for the body of an answer in the headers")),
        };
        match decision {
            Decision::Pass(pass) if pass.accepted.is_some() => Ok(()),
            Decision::Refuse(refusal) => {
                Err(Failure::failed(format!("an answer was refused: {}", refusal.reason.as_str())))
            }
            _ => Err(Failure::failed("an answer went through without being accepted")),
        }
    }
}

fn caller(client: u32) -> Caller<'static> {
    Caller::from_peer(address(client))
}

/// The unit in the body of a 429.
pub fn unit_in(body: &[u8]) -> Result<WorkUnit, Failure> {
    #[derive(Deserialize)]
    struct Problem<'b> {
        #[serde(borrow, rename = "workUnit")]
        unit: &'b RawValue,
    }
    let problem: Problem<'_> = serde_json::from_slice(body)?;
    Ok(WorkUnit::from_json(problem.unit.get().as_bytes())?)
}

/// How often a client asks again in a row when there is no work: a few seconds.
const DRY_MAX: u64 = 5_000;

/// Writes leaves that are all different.
fn write_leaves(path: &Path, leaves: u64) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..leaves * LEAF_BYTES / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.write_all(&state.to_le_bytes())?;
    }
    out.flush()
}
