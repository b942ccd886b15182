//! Planted mistakes about what comes back, is held for a while, or is removed in steps, each caught: a scenario holds
//! without the mistake and fails with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use parking_lot::Mutex;

use crate::support::clients::{HIGH, answer, apart, audited, blocks, names};
use crate::support::disk::{Access, Hooked, after_power_cut};
use crate::support::house::{House, clock, config, open, parts};
use crate::support::model::ensure;
use crate::support::store_plant::{BLOCKS, LEDGER, ReadableTable, SUMS, plant};
use crate::support::work::{answer_right, answer_wrong, issue, made_up};
use pouw::internal::engine::for_gate;
use pouw::internal::engine::testing::Mistake;
use pouw::internal::store::sim::SimDisk;
use pouw::internal::store::{CHORE_DROP, Command, Damage, RedbStore, Store as _, StoreMistake};
use pouw::protocol::DifficultyTier::{High, Low};
use pouw::protocol::MicroJoules;
use pouw::{ConfigBuilder, IssueRequest, StoreOptions, Strategy, SubmitError};

/// `Err` says what went wrong.
type Step = Result<(), String>;

/// The scenario holds; with the mistake it does not, and says `symptom`.
fn caught(mistake: Mistake, symptom: &str, scenario: fn(ConfigBuilder) -> Step) {
    assert_eq!(scenario(audited(1)), Ok(()));
    let found = scenario(audited(1).mistake(mistake)).expect_err("the mistake was not caught");
    assert!(found.contains(symptom), "caught by something else: {found}");
}

/// The same for a mistake inside a commit.
fn caught_in_store(mistake: StoreMistake, symptom: &str, scenario: fn(Option<StoreMistake>) -> Step) {
    assert_eq!(scenario(None), Ok(()));
    let found = scenario(Some(mistake)).expect_err("the mistake was not caught");
    assert!(found.contains(symptom), "caught by something else: {found}");
}

fn store_on(disk: &SimDisk, mistake: Option<StoreMistake>) -> RedbStore {
    let store = RedbStore::open(Arc::new(disk.clone()), StoreOptions::default()).unwrap();
    mistake.into_iter().for_each(|mistake| store.make(mistake));
    store
}

/// Flips a bit of the first leaf of the first tree.
fn flip(house: &mut House) {
    house.engine.close();
    plant(&house.store().join("blocks.redb"), |txn| {
        // Without checksums: only the hashes tell.
        txn.delete_table(SUMS).unwrap();
        let mut table = txn.open_table(BLOCKS).unwrap();
        let mut bytes = table.get((0, 0)).unwrap().unwrap().value().to_vec();
        bytes[7] ^= 1;
        table.insert((0, 0), bytes.as_slice()).unwrap();
    });
    house.reopen();
}

/// The other leaves of a unit that is withdrawn for one of them are for others.
fn a_withdrawn_unit_comes_back(config: ConfigBuilder) -> Step {
    let mut house = House::in_directory(config);
    house.ingest(Strategy::Precomputed, "t", &blocks(32, 1));
    flip(&mut house);
    let issued = house.issue(apart(1), HIGH).unwrap();
    let refused = house.submit(apart(1), &answer(&issued, |_| {}));
    ensure!(matches!(refused, Err(SubmitError::Withdrawn)), "damaged data came to {refused:?}");
    while let Some(issued) = house.issue(apart(2), HIGH) {
        house.submit(apart(2), &answer(&issued, |_| {})).map_err(|e| format!("a leaf beside it came to {e}"))?;
    }
    let tree = house.engine.tree("t").unwrap();
    ensure!(tree.pending == 0, "{} leaves of a withdrawn unit are lost", tree.pending);
    ensure!(tree.provenance.damaged == 1, "{} leaves are damaged", tree.provenance.damaged);
    Ok(())
}

#[test]
fn losing_the_work_of_an_answer_refused_as_withdrawn_is_caught() {
    caught(Mistake::WithdrawnIsLost, "31 leaves of a withdrawn unit are lost", a_withdrawn_unit_comes_back);
}

/// A damaged leaf is handed out once.
fn a_fault_is_looked_at(config: ConfigBuilder) -> Step {
    let mut house = House::in_directory(config);
    house.ingest(Strategy::Precomputed, "t", &blocks(1, 1));
    flip(&mut house);
    let mut issues = 0;
    for _ in 0..10 {
        while let Some(issued) = house.issue(apart(1), HIGH).filter(|_| issues < 50) {
            issues += 1;
            drop(house.submit(apart(1), &answer(&issued, |_| {})));
        }
        house.clock.advance(Duration::from_secs(1));
        house.engine.sweep().unwrap();
    }
    ensure!(issues == 1, "a damaged leaf was handed out {issues} times");
    Ok(())
}

