//! One block, one request over its limit and one answer on their way through the package, for
//! tracing: `.ci/trips` counts the files that each enters.
//!
//! cargo run --features gate --example trips

use pouw::protocol::{ByTier, WorkUnit, header};
use pouw::{Caller, Config, Decision, Exposure, Gate, GateConfig, Head, IngestOptions, PouwEngine, Step};
use std::error::Error;
use std::time::Duration;

/// A request, with the headers of an answer if it has one.
struct Request(Vec<(&'static str, String)>);

impl Head for Request {
    fn method(&self) -> &str {
        "GET"
    }
    fn path(&self) -> &str {
        "/"
    }
    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        let found = self.0.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.for_each(|(_, value)| each(value.as_bytes()));
    }
    fn has_body(&self) -> bool {
        false
    }
}

fn decided(gate: &Gate, request: &Request) -> Result<Decision, Box<dyn Error>> {
    match gate.on_request(request, &Caller::from_peer(Some([192, 0, 2, 1].into()))) {
        Step::Decided(decision) => Ok(decision),
        Step::Judge(pending) => Ok(pending.wait()),
        Step::Exempt | Step::Body(_) => Err("it is neither exempt nor has it a body".into()),
    }
}

/// From bytes of the host to a unit that can be sent.
#[inline(never)]
fn a_block(engine: &PouwEngine) -> Result<(), Box<dyn Error>> {
    engine.ingest_bytes(&IngestOptions::new(Exposure::Public).block_size(512), "block", &[7; 512])?;
    engine.refill()?;
    Ok(())
}

/// From a request over its limit to the response with a challenge.
#[inline(never)]
fn a_request(gate: &Gate) -> Result<Vec<u8>, Box<dyn Error>> {
    match decided(gate, &Request(Vec::new()))? {
        Decision::Refuse(refusal) => Ok(refusal.body),
        Decision::Pass(_) => Err("it is within its limit".into()),
    }
}

/// From the answer to the response, which is sent after the commit.
#[inline(never)]
fn an_answer(gate: &Gate, headers: Vec<(&'static str, String)>) -> Result<(), Box<dyn Error>> {
    match decided(gate, &Request(headers))? {
        Decision::Pass(pass) => {
            pass.headers(gate);
            Ok(())
        }
        Decision::Refuse(refusal) => Err(String::from_utf8_lossy(&refusal.body).into()),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let config = Config::builder([7; 32]).background(false).floor(ByTier::all(Duration::ZERO)).build()?;
    let engine = PouwEngine::open(directory.path(), config)?;
    a_block(&engine)?;
    let gate = Gate::new(engine, GateConfig::builder().rate_limit(1).window(Duration::from_secs(3_600)).build()?)?;
    let _within = decided(&gate, &Request(Vec::new()))?;
    let body: serde_json::Value = serde_json::from_slice(&a_request(&gate)?)?;
    let unit = WorkUnit::from_json(body["workUnit"].to_string().as_bytes())?;
    let result = pouw::solver::compute_work_unit(&unit)?;
    an_answer(&gate, vec![(header::RESPONSE, result.challenge_token.clone()), (header::RESULT, result.to_compact())])
}
