//! A gate on a faulty disk and a fake clock, asked in process, with its events.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::house::{clock, config, on_disk};
use super::patience::until;
use super::work::{self, cut, solve};
use pouw::internal::gate::{Facts, Presented, ResultText, decide};
use pouw::internal::store::sim::SimDisk;
use pouw::protocol::{WorkResult, WorkUnit};
use pouw::{
    ClientKey, Decision, FakeClock, Gate, GateConfig, GateConfigBuilder, GateEvent, GateEventSink, GateRuntime,
    HealthCondition, NetworkPrefix, Pass, PouwEngine, Refusal, Verdict,
};

/// Long enough that no test leaves it by accident.
pub const WINDOW_MS: u64 = 3_600_000;
/// The address of clients that no test distinguishes.
pub const ADDRESS: &str = "192.0.2.7";

/// A gate with a limit of one request, and an engine with floors of zero and a backlog of 640 leaves.
pub struct Desk {
    pub disk: SimDisk,
    pub clock: Arc<FakeClock>,
    pub engine: PouwEngine,
    pub gate: Gate,
    events: Arc<Mutex<Vec<GateEvent>>>,
    change: fn(GateConfigBuilder) -> GateConfigBuilder,
}

impl Desk {
    pub fn new() -> Self {
        Self::with(|config| config)
    }

    pub fn with(change: fn(GateConfigBuilder) -> GateConfigBuilder) -> Self {
        Self::with_parts(change, GateRuntime::default())
    }

    pub fn with_parts(change: fn(GateConfigBuilder) -> GateConfigBuilder, parts: GateRuntime) -> Self {
        let (disk, clock) = (SimDisk::new(), clock());
        let engine = on_disk(&disk, &clock, config());
        ingest(&engine, "tree", 640);
        let events = Arc::new(Mutex::new(Vec::new()));
        let gate = gate(&engine, change, parts, &events);
        Self { disk, clock, engine, gate, events, change }
    }

    /// Opens store and gate anew.
    pub fn restart(&mut self) {
        self.engine.close();
        self.engine = on_disk(&self.disk, &self.clock, config());
        self.engine.refill().unwrap();
        self.gate = gate(&self.engine, self.change, GateRuntime::default(), &self.events);
    }

    pub fn ask(&self) -> Decision {
        self.ask_from(ADDRESS)
    }

    pub fn ask_from(&self, address: &str) -> Decision {
        decide(&self.gate, facts(address)).wait()
    }

    /// Uses up the limit of one.
    pub fn use_up(&self) {
        assert!(passed(self.ask()).accepted.is_none());
    }

    /// A challenge of a client over its limit, with its right answer.
    pub fn challenge(&self) -> (WorkUnit, WorkResult) {
        solved(&refused(self.ask(), "work_required"))
    }

    pub fn answer(&self, result: &WorkResult) -> Decision {
        self.answer_from(ADDRESS, result)
    }

    pub fn answer_from(&self, address: &str, result: &WorkResult) -> Decision {
        let compact = Some(ResultText::Compact(result.to_compact()));
        self.present(address, &result.challenge_token, compact)
    }

    /// Presents a token, and waits for the verdict.
    pub fn present(&self, address: &str, token: &str, result: Option<ResultText>) -> Decision {
        let answer = Some(Presented { token: token.to_owned(), result });
        match decide(&self.gate, Facts { answer, ..facts(address) }) {
            Verdict::Judge(pending) => pending.wait(),
            other => panic!("{other:?} without a look at the token"),
        }
    }

    /// Sends a right answer until the store takes it: after a failure the writer opens it anew on its own time.
    pub fn answer_until_stored(&self, result: &WorkResult) -> Pass {
        let mut stored = None;
        until(|| {
            stored = accepted(self.answer(result));
            stored.is_some()
        });
        stored.expect("it was waited for")
    }

    /// Failures of the store in a row, as the health of the breaker tells them; `None` while it is open.
    pub fn failures(&self) -> Option<u32> {
        let breaker = self.gate.health().breaker;
        match breaker.detail.strip_prefix("closed, with ") {
            Some(rest) => Some(rest.split(' ').next().unwrap().parse().unwrap()),
            None if breaker.condition == HealthCondition::Healthy => Some(0),
            None => None,
        }
    }