#[test]
fn giving_a_unit_back_at_once_by_the_servers_own_fault_is_caught() {
    caught(Mistake::FaultIsForgotten, "a damaged leaf was handed out 50 times", a_fault_is_looked_at);
}

/// A token of before is adopted while the disk fails at any one access.
fn an_adoption_that_fails_leaves_nothing(config: ConfigBuilder) -> Step {
    for nth in 1..1_000 {
        let (disk, clock) = (SimDisk::new(), clock());
        let engine = || {
            let options = StoreOptions::new().state_cache_bytes(0).blocks_cache_bytes(0);
            open(parts(Arc::new(disk.clone()), &clock).options(options), config.clone())
        };
        let first = engine();
        first.ingest_bytes(&crate::support::work::cut(), "t", &[1; 512]).unwrap();
        let issued = issue(&first, b"client", High);
        first.close();
        let second = engine();
        let hits = disk.hits();
        disk.fail_io(nth, false);
        drop(answer_right(&second, b"client", &issued.unit));
        disk.heal();
        clock.advance(Duration::from_millis(60_001));
        // The first sweep after a failure opens the storage again.
        let _ = second.sweep();
        if second.stats().closed {
            // A sync failed: nothing goes on before the next open.
            continue;
        }
        second.sweep().unwrap();
        let leases = second.stats().leases;
        ensure!(leases == 0, "{leases} leases are left that no token has, access {nth}");
        if disk.hits() == hits {
            return Ok(());
        }
    }
    Err("it never ends".into())
}

#[test]
fn keeping_the_lease_of_an_adoption_that_failed_is_caught() {
    caught(Mistake::AdoptionKeepsLease, "1 leases are left", an_adoption_that_fails_leaves_nothing);
}

/// A second failure of a client comes while the first is being written.
fn a_standing_that_changes_while_it_is_written_is_written_again(config: ConfigBuilder) -> Step {
    let (disk, clock) = (SimDisk::new(), clock());
    let (reach, reached) = channel();
    let (free, freed) = channel::<()>();
    let (armed, freed) = (Arc::new(AtomicBool::new(false)), Mutex::new(freed));
    let arm = armed.clone();
    let hooked = Hooked::new(Arc::new(disk.clone()), move |access| {
        if access == Access::Change && armed.swap(false, Ordering::SeqCst) {
            reach.send(()).unwrap();
            freed.lock().recv().unwrap();
        }
    });
    let engine = open(parts(Arc::new(hooked), &clock), config.clone());
    let units = [(); 2].map(|()| made_up(&engine, b"client", Low).unit);
    answer_wrong(&engine, b"client", &units[0]);
    arm.store(true, Ordering::SeqCst);
    // The writer begins by itself, half a second after the last job.
    reached.recv().unwrap();
    answer_wrong(&engine, b"client", &units[1]);
    let before = for_gate(&engine).standing(b"client");
    free.send(()).unwrap();
    engine.close();
    let engine = open(parts(Arc::new(disk.clone()), &clock), config);
    let after = for_gate(&engine).standing(b"client");
    ensure!(after == before, "a standing changed while it was written: {after:?} instead of {before:?}");
    Ok(())
}

#[test]
fn losing_a_standing_that_changes_while_it_is_written_is_caught() {
    caught(
        Mistake::StandingLost,
        "a standing changed while it was written",
        a_standing_that_changes_while_it_is_written_is_written_again,
    );
}

/// Of two trees of eight leaves the one with damaged leaves is forgotten.
fn a_forgotten_tree_takes_its_pending_leaves_along(mistake: Option<StoreMistake>) -> Step {
    let house = House::with(config());
    house.ingest(Strategy::Precomputed, "rotten", &blocks(8, 1));
    house.ingest(Strategy::Precomputed, "sound", &blocks(8, 2));
    house.engine.close();
    let store = store_on(&house.disk, mistake);
    let damage = Command::Damage(Damage { tree: 0, tile: 0, mask: 0b111 });
    store.apply(&[damage], 0).unwrap();
    ensure!(store.head().totals.pending == 13, "{} leaves are pending", store.head().totals.pending);
    store.apply(&[Command::Forget { tree: 0 }], 0).unwrap();
    let pending = store.head().totals.pending;
    ensure!(pending == 8, "{pending} leaves are pending after a tree was forgotten");
    Ok(())
}

