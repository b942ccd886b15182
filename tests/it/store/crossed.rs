//! One access to the disk fails during a verb: the verb given again succeeds, no lease stays, and nothing is paid twice
//! or lost.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::support::clients::{HIGH, answer, apart, audited, blocks, exported_leaves, issue_to, names, noise, options};
use crate::support::house::{clock, open, parts};
use pouw::hash::sha3_512;
use pouw::internal::engine::for_gate;
use pouw::internal::engine::testing::backup_to;
use pouw::internal::store::sim::SimDisk;
use pouw::internal::store::{check, mend};
use pouw::{
    Answer, Exposure, FakeClock, IngestError, IngestOptions, Issued, PouwEngine, Receipt, StoreOptions, Strategy,
    SubmitError,
};

const TTL: Duration = Duration::from_millis(60_001);
const WAIT: Duration = Duration::from_millis(600_000);
const AUDIT: Strategy = Strategy::SampledAudit { k: 2 };
const PAIR: Strategy = Strategy::Redundant { quorum: 2 };
const GO: ControlFlow<()> = ControlFlow::Continue(());

/// A tree of 40 leaves on a disk of which every page is read again.
struct Scene {
    disk: SimDisk,
    clock: Arc<FakeClock>,
    engine: PouwEngine,
    issued: Option<Issued>,
}

impl Scene {
    fn new(strategy: Strategy) -> Self {
        let (disk, clock) = (SimDisk::new(), clock());
        let engine = engine_on(&disk, &clock);
        let scene = Self { disk, clock, engine, issued: None };
        let data = blocks(40, 9);
        let given: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        scene.engine.ingest_blocks(&options(strategy), "t", &given).unwrap();
        scene
    }

    /// A unit of the first client, from before a restart.
    fn issued_before(strategy: Strategy) -> Self {
        let mut scene = Self::new(strategy);
        scene.issued = issue_to(&scene.engine, apart(1), HIGH);
        scene.reopen();
        scene
    }

    /// All leaves are done, and below verified.
    fn worked_off(strategy: Strategy) -> Self {
        let scene = Self::new(strategy);
        scene.drain();
        scene
    }

    fn reopen(&mut self) {
        self.engine.close();
        self.engine = engine_on(&self.disk, &self.clock);
    }

    fn submit(&self, who: u64, issued: &Issued) -> Result<(), SubmitError> {
        let (client, network) = names(who);
        let result = answer(issued, |_| {});
        match self.engine.submit(&Answer::new(&client, &result).network(&network)) {
            // The one before was stored although that was not known.
            Err(SubmitError::Replayed) => match self.engine.receipt(issued.unit.id)? {
                Receipt::Accepted(_) | Receipt::Voted => Ok(()),
                other => panic!("used, but {other:?}"),
            },
            other => other.map(drop),
        }
    }

    fn drain(&self) {
        for _ in 0..3 {
            for who in 1..=3 {
                while let Some(issued) = issue_to(&self.engine, apart(who), HIGH) {
                    self.submit(apart(who), &issued).unwrap();
                }
            }
        }
        for _ in 0..3 {
            self.engine.upkeep().unwrap();
        }
    }

    /// The engine recovers by itself, or says that it stays closed and is started again.
    fn recover(&mut self) {
        self.disk.heal();
        // The first after a failure opens the storage again, the next waits for that.
        let recovered = (0..3).any(|_| self.engine.sweep().is_ok());
        if self.engine.stats().closed {
            self.reopen();
        } else {
            assert!(recovered, "the disk is well again, and the engine neither recovered nor said that it is closed");
        }
    }