    /// Sends a right answer that the store fails to take, until that has counted as one more failure. The same answer
    /// does so once: as long as its fate is not known it is in its own way.
    pub fn fail(&self, result: &WorkResult) {
        let before = self.failures().expect("closed");
        until(|| {
            refused(self.answer(result), "try_again");
            let now = self.failures();
            assert!(now.is_none_or(|now| now == before || now == before + 1), "{now:?} after {before}");
            now != Some(before)
        });
    }

    /// What happened since the last time this was called, by the paper's names.
    pub fn events(&self) -> Vec<GateEvent> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }

    /// Of those, the ones of that name.
    pub fn events_named(&self, name: &str) -> Vec<GateEvent> {
        self.events().into_iter().filter(|event| event.name() == name).collect()
    }
}

/// Leaves of 512 bytes, no two alike.
pub fn ingest(engine: &PouwEngine, name: &str, leaves: usize) -> Vec<u8> {
    let bytes: Vec<u8> = (0..512 * leaves).map(|at| (at / 512 % 251) as u8 ^ name.len() as u8).collect();
    engine.ingest_bytes(&cut(), name, &bytes).unwrap();
    engine.refill().unwrap();
    bytes
}

fn gate(
    engine: &PouwEngine,
    change: fn(GateConfigBuilder) -> GateConfigBuilder,
    parts: GateRuntime,
    events: &Arc<Mutex<Vec<GateEvent>>>,
) -> Gate {
    let config =
        GateConfig::builder().rate_limit(1).window(Duration::from_millis(WINDOW_MS)).paid_admissions_per_window(1_000);
    let heard = events.clone();
    let parts =
        parts.events(GateEventSink::new(move |event| heard.lock().unwrap().push(event.clone()))).ticked_by_host();
    Gate::with_runtime(engine.clone(), change(config).build().unwrap(), parts).unwrap()
}

pub fn facts(address: &str) -> Facts {
    let address: IpAddr = address.parse().unwrap();
    Facts::new(ClientKey::of_address(address, 64), NetworkPrefix::of(Some(address)))
}

/// A decision that lets the request through.
pub fn passed(decision: Decision) -> Pass {
    match decision {
        Decision::Pass(pass) => pass,
        other => panic!("{other:?}"),
    }
}

/// The same, if it is for work.
pub fn accepted(decision: Decision) -> Option<Pass> {
    match decision {
        Decision::Pass(pass) if pass.accepted.is_some() => Some(pass),
        _ => None,
    }
}

/// A refusal for that reason.
pub fn refused(decision: Decision, reason: &str) -> Refusal {
    match decision {
        Decision::Refuse(refusal) if refusal.reason.as_str() == reason => refusal,
        Decision::Refuse(other) => panic!("not {reason} but {} {}: {:?}", other.status, other.reason, other.headers),
        other => panic!("not {reason}: {other:?}"),
    }
}

/// A refusal that hands out no work.
pub fn plain(decision: Decision, reason: &str) -> Refusal {
    let refusal = refused(decision, reason);
    assert!(refusal.status == 429 && refusal.token().is_none() && unit_in(&refusal).is_none(), "{:?}", refusal.headers);
    refusal
}

pub fn unit_in(refusal: &Refusal) -> Option<WorkUnit> {
    work::unit_in(&refusal.body)
}

/// The unit in a refusal, and its right answer.
pub fn solved(refusal: &Refusal) -> (WorkUnit, WorkResult) {
    let unit = unit_in(refusal).unwrap_or_else(|| panic!("no unit beside {:?}", refusal.headers));
    let result = solve(&unit);
    (unit, result)
}

/// The breaker's changes among events, in order: true is opened.
pub fn changes(events: &[GateEvent]) -> Vec<(bool, u64)> {
    let change = |event: &GateEvent| match event {
        GateEvent::CircuitOpened { timestamp } => Some((true, *timestamp)),
        GateEvent::CircuitClosed { timestamp } => Some((false, *timestamp)),
        _ => None,
    };
    events.iter().filter_map(change).collect()
}