#[test]
fn counting_damaged_leaves_of_a_forgotten_tree_as_pending_is_caught() {
    let symptom = "5 leaves are pending after a tree was forgotten";
    caught_in_store(StoreMistake::ForgetCountsDamaged, symptom, a_forgotten_tree_takes_its_pending_leaves_along);
}

/// The data of a tree is dropped in steps, with an end of the process between any two of them.
fn dropped_data_goes_to_its_last_row(mistake: Option<StoreMistake>) -> Step {
    let house = House::with(audited(1));
    house.ingest(Strategy::SampledAudit { k: 1 }, "t", &blocks(96, 1));
    house.drain(apart(1)..apart(1) + 1);
    house.engine.release("t").unwrap();
    house.engine.close();
    let mut steps = 0;
    loop {
        let store = store_on(&house.disk, mistake);
        if !store.read().unwrap().has_chore(CHORE_DROP, 0).unwrap() {
            let claims = store.read().unwrap().claims(0, 0, 10).unwrap().len();
            ensure!(claims == 0, "{claims} rows of a tree are left that nothing removes, after {steps} steps");
            ensure!(steps > 1, "it was done in one step");
            return Ok(());
        }
        steps += 1;
        ensure!(steps < 20, "it never ends");
        store.apply(&[Command::DropData { tree: 0, limit: 1 }], 0).unwrap();
        store.close();
    }
}

#[test]
fn removing_the_chore_of_dropping_data_too_early_is_caught() {
    caught_in_store(StoreMistake::DropChoreEarly, "rows of a tree are left", dropped_data_goes_to_its_last_row);
}

/// The power is cut in the middle of a round of a checkpoint.
fn balances_survive_half_a_checkpoint(mistake: Option<StoreMistake>) -> Step {
    let house = House::with(config());
    let clients: Vec<Vec<u8>> = (0..4).map(|who| names(who).0).collect();
    for client in &clients {
        let request = IssueRequest::new(client, Low).synthetic(true);
        let issued = house.engine.issue(&request).unwrap();
        answer_right(&house.engine, client, &issued.unit).map_err(|e| e.to_string())?;
    }
    let balance = |client: &Vec<u8>| house.engine.balance(client).unwrap().0;
    ensure!(clients.iter().all(|client| balance(client) > 0), "nobody was paid");
    let disk = after_power_cut(&house.disk);
    let store = store_on(&disk, mistake);
    store.apply(&[Command::Checkpoint { limit: 1 }], 0).unwrap();
    let left = after_power_cut(&disk);
    drop(store);
    let store = store_on(&left, None);
    for client in &clients {
        let found = store.client(house.engine.client_digest(client)).unwrap().balance;
        ensure!(found == balance(client), "a client has {found} after half a checkpoint");
    }
    Ok(())
}

#[test]
fn moving_the_checkpoint_before_its_round_is_through_is_caught() {
    caught_in_store(
        StoreMistake::CheckpointEarly,
        "a client has 0 after half a checkpoint",
        balances_survive_half_a_checkpoint,
    );
}

/// The oldest entry of the ledger does not decode.
fn sealing_goes_past_a_damaged_entry(mistake: Option<StoreMistake>) -> Step {
    let house = House::in_directory(config());
    for at in 0..10 {
        house.engine.debit(b"debtor", MicroJoules(0), [at; 16]).unwrap();
    }
    house.engine.close();
    plant(&house.store().join("state.redb"), |txn| {
        txn.open_table(LEDGER).unwrap().insert(0, &b"no entry"[..]).unwrap();
    });
    let store = RedbStore::open(house.storage(), StoreOptions::default()).unwrap();
    mistake.into_iter().for_each(|mistake| store.make(mistake));
    let sealed = store.apply(&[Command::SealLedger { keep: 4, limit: 100 }], 0);
    ensure!(sealed.is_ok(), "sealing stopped: {sealed:?}");
    ensure!(store.head().anchor == 6, "the ledger is sealed up to {}", store.head().anchor);
    Ok(())
}

#[test]
fn stopping_at_an_entry_that_does_not_decode_is_caught() {
    caught_in_store(StoreMistake::RowStopsSealing, "sealing stopped", sealing_goes_past_a_damaged_entry);
}
