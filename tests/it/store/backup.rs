//! Copies of a store that is being used: what is in them, what counts there, and what a cut leaves of one.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::support::clients::{apart, audited, blocks, names, options};
use crate::support::disk::{Access, Hooked};
use crate::support::house::{House, config, in_directory};
use crate::support::patience::until;
use crate::support::work::{cut, issue, made_up, solve, work};
use parking_lot::Mutex;
use pouw::internal::store::sim::{Loss, SimDisk};
use pouw::internal::store::{BackupFailure, RedbStore, Store as _, check};
use pouw::protocol::DifficultyTier::{High, Low};
use pouw::protocol::WorkId;
use pouw::{
    Answer, BackupError, Event, IssueRequest, PouwEngine, Receipt, StoreError, StoreOptions, Strategy, SubmitError,
};

const GO: ControlFlow<()> = ControlFlow::Continue(());
const SUBMITTERS: u64 = 8;
const COPIES: usize = 5;

/// Answers made-up units for ever, so that there is always one to be paid.
fn keep_submitting(engine: &PouwEngine, who: u64, paid: &Mutex<BTreeSet<WorkId>>, over: &AtomicBool) {
    let (client, network) = names(apart(who));
    while !over.load(Ordering::SeqCst) {
        let issued = engine.issue(&IssueRequest::new(&client, Low).network(&network).synthetic(true)).unwrap();
        match engine.submit(&Answer::new(&client, &solve(&issued.unit)).network(&network)) {
            Ok(accepted) => drop(paid.lock().insert(accepted.id)),
            // Its tree was forgotten meanwhile.
            Err(SubmitError::Withdrawn) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

/// Puts trees in and takes them out again: block data comes and goes all the time.
fn keep_changing_trees(engine: &PouwEngine, over: &AtomicBool) {
    for number in 0_u64.. {
        if over.load(Ordering::SeqCst) {
            return;
        }
        let content = blocks(40, number);
        let slices: Vec<&[u8]> = content.iter().map(Vec::as_slice).collect();
        engine.ingest_blocks(&options(Strategy::SampledAudit { k: 1 }), &number.to_string(), &slices).unwrap();
        if let Some(old) = number.checked_sub(3) {
            engine.forget(&old.to_string()).unwrap();
        }
        engine.upkeep().unwrap();
    }
}

/// Ends the other threads when the test ends.
struct Ends<'o>(&'o AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn each_copy_of_a_busy_store_has_every_answer_acknowledged_before_it() {
    let house = House::in_directory(config());
    let (paid, over) = (Mutex::new(BTreeSet::new()), AtomicBool::new(false));
    let mut before = 0;
    thread::scope(|scope| {
        // Also when this thread fails.
        let _ended = Ends(&over);
        for who in 0..SUBMITTERS {
            let (engine, paid, over) = (&house.engine, &paid, &over);
            scope.spawn(move || keep_submitting(engine, who, paid, over));
        }
        scope.spawn(|| keep_changing_trees(&house.engine, &over));
        for number in 0..COPIES {
            until(|| paid.lock().len() > before + 50);
            let acknowledged = paid.lock().clone();
            before = acknowledged.len();
            let copy = house.path(&format!("copy {number}"));
            let report = house.engine.backup(&copy, &mut |_| GO).unwrap();
            assert!(report.rows > 0 && report.bytes > 0, "{report:?}");
            let checked = PouwEngine::check_store(&copy, &mut |_| {}).unwrap();
            assert!(checked.is_clean(), "{:?}", checked.findings);
            let restored = in_directory(&copy, &house.clock, config());
            for id in &acknowledged {
                let receipt = restored.receipt(*id).unwrap();
                assert!(matches!(receipt, Receipt::Accepted(_)), "copy {number}: {id} is {receipt:?}");
            }
            let origin = restored.copy_of().unwrap();
            assert_eq!(origin.commit_seq, report.commit_seq);
            restored.close();
        }
    });
    assert!(before > 50 * COPIES, "only {before} answers were paid meanwhile");
}

#[test]
fn a_token_counts_in_the_store_that_issued_it_and_not_in_a_copy() {
    let house = House::in_directory(config());
    house.engine.ingest_bytes(&cut(), "a", &[1; 100 * 512]).unwrap();
    let open = issue(&house.engine, b"client", High);
    work(&house.engine, b"other", Low);
    let copy = house.path("copy");
    house.engine.backup(&copy, &mut |_| GO).unwrap();
    let restored = in_directory(&copy, &house.clock, config());
    assert_eq!(restored.balance(b"other").unwrap(), house.engine.balance(b"other").unwrap());
    assert!(house.engine.copy_of().is_none());
    let result = solve(&open.unit);
    let there = restored.submit(&Answer::new(b"client", &result));
    assert!(matches!(there, Err(SubmitError::OtherStore)), "{there:?}");
    house.engine.submit(&Answer::new(b"client", &result)).unwrap();
    let of_copy = made_up(&restored, b"client", Low);
    let here = house.engine.submit(&Answer::new(b"client", &solve(&of_copy.unit)));
    assert!(matches!(here, Err(SubmitError::OtherStore)), "{here:?}");
    // The work that was out is ready again in the copy, and a copy of a copy has an id of its own.
    work(&restored, b"client", High);
    let second = house.path("second copy");
    restored.backup(&second, &mut |_| GO).unwrap();
    let again = in_directory(&second, &house.clock, config());
    let (first, second) = (restored.copy_of().unwrap(), again.copy_of().unwrap());
    assert_ne!(first.store, second.store);
}

#[test]
fn a_copy_that_does_not_come_about_leaves_nothing() {
    let house = House::in_directory(config());
    house.engine.ingest_bytes(&cut(), "a", &[1; 4 * 512]).unwrap();
    let names = || {
        let entries = std::fs::read_dir(house.directory.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect::<BTreeSet<_>>()
    };
    let before = names();
    let cancelled = house.engine.backup(house.path("copy"), &mut |_| ControlFlow::Break(()));
    assert!(matches!(cancelled, Err(BackupError::Cancelled)), "{cancelled:?}");
    assert_eq!(names(), before);
    for taken in [house.path("store"), house.write("file", b"x")] {
        let refused = house.engine.backup(&taken, &mut |_| GO).unwrap_err();
        assert!(refused.to_string().contains(taken.to_str().unwrap()), "{refused}");
    }
    // What a backup that was killed has left is no hindrance, and neither is an empty directory.
    house.write(".copy.partial/state.redb", b"half of it");
    std::fs::create_dir(house.path("copy")).unwrap();
    house.engine.backup(house.path("copy"), &mut |_| GO).unwrap();
    assert!(!house.path(".copy.partial").exists());
    let refused = house.engine.backup(house.path("copy"), &mut |_| GO);
    assert!(matches!(refused, Err(BackupError::NotEmpty { .. })), "{refused:?}");
}

/// A store with a tree, an open unit and a paid answer.
fn stored(disk: &SimDisk) -> RedbStore {
    let house = House::on_disk(disk.clone(), audited(1));
    house.engine.ingest_bytes(&cut(), "a", &[1; 40 * 512]).unwrap();
    work(&house.engine, b"client", Low);
    house.engine.close();
    RedbStore::open(Arc::new(disk.clone()), StoreOptions::default()).unwrap()
}

#[test]
fn a_copy_that_is_cut_short_anywhere_is_refused_or_whole() {
    let store = stored(&SimDisk::new());
    let to = SimDisk::new();
    to.record();
    store.backup(Arc::new(to.clone()), &mut |_| GO).unwrap();
    let recording = to.take_recording().unwrap();
    let (mut refused, mut whole) = (0, 0);
    for at in 0..=recording.len() {
        let disk = recording.crash_at(at, Loss::Random { seed: at as u64, sector: 512 });
        match RedbStore::open(Arc::new(disk.clone()), StoreOptions::default()) {
            Err(StoreError::Foreign { .. } | StoreError::Corrupted { .. }) => refused += 1,
            Err(other) => panic!("{at}: {other}"),
            // Nothing was written yet: this is a new store.
            Ok(copy) if copy.identity().copy_of.is_none() => {
                assert_eq!(copy.read().unwrap().tree_named("a").unwrap(), None, "{at}");
                copy.close();
            }
            Ok(copy) => {
                whole += 1;
                assert_eq!(copy.head(), store.head(), "{at}");
                copy.close();
                let report = check(Arc::new(disk), &mut |_| {}).unwrap();
                assert!(report.is_clean(), "{at}: {:?}", report.findings);
            }
        }
    }
    assert!(refused > 20 && whole > 0, "{refused} refused, {whole} whole");
}

#[test]
fn a_copy_to_a_disk_that_fails_is_an_error_of_the_destination() {
    let store = stored(&SimDisk::new());
    let mut failed = 0;
    for nth in 1.. {
        let to = SimDisk::new();
        to.fail_io(nth, true);
        match store.backup(Arc::new(to.clone()), &mut |_| GO) {
            Err(BackupFailure::Copy(_)) => failed += 1,
            Err(other) => panic!("{nth}: {other:?}"),
            Ok(_) => break,
        }
        assert!(to.hits() > 0);
    }
    assert!(failed > 20, "{failed}");
    assert!(matches!(store.backup(Arc::new(SimDisk::new()), &mut |_| GO), Ok(copied) if copied.done.rows > 0));
}

#[test]
fn a_panic_at_the_destination_or_of_the_callback_is_no_damage_of_the_store() {
    let store = stored(&SimDisk::new());
    let mut panicked = 0;
    for nth in 1.. {
        let (to, count) = (SimDisk::new(), AtomicUsize::new(0));
        let to = Hooked::new(Arc::new(to), move |access| {
            let now = if access == Access::Change { count.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
            assert!(now != nth, "the destination gives up");
        });
        match store.backup(Arc::new(to), &mut |_| GO) {
            Err(BackupFailure::Copy(_)) => panicked += 1,
            Err(other) => panic!("{nth}: {other:?}"),
            Ok(_) => break,
        }
    }
    assert!(panicked > 20, "{panicked}");
    let failed = store.backup(Arc::new(SimDisk::new()), &mut |_| panic!("the callback"));
    assert!(matches!(failed, Err(BackupFailure::Panicked)), "{failed:?}");
    assert!(store.backup(Arc::new(SimDisk::new()), &mut |_| GO).is_ok());
}

/// Within the callback of the first, so that the second is asked for while it runs.
#[test]
fn a_second_backup_to_one_directory_is_refused_and_to_another_is_made() {
    let house = House::in_directory(config());
    house.ingest(pouw::Strategy::Precomputed, "a", &[b"block".to_vec()]);
    let (copy, other) = (house.path("copy"), house.path("other"));
    let mut asked = false;
    house
        .engine
        .backup(&copy, &mut |_| {
            if !asked {
                asked = true;
                let refused = house.engine.backup(&copy, &mut |_| GO).unwrap_err();
                assert!(matches!(refused, BackupError::Running { .. }) && refused.is_retryable(), "{refused}");
                assert!(refused.to_string().contains("another backup writes there"), "{refused}");
            }
            GO
        })
        .unwrap();
    assert!(asked);
    assert!(matches!(house.engine.backup(&copy, &mut |_| GO), Err(BackupError::NotEmpty { .. })));
    house.engine.backup(&other, &mut |_| GO).unwrap();
}

#[test]
fn a_callback_that_panics_cancels_the_backup_with_an_event() {
    let house = House::in_directory(config());
    let failed = house.engine.backup(house.path("copy"), &mut |_| panic!("the callback"));
    assert!(matches!(failed, Err(BackupError::Cancelled)), "{failed:?}");
    assert_eq!(*house.events.lock(), [Event::CallbackPanicked]);
    let names: Vec<_> =
        std::fs::read_dir(house.directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["store"]);
}

/// The store is opened again in the middle: its pages may be written anew under the snapshot.
#[test]
fn a_copy_of_a_store_that_was_opened_again_meanwhile_is_given_up() {
    let disk = SimDisk::new();
    drop(stored(&disk));
    let store = RedbStore::open(Arc::new(disk), StoreOptions::default()).unwrap();
    let mut steps = 0;
    let given_up = store.backup(Arc::new(SimDisk::new()), &mut |_| {
        steps += 1;
        if steps == 3 {
            store.recover().unwrap();
        }
        GO
    });
    assert!(matches!(&given_up, Err(BackupFailure::Source(StoreError::Io { .. }))), "{given_up:?}");
    assert!(store.backup(Arc::new(SimDisk::new()), &mut |_| GO).is_ok());
}

#[test]
fn a_copy_goes_to_an_empty_place_only() {
    let store = stored(&SimDisk::new());
    let taken = SimDisk::new();
    let there = stored(&taken);
    let before = there.head();
    there.close();
    let refused = store.backup(Arc::new(taken.clone()), &mut |_| GO);
    assert!(matches!(refused, Err(BackupFailure::NotEmpty(_))), "{refused:?}");
    let there = RedbStore::open(Arc::new(taken), StoreOptions::default()).unwrap();
    assert_eq!(there.head().commit_seq, before.commit_seq);
}