    /// No lease is left, every answer has one entry, balances are what was paid, and the tree is right.
    fn assert_whole(mut self, what: &str) {
        self.clock.advance(TTL);
        self.engine.sweep().unwrap();
        assert_eq!(self.engine.stats().leases, 0, "{what}: a lease is left that no token has");
        self.drain();
        self.clock.advance(WAIT);
        self.engine.sweep().unwrap();
        self.drain();
        let expected: Vec<_> = blocks(40, 9).iter().map(|block| sha3_512(block)).collect();
        assert_eq!(exported_leaves(&self.engine, "t"), expected, "{what}");
        let entries = self.engine.ledger(0, 10_000).unwrap();
        let ids: BTreeSet<_> = entries.iter().map(|entry| entry.id).collect();
        assert_eq!(ids.len(), entries.len(), "{what}: something is paid twice");
        for who in 1..=3 {
            let (client, _) = names(apart(who));
            let digest = self.engine.client_digest(&client);
            let paid: u64 = entries.iter().filter(|entry| entry.client == digest).map(|entry| entry.amount.0).sum();
            assert_eq!(self.engine.balance(&client).unwrap().0, paid, "{what}: client {who}");
        }
        if let Some(issued) = self.issued.take() {
            let receipt = self.engine.receipt(issued.unit.id).unwrap();
            assert!(matches!(receipt, Receipt::Accepted(_)), "{what}: {receipt:?}");
        }
        self.engine.close();
        let report = check(Arc::new(self.disk.clone()), &mut |_| {}).unwrap();
        assert!(report.is_clean(), "{what}: {:?}", report.findings);
    }
}

fn engine_on(disk: &SimDisk, clock: &Arc<FakeClock>) -> PouwEngine {
    let options = StoreOptions::new().state_cache_bytes(0).blocks_cache_bytes(0);
    open(parts(Arc::new(disk.clone()), clock).options(options), audited(1).quorum_wait(WAIT))
}

fn said<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<(), String> {
    result.map(drop).map_err(|error| error.to_string())
}

/// Lets the first access fail while `verb` runs, then the `stride`th after it (the next, with `POUW_DAMAGE=all`), and so
/// on, until none is reached. The verb, given again, succeeds. Returns how often it failed the first time.
fn crossed(
    strategy: Strategy,
    stride: usize,
    scene: fn(Strategy) -> Scene,
    verb: fn(&mut Scene) -> Result<(), String>,
) -> u64 {
    let stride = if std::env::var("POUW_DAMAGE").is_ok_and(|all| all == "all") { 1 } else { stride };
    let mut failed = 0;
    for nth in (1..).step_by(stride) {
        let mut scene = scene(strategy);
        let hits = scene.disk.hits();
        scene.disk.fail_io(nth, false);
        failed += u64::from(verb(&mut scene).is_err());
        let reached = scene.disk.hits() > hits;
        scene.recover();
        let what = format!("{strategy}, access {nth}");
        let again = verb(&mut scene);
        assert!(again.is_ok(), "{what}: {again:?}");
        scene.assert_whole(&what);
        if !reached {
            return failed;
        }
    }
    failed
}

#[test]
fn an_answer_to_a_token_of_an_earlier_boot_counts_once_whichever_access_fails() {
    for strategy in [Strategy::Precomputed, AUDIT, PAIR] {
        let failed = crossed(strategy, 3, Scene::issued_before, |scene| {
            let issued = scene.issued.clone().expect("there was a unit");
            said(scene.submit(apart(1), &issued))
        });
        assert!(failed > 1, "{strategy}: {failed}");
    }
}

#[test]
fn a_unit_is_sent_again_and_answered_whichever_access_fails() {
    for strategy in [Strategy::Precomputed, AUDIT, PAIR] {
        let failed = crossed(strategy, 3, Scene::issued_before, |scene| {
            let issued = scene.issued.clone().expect("there was a unit");
            let (client, _) = names(apart(1));
            let again = for_gate(&scene.engine).reissue(&client, &issued.unit.challenge_token);
            match again {
                Ok(unit) => assert_eq!(unit.input_data, issued.unit.input_data),
                // It was answered before the access failed.
                Err(SubmitError::Replayed | SubmitError::Withdrawn) => {}
                Err(error) => return Err(error.to_string()),
            }
            said(scene.submit(apart(1), &issued))
        });
        assert!(failed > 1, "{strategy}: {failed}");
    }
}

