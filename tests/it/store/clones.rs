//! Two stores from one: copies made by a backup share no token with their store or with each other; copied files are the
//! same store twice, and a token counts at most once in each.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::support::disk::copy;
use crate::support::house::{clock, config, on_disk};
use crate::support::work::{answer_right, cut, issue, made_up, pattern};
use pouw::internal::engine::testing::backup_to;
use pouw::internal::store::sim::SimDisk;
use pouw::protocol::DifficultyTier::{High, Low};
use pouw::protocol::WorkUnit;
use pouw::{FakeClock, PouwEngine, Receipt, SubmitError};

const CLIENT: &[u8] = b"client";

fn engine(disk: &SimDisk, clock: &Arc<FakeClock>) -> PouwEngine {
    on_disk(disk, clock, config())
}

fn backup(engine: &PouwEngine) -> SimDisk {
    let to = SimDisk::new();
    backup_to(engine, Arc::new(to.clone()), &mut |_| ControlFlow::Continue(())).unwrap();
    to
}

/// A store with two trees, and units of both that are out, one of them made up.
fn origin() -> (SimDisk, Arc<FakeClock>, PouwEngine, Vec<WorkUnit>) {
    let (disk, clock) = (SimDisk::new(), clock());
    let origin = engine(&disk, &clock);
    origin.ingest_bytes(&cut(), "a", &pattern(100 * 512, 1)).unwrap();
    let units = [issue(&origin, CLIENT, High), issue(&origin, CLIENT, Low), made_up(&origin, CLIENT, Low)];
    (disk, clock, origin, units.map(|issued| issued.unit).to_vec())
}

#[track_caller]
fn is_of_another_store(engine: &PouwEngine, unit: &WorkUnit) {
    let refused = answer_right(engine, CLIENT, unit);
    assert!(matches!(refused, Err(SubmitError::OtherStore)), "{refused:?}");
    assert!(!matches!(engine.receipt(unit.id), Ok(Receipt::Accepted(_))));
}

#[test]
fn no_token_of_a_store_counts_in_its_backups_nor_one_of_a_backup_in_another() {
    let (_, clock, origin, units) = origin();
    let disks = [backup(&origin), backup(&origin)];
    let copies = disks.each_ref().map(|disk| engine(disk, &clock));
    let second = backup(&copies[0]);
    let of_copies: Vec<WorkUnit> = copies.iter().map(|copy| issue(copy, CLIENT, High).unit).collect();
    let mut copies = copies;
    // After a restart a store adopts the tokens that it issued before, and no others.
    for _ in 0..3 {
        for (copy, other) in copies.iter().zip([&of_copies[1], &of_copies[0]]) {
            units.iter().chain([other]).for_each(|unit| is_of_another_store(copy, unit));
        }
        copies.iter().for_each(PouwEngine::close);
        copies = disks.each_ref().map(|disk| engine(disk, &clock));
    }
    let second = engine(&second, &clock);
    units.iter().chain(&of_copies).for_each(|unit| is_of_another_store(&second, unit));
    of_copies.iter().for_each(|unit| is_of_another_store(&origin, unit));
    for unit in &units {
        answer_right(&origin, CLIENT, unit).unwrap();
        assert!(matches!(answer_right(&origin, CLIENT, unit), Err(SubmitError::Replayed)));
    }
    for (copy, unit) in copies.iter().zip(&of_copies) {
        answer_right(copy, CLIENT, unit).unwrap();
    }
}

#[test]
fn a_token_of_one_of_two_running_copies_of_the_files_does_not_count_in_the_other() {
    let (disk, clock, origin, _) = origin();
    origin.close();
    let disks = [disk.clone(), copy(&disk)];
    let twins = disks.each_ref().map(|disk| engine(disk, &clock));
    for (here, there) in [(0, 1), (1, 0)] {
        for unit in [issue(&twins[here], CLIENT, Low).unit, made_up(&twins[here], CLIENT, Low).unit] {
            let refused = answer_right(&twins[there], CLIENT, &unit);
            assert!(matches!(refused, Err(SubmitError::Withdrawn | SubmitError::Replayed)), "{refused:?}");
            assert_eq!(twins[there].balance(CLIENT).unwrap().0, 0);
        }
    }
}

#[test]
fn a_token_from_before_the_files_were_copied_counts_once_in_each_copy_however_often_they_restart() {
    let (disk, clock, origin, units) = origin();
    origin.close();
    for disk in [disk.clone(), copy(&disk)] {
        let mut paid = 0;
        for restart in 0..3 {
            let twin = engine(&disk, &clock);
            for unit in &units {
                match answer_right(&twin, CLIENT, unit) {
                    Ok(accepted) => paid += accepted.award.0,
                    Err(SubmitError::Replayed | SubmitError::Withdrawn) if restart > 0 || unit.synthetic => {}
                    Err(other) => panic!("restart {restart}: {other}"),
                }
            }
            assert_eq!(twin.balance(CLIENT).unwrap().0, paid, "restart {restart}");
            let entries = twin.ledger(0, 100).unwrap();
            assert_eq!(entries.iter().map(|entry| entry.amount.0).sum::<u64>(), paid, "restart {restart}");
            assert!(entries.len() <= units.len(), "restart {restart}: {entries:?}");
            twin.close();
        }
        assert!(paid > 0);
    }
}
