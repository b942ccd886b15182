//! Ceilings and open challenges of a gate, in process.
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::support::house::{House, config};
use crate::support::work::{cut, solve, unit_in};
use pouw::internal::gate::{Facts, Presented, ResultText, decide};
use pouw::protocol::{ByTier, Reason, WorkResult, WorkUnit};
use pouw::{ClientKey, Decision, Gate, GateConfig, GateConfigBuilder, NetworkPrefix, Refusal};

const FLOOR_MS: u64 = 5_000;

struct Desk {
    gate: Gate,
    house: House,
}

impl Desk {
    fn new(change: fn(GateConfigBuilder) -> GateConfigBuilder) -> Self {
        Self::with_floor(0, change)
    }

    fn with_floor(floor_ms: u64, change: fn(GateConfigBuilder) -> GateConfigBuilder) -> Self {
        let house = House::in_directory(config().floor(ByTier::all(Duration::from_millis(floor_ms))));
        let engine = house.engine.clone();
        engine.ingest_bytes(&cut(), "backlog", &[3; 64 << 10]).unwrap();
        engine.refill().unwrap();
        let config =
            change(GateConfig::builder().rate_limit(1).window(Duration::from_millis(3_600_000))).build().unwrap();
        Self { gate: Gate::new(engine, config).unwrap(), house }
    }

    /// What client `number` of one network is told.
    fn ask(&self, number: u8, answer: Option<Presented>) -> Decision {
        let facts = Facts { answer, ..client(number) };
        decide(&self.gate, facts).wait()
    }

    fn refused(&self, number: u8, answer: Option<Presented>) -> Refusal {
        match self.ask(number, answer) {
            Decision::Refuse(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }

    /// The challenge of a client that has used up its limit.
    fn challenged(&self, number: u8) -> WorkUnit {
        let refusal = self.refused(number, None);
        assert_eq!(refusal.reason, Reason::WorkRequired, "client {number}");
        unit(&refusal)
    }
}

fn client(number: u8) -> Facts {
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, number));
    Facts::new(ClientKey::of_address(address, 64), NetworkPrefix::of(Some(address)))
}

fn unit(refusal: &Refusal) -> WorkUnit {
    unit_in(&refusal.body).expect("a unit")
}

fn presented(result: &WorkResult) -> Presented {
    Presented { token: result.challenge_token.clone(), result: Some(ResultText::Compact(result.to_compact())) }
}

#[test]
fn open_challenges_of_a_whole_network_stay_below_its_ceiling() {
    let desk = Desk::new(|config| config.paid_admissions_per_prefix(8).paid_admissions_per_window(3));
    for number in 0..20 {
        assert!(matches!(desk.ask(number, None), Decision::Pass(_)));
    }
    // Eight challenges, over three clients, are as many as the network may still pay for.
    let open: Vec<(u8, WorkUnit)> = [0, 0, 0, 1, 1, 1, 2, 2].map(|number| (number, desk.challenged(number))).into();
    assert_eq!(desk.refused(0, None).reason, Reason::Ceiling, "the client's own ceiling");
    assert_eq!(desk.refused(9, None).reason, Reason::Ceiling, "the network's");
    // A wrong answer is over: its place is the next one's, and that client's new challenge takes it.
    let mut wrong = solve(&open[7].1);
    wrong.result_hash = pouw::hash::sha3_512(b"wrong");
    let refusal = desk.refused(2, Some(presented(&wrong)));
    assert_eq!(refusal.reason, Reason::WrongResult);
    let again = unit(&refusal);
    assert_eq!(desk.refused(9, None).reason, Reason::Ceiling);
    // All eight are admitted, and that is all.
    for (number, unit) in open.iter().take(7).chain([&(2, again)]) {
        let decision = desk.ask(*number, Some(presented(&solve(unit))));
        assert!(matches!(decision, Decision::Pass(pass) if pass.accepted.is_some()), "client {number}");
    }
    assert_eq!(desk.refused(9, None).reason, Reason::Ceiling);
    assert_eq!(desk.gate.stats().completed, 8);
}

#[test]
fn a_challenge_that_expired_gives_its_place_below_the_ceiling_back() {
    let desk = Desk::new(|config| config.paid_admissions_per_prefix(2));
    for number in 0..4 {
        assert!(matches!(desk.ask(number, None), Decision::Pass(_)));
    }
    desk.challenged(0);
    desk.challenged(1);
    assert_eq!(desk.refused(2, None).reason, Reason::Ceiling);
    desk.house.clock.advance(Duration::from_millis(60_010));
    desk.gate.engine().sweep().unwrap();
    desk.challenged(2);
    desk.challenged(3);
    assert_eq!(desk.refused(1, None).reason, Reason::Ceiling);
}

#[test]
fn asking_for_a_challenge_a_thousand_times_gives_its_data_twice_and_then_the_token_alone() {
    let desk = Desk::new(|config| config);
    assert!(matches!(desk.ask(1, None), Decision::Pass(_)));
    let first = desk.challenged(1);
    let asking = Presented { token: first.challenge_token.clone(), result: None };
    let again = desk.refused(1, Some(asking.clone()));
    assert_eq!(unit(&again).input_data, first.input_data);
    for _ in 0..1_000 {
        let refusal = desk.refused(1, Some(asking.clone()));
        assert_eq!(refusal.token(), Some(first.challenge_token.as_str()));
        assert!(!String::from_utf8(refusal.body).unwrap().contains("\"workUnit\":"));
    }
    assert_eq!(desk.gate.stats().resent, 1);
}

#[test]
fn a_withdrawn_token_gives_one_challenge_without_a_second_floor_however_often_it_comes_back() {
    let desk = Desk::with_floor(FLOOR_MS, |config| config.paid_admissions_per_window(50).open_challenges(10, 1));
    assert!(matches!(desk.ask(1, None), Decision::Pass(_)));
    let withdrawn = presented(&solve(&desk.challenged(1)));
    desk.house.clock.advance(Duration::from_millis(FLOOR_MS));
    desk.gate.engine().forget("backlog").unwrap();
    // Made-up work takes its place; the second one, and all after it, have the floor of their tier.
    let waits: Vec<(Reason, u64)> = (0..4)
        .map(|_| {
            let refusal = desk.refused(1, Some(withdrawn.clone()));
            (refusal.reason, unit(&refusal).wait_ms)
        })
        .collect();
    assert_eq!(waits[0], (Reason::Withdrawn, 0));
    assert!(waits[1..].iter().all(|wait| wait.0 == Reason::Withdrawn && wait.1 >= FLOOR_MS), "{waits:?}");
}