#[test]
fn the_server_ends_a_quorum_and_pays_once_whichever_access_fails() {
    let voted = |strategy| {
        let mut scene = Scene::new(strategy);
        scene.issued = issue_to(&scene.engine, apart(1), HIGH);
        scene.submit(apart(1), scene.issued.as_ref().unwrap()).unwrap();
        scene.clock.advance(WAIT);
        scene
    };
    let failed = crossed(PAIR, 3, voted, |scene| {
        said(scene.engine.sweep())?;
        said(scene.engine.upkeep())
    });
    assert!(failed > 1, "{failed}");
}

#[test]
fn an_export_verifies_first_whichever_access_fails() {
    for strategy in [AUDIT, PAIR] {
        let failed = crossed(strategy, 7, Scene::worked_off, |scene| {
            let mut leaves = Vec::new();
            said(scene.engine.export_leaves("t", &mut |leaf| {
                leaves.push(*leaf);
                Ok(())
            }))?;
            let expected: Vec<_> = blocks(40, 9).iter().map(|block| sha3_512(block)).collect();
            if leaves == expected { Ok(()) } else { panic!("other leaves were exported") }
        });
        assert!(failed > 1, "{strategy}: {failed}");
    }
}

#[test]
fn a_tree_forgotten_during_its_ingest_leaves_nothing_whichever_access_fails() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("big"), noise(18 << 20, 1)).unwrap();
    PATH.set(directory.path().join("big")).unwrap();
    let failed = crossed(Strategy::Precomputed, 397, Scene::new, |scene| {
        let engine = scene.engine.clone();
        let options = IngestOptions::new(Exposure::Public).block_size(65_536);
        let ended = scene.engine.ingest_paths(&options, &[PATH.get().unwrap().clone()], &mut |_| {
            drop(engine.forget("big"));
            GO
        });
        // What an earlier try has left is forgotten too.
        drop(engine.forget("big"));
        match ended {
            Ok(_) | Err(IngestError::Forgotten { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
        while engine.upkeep().map_err(|error| error.to_string())?.removed > 0 {}
        let trees = engine.trees(None, 10).map_err(|error| error.to_string())?;
        if trees.len() == 1 { Ok(()) } else { Err(format!("{} trees are left", trees.len())) }
    });
    assert!(failed > 0, "{failed}");
}

/// The file of the test above.
static PATH: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();

#[test]
fn a_backup_is_whole_or_refused_whichever_access_to_its_store_fails() {
    for strategy in [Strategy::Precomputed, AUDIT, PAIR] {
        let failed = crossed(strategy, 3, Scene::issued_before, |scene| {
            let to = SimDisk::new();
            said(backup_to(&scene.engine, Arc::new(to.clone()), &mut |_| GO).map_err(|error| format!("{error:?}")))?;
            let report = check(Arc::new(to.clone()), &mut |_| {}).unwrap();
            assert!(report.is_clean(), "{:?}", report.findings);
            let copy = engine_on(&to, &scene.clock);
            assert_eq!(copy.ledger(0, 100).unwrap(), scene.engine.ledger(0, 100).map_err(|e| e.to_string())?);
            let issued = scene.issued.clone().expect("there was a unit");
            let (client, network) = names(apart(1));
            let there = copy.submit(&Answer::new(&client, &answer(&issued, |_| {})).network(&network));
            assert!(matches!(there, Err(SubmitError::OtherStore)), "{there:?}");
            said(scene.submit(apart(1), &issued))
        });
        assert!(failed > 1, "{strategy}: {failed}");
    }
}

#[test]
fn a_repair_is_whole_or_refused_whichever_access_fails() {
    for strategy in [Strategy::Precomputed, AUDIT, PAIR] {
        let failed = crossed(strategy, 5, Scene::issued_before, |scene| {
            scene.engine.close();
            let mended = mend(Arc::new(scene.disk.clone()), StoreOptions::default(), false);
            let faults = mended.as_ref().is_ok_and(|report| !report.is_clean());
            scene.disk.heal();
            scene.reopen();
            assert!(!faults, "a store without damage was changed: {mended:?}");
            said(mended)?;
            let issued = scene.issued.clone().expect("there was a unit");
            said(scene.submit(apart(1), &issued))
        });
        assert!(failed > 1, "{strategy}: {failed}");
    }
}
