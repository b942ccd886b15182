//! Leases that the engine holds for a while: whichever access of the disk fails meanwhile, none is left that no token
//! has, and the work is done in the end.

use std::sync::Arc;
use std::time::Duration;

use crate::support::clients::{HIGH, answer, apart, audited, blocks, exported_leaves, names};
use crate::support::house::{clock, open, parts};
use crate::support::work::BLOCK;
use pouw::hash::sha3_512;
use pouw::internal::engine::for_gate;
use pouw::internal::store::sim::SimDisk;
use pouw::{
    Answer, Exposure, FakeClock, IngestOptions, IssueRequest, Issued, PouwEngine, StoreOptions, Strategy, SubmitError,
};

const TTL: Duration = Duration::from_millis(60_001);
const WAIT: Duration = Duration::from_millis(600_000);
const STRATEGIES: [Strategy; 3] =
    [Strategy::Precomputed, Strategy::SampledAudit { k: 2 }, Strategy::Redundant { quorum: 2 }];

/// An engine that finds every page on the disk, and reads it there.
struct Scene {
    disk: SimDisk,
    clock: Arc<FakeClock>,
    engine: PouwEngine,
}

impl Scene {
    fn new(strategy: Strategy) -> Self {
        let (disk, clock) = (SimDisk::new(), clock());
        let engine = Self::open(&disk, &clock);
        let options = IngestOptions::new(Exposure::Public).block_size(BLOCK as u64).strategy(strategy);
        let data = data();
        let given: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        engine.ingest_blocks(&options, "t", &given).unwrap();
        Self { disk, clock, engine }
    }

    fn open(disk: &SimDisk, clock: &Arc<FakeClock>) -> PouwEngine {
        let parts = parts(Arc::new(disk.clone()), clock);
        open(
            parts.options(StoreOptions::new().state_cache_bytes(0).blocks_cache_bytes(0)),
            audited(1).quorum_wait(WAIT),
        )
    }

    fn reopen(&mut self) {
        self.engine.close();
        self.engine = Self::open(&self.disk, &self.clock);
    }

    fn unit(&self, who: u64) -> Issued {
        self.engine.upkeep().unwrap();
        let (client, network) = names(who);
        self.engine.issue(&IssueRequest::new(&client, HIGH).network(&network)).unwrap()
    }

    fn answer(&self, who: u64, issued: &Issued) -> Result<pouw::Accepted, SubmitError> {
        let (client, network) = names(who);
        self.engine.submit(&Answer::new(&client, &answer(issued, |_| {})).network(&network))
    }

    /// Lets the `nth` access fail while `act` runs. Returns whether it was reached.
    fn failing(&self, nth: u64, act: impl FnOnce()) -> bool {
        let before = self.disk.hits();
        self.disk.fail_io(nth, false);
        act();
        self.disk.heal();
        self.disk.hits() > before
    }

    /// Every token expires; then no lease is left, all work can be done, and it is right.
    fn assert_nothing_is_lost(&mut self, what: &str) {
        self.clock.advance(TTL);
        // The first after a failure opens the storage again.
        let _ = self.engine.sweep();
        if self.engine.stats().closed {
            // A sync failed: nothing is written before the next open.
            self.reopen();
        }
        self.engine.sweep().unwrap();
        let leases = self.engine.stats().leases;
        assert_eq!(leases, 0, "{what}: a lease is left that no token has");
        for _ in 0..3 {
            for who in 11..=13 {
                loop {
                    self.engine.upkeep().unwrap();
                    let (client, network) = names(apart(who));
                    let request = IssueRequest::new(&client, HIGH).network(&network);
                    let Ok(issued) = self.engine.issue(&request) else { break };
                    self.answer(apart(who), &issued).unwrap();
                }
            }
            self.clock.advance(TTL);
            self.engine.sweep().unwrap();
        }
        while self.engine.upkeep().unwrap().completed > 0 {}
        let expected: Vec<_> = data().iter().map(|block| sha3_512(block)).collect();
        assert_eq!(exported_leaves(&self.engine, "t"), expected, "{what}");
        self.engine.close();
    }
}

fn data() -> Vec<Vec<u8>> {
    blocks(40, 9)
}

/// Runs the scenario with the first access failing, the second, and so on, until none is reached.
fn each_access(strategy: Strategy, scenario: fn(&mut Scene, u64) -> bool) {
    for nth in 1.. {
        assert!(nth < 2_000, "it never ends");
        let mut scene = Scene::new(strategy);
        let reached = scenario(&mut scene, nth);
        scene.assert_nothing_is_lost(&format!("{strategy}, access {nth}"));
        if !reached {
            assert!(nth > 3, "the scenario reads nothing");
            return;
        }
    }
}

#[test]
fn an_access_that_fails_while_a_token_of_an_earlier_boot_is_adopted_leaves_no_lease() {
    for strategy in STRATEGIES {
        each_access(strategy, |scene, nth| {
            let issued = scene.unit(apart(1));
            scene.reopen();
            scene.failing(nth, || drop(scene.answer(apart(1), &issued)))
        });
    }
}

#[test]
fn an_access_that_fails_while_a_unit_is_sent_again_leaves_no_lease() {
    for strategy in STRATEGIES {
        each_access(strategy, |scene, nth| {
            let issued = scene.unit(apart(1));
            scene.reopen();
            let (client, _) = names(apart(1));
            scene.failing(nth, || drop(for_gate(&scene.engine).reissue(&client, &issued.unit.challenge_token)))
        });
    }
}

#[test]
fn an_access_that_fails_while_the_server_ends_a_quorum_leaves_no_lease() {
    each_access(Strategy::Redundant { quorum: 2 }, |scene, nth| {
        let issued = scene.unit(apart(1));
        scene.answer(apart(1), &issued).unwrap();
        scene.clock.advance(WAIT);
        scene.failing(nth, || drop(scene.engine.sweep()))
    });
}

#[test]
fn an_access_that_fails_while_leaves_are_verified_before_an_export_leaves_no_lease() {
    for strategy in [Strategy::SampledAudit { k: 2 }, Strategy::Redundant { quorum: 2 }] {
        each_access(strategy, |scene, nth| {
            for who in [1, 2] {
                while let Ok(issued) = {
                    scene.engine.upkeep().unwrap();
                    let (client, network) = names(apart(who));
                    scene.engine.issue(&IssueRequest::new(&client, HIGH).network(&network))
                } {
                    scene.answer(apart(who), &issued).unwrap();
                }
            }
            scene.engine.upkeep().unwrap();
            scene.failing(nth, || drop(scene.engine.export_leaves("t", &mut |_| Ok(()))))
        });
    }
}

#[test]
fn a_token_of_an_earlier_boot_is_adopted_once_however_often_it_is_looked_at() {
    let mut scene = Scene::new(Strategy::Precomputed);
    let issued = scene.unit(apart(1));
    scene.reopen();
    let (client, _) = names(apart(1));
    let gate = for_gate(&scene.engine);
    let inspected = gate.inspect(&client, &issued.unit.challenge_token, 0).unwrap();
    for _ in 0..2 {
        gate.check_open(&inspected).unwrap();
        assert_eq!(scene.engine.stats().leases, 1, "the token has it");
    }
    scene.answer(apart(1), &issued).unwrap();
    assert_eq!(scene.engine.stats().leases, 0);
    scene.assert_nothing_is_lost("adopted by a look");
}
