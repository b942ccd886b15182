//! The locks of an engine, and the order in which one thread may take them.
//!
//! **Guarantee.** A thread that holds a lock takes only locks further down in [`Rank`], so no two
//! threads can wait for each other by these locks. In builds with debug assertions each lock checks
//! this, and panics with the names of both locks; in other builds a lock is that of `parking_lot`,
//! and the order costs nothing.
//!
//! The locks of the store and of the gate are not among them, and have no order that is checked.
//!
//! Taking a lock with [`Ranked::try_lock`] is allowed in any order, since it never waits.
//!
//! **Not promised.** The first five locks are held while code of the host runs: a callback of an
//! ingest may do upkeep, and a subscriber to the events of upkeep may ingest. So these are taken in
//! any order, each once. A host that does both at the same time, on two threads, can stop both.

use std::ops::{Deref, DerefMut};

use parking_lot::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Every lock of an engine, in the order in which one thread may take them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    // Held during long work, which writes and waits for commits, and may call the host.
    /// One upkeep at a time.
    Upkeeping,
    /// One refill at a time.
    Refilling,
    /// One ingest at a time. Below upkeep, which reports damage to subscribers that may ingest.
    Ingesting,
    /// One verification of stored leaves at a time.
    Auditing,
    /// One step of scrubbing at a time.
    ScrubWalk,
    /// An ingest against what removes trees or data.
    BothFiles,

    // Held while the store is read.
    /// The search for idle clients.
    ClientSearch,
    /// The search for old tokens and entries.
    OldSearch,

    // Held for a look or a change in memory.
    /// The work queue. Every verb may take it, for a change in memory: never while it reads the
    /// store.
    Queue,
    /// Tokens of wrong answers that are not written yet.
    Refused,
    /// The difficulty of each client.
    Standings,
    /// Counts of usefulness that are not written yet.
    Account,
    /// Networks audited more than others.
    Heightened,
    /// Response times.
    Calibration,
    /// Damaged leaves that are not marked yet.
    Found,
    /// How far the search for left-over block data has got.
    LeftoverFrom,
    /// How far doubted tiles have been hashed.
    DoubtedAfter,
    /// How far the search for open quorums has got.
    QuorumAfter,
    /// Trees with doubts that are put off.
    PutOff,
    /// Trees whose verdict is put off.
    Unstored,
    /// Trees whose block data cannot be removed now.
    Undropped,
    /// How far a pass of scrubbing is.
    ScrubProgress,
    /// Whether the thread that scrubs is to end.
    ScrubEnded,
    /// Failures that were reported.
    Repeats,
    /// Damage that was reported.
    Findings,
    /// Events that wait to be reported.
    Unreported,
    /// The seed of a test.
    #[cfg(feature = "testing")]
    Seeded,
    /// The threads of the engine.
    Threads,
    /// Directories in which a copy grows.
    Growing,
    /// The lanes to the writer.
    Lanes,
    /// The row that a job failed for.
    AtFault,
    /// The reply to a waiting caller.
    Reply,
}

#[cfg(debug_assertions)]
impl Rank {
    /// Whether code of the host runs while it is held.
    fn is_long(self) -> bool {
        self <= Self::ScrubWalk
    }
}

/// A mutex with a place in the order.
#[derive(Debug)]
pub(super) struct Ranked<T> {
    #[cfg(debug_assertions)]
    rank: Rank,
    lock: Mutex<T>,
}

impl<T> Ranked<T> {
    #[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "only debug builds check the order"))]
    pub(super) const fn new(rank: Rank, value: T) -> Self {
        Self {
            #[cfg(debug_assertions)]
            rank,
            lock: Mutex::new(value),
        }
    }

    pub(super) fn lock(&self) -> Guard<MutexGuard<'_, T>> {
        #[cfg(debug_assertions)]
        let held = order::take(self.rank);
        Guard {
            guard: self.lock.lock(),
            #[cfg(debug_assertions)]
            _held: held,
        }
    }

    /// Takes the lock if it is free. Never waits.
    pub(super) fn try_lock(&self) -> Option<Guard<MutexGuard<'_, T>>> {
        let guard = self.lock.try_lock()?;
        Some(Guard {
            guard,
            #[cfg(debug_assertions)]
            _held: order::note(self.rank),
        })
    }
}

/// A lock for one writer or many readers, with a place in the order.
#[derive(Debug)]
pub(super) struct RankedRw<T> {
    #[cfg(debug_assertions)]
    rank: Rank,
    lock: RwLock<T>,
}

impl<T> RankedRw<T> {
    #[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "only debug builds check the order"))]
    pub(super) const fn new(rank: Rank, value: T) -> Self {
        Self {
            #[cfg(debug_assertions)]
            rank,
            lock: RwLock::new(value),
        }
    }

    pub(super) fn read(&self) -> Guard<RwLockReadGuard<'_, T>> {
        #[cfg(debug_assertions)]
        let held = order::take(self.rank);
        Guard {
            guard: self.lock.read(),
            #[cfg(debug_assertions)]
            _held: held,
        }
    }

    pub(super) fn write(&self) -> Guard<RwLockWriteGuard<'_, T>> {
        #[cfg(debug_assertions)]
        let held = order::take(self.rank);
        Guard {
            guard: self.lock.write(),
            #[cfg(debug_assertions)]
            _held: held,
        }
    }
}

/// A lock that is held.
#[derive(Debug)]
pub(super) struct Guard<G> {
    guard: G,
    #[cfg(debug_assertions)]
    _held: order::Held,
}

impl<G: Deref> Deref for Guard<G> {
    type Target = G::Target;

    fn deref(&self) -> &G::Target {
        &self.guard
    }
}

impl<G: DerefMut> DerefMut for Guard<G> {
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.guard
    }
}

impl<T> Guard<MutexGuard<'_, T>> {
    /// Waits until `changed` is notified; the lock is free meanwhile.
    pub(super) fn wait(&mut self, changed: &Condvar) {
        changed.wait(&mut self.guard);
    }

    /// The same, for this long at most.
    pub(super) fn wait_for(&mut self, changed: &Condvar, time: std::time::Duration) {
        changed.wait_for(&mut self.guard, time);
    }
}

/// The ranks that this thread holds.
#[cfg(debug_assertions)]
mod order {
    use std::cell::RefCell;

    use super::Rank;

    thread_local! {
        static RANKS: RefCell<Vec<Rank>> = const { RefCell::new(Vec::new()) };
    }

    /// One of these ranks, until it is dropped.
    #[derive(Debug)]
    pub(super) struct Held(Rank);

    /// Checks that this thread may wait for a lock of this rank, and notes it.
    pub(super) fn take(rank: Rank) -> Held {
        let refuses = |held: &&Rank| **held >= rank && (**held == rank || !(held.is_long() && rank.is_long()));
        let highest = RANKS.try_with(|ranks| ranks.borrow().iter().filter(refuses).max().copied()).ok().flatten();
        if let Some(highest) = highest
            && !std::thread::panicking()
        {
            panic!("the lock {rank:?} must not be taken while {highest:?} is held: see `engine::locks`");
        }
        note(rank)
    }

    /// Notes a lock that was taken without waiting.
    pub(super) fn note(rank: Rank) -> Held {
        // While a thread ends there is nothing left to be noted.
        let _ = RANKS.try_with(|ranks| ranks.borrow_mut().push(rank));
        Held(rank)
    }

    impl Drop for Held {
        fn drop(&mut self) {
            let _ = RANKS.try_with(|ranks| {
                let mut ranks = ranks.borrow_mut();
                if let Some(place) = ranks.iter().rposition(|rank| *rank == self.0) {
                    ranks.swap_remove(place);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(debug_assertions)]
    fn refused(take: impl FnOnce()) -> String {
        let panicked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(take)).expect_err("the order was not checked");
        panicked.downcast_ref::<String>().cloned().unwrap_or_default()
    }

    #[test]
    #[cfg(debug_assertions)]
    fn a_lock_is_not_taken_while_one_further_down_is_held() {
        let (upkeep, queue) = (Ranked::new(Rank::Upkeeping, ()), Ranked::new(Rank::Queue, ()));
        let held = queue.lock();
        let what = refused(|| drop(upkeep.lock()));
        assert!(what.contains("Upkeeping") && what.contains("Queue"), "{what}");
        drop(held);
        drop(upkeep.lock());
    }

    #[test]
    #[cfg(debug_assertions)]
    fn no_two_locks_of_one_rank_are_held_not_even_for_reading() {
        let (one, other) = (Ranked::new(Rank::Queue, ()), Ranked::new(Rank::Queue, ()));
        let held = one.lock();
        assert!(refused(|| drop(other.lock())).contains("Queue"));
        drop(held);
        let files = RankedRw::new(Rank::BothFiles, ());
        let _held = files.read();
        assert!(refused(|| drop(files.read())).contains("BothFiles"));
    }

    #[test]
    #[cfg(debug_assertions)]
    fn the_order_holds_for_reading_and_writing_too() {
        let (files, ingest) = (RankedRw::new(Rank::BothFiles, ()), Ranked::new(Rank::Ingesting, ()));
        let held = files.read();
        assert!(refused(|| drop(ingest.lock())).contains("BothFiles"));
        drop(held);
        let held = files.write();
        assert!(refused(|| drop(ingest.lock())).contains("BothFiles"));
        drop(held);
        let _queue = Ranked::new(Rank::Queue, ());
        let _held = _queue.lock();
        assert!(refused(|| drop(files.read())).contains("BothFiles"));
        assert!(refused(|| drop(files.write())).contains("BothFiles"));
    }

    #[test]
    fn locks_in_order_are_taken_and_may_be_released_in_any_order() {
        let (upkeep, queue) = (Ranked::new(Rank::Upkeeping, 1), Ranked::new(Rank::Queue, 2));
        let (files, findings) = (RankedRw::new(Rank::BothFiles, 3), Ranked::new(Rank::Findings, 4));
        for _ in 0..2 {
            let first = upkeep.lock();
            let second = files.read();
            let mut third = queue.lock();
            *third += 1;
            drop(first);
            drop(third);
            let fourth = findings.lock();
            drop(second);
            assert_eq!(*fourth, 4);
        }
        assert_eq!(*queue.lock(), 4);
        assert_eq!(*files.write(), 3);
    }

    #[test]
    fn a_lock_that_is_only_tried_may_be_out_of_order_and_is_known_to_be_held() {
        let (auditing, queue) = (Ranked::new(Rank::Auditing, ()), Ranked::new(Rank::Queue, ()));
        let held = queue.lock();
        let tried = auditing.try_lock();
        assert!(tried.is_some() && auditing.try_lock().is_none());
        drop(held);
        drop(queue.lock());
        #[cfg(debug_assertions)]
        assert!(refused(|| drop(Ranked::new(Rank::Auditing, ()).lock())).contains("Auditing"));
    }

    #[test]
    fn locks_that_are_held_while_the_host_runs_are_taken_in_any_order() {
        let (ingest, upkeep) = (Ranked::new(Rank::Ingesting, ()), Ranked::new(Rank::Upkeeping, ()));
        let (files, queue) = (RankedRw::new(Rank::BothFiles, ()), Ranked::new(Rank::Queue, ()));
        let held = ingest.lock();
        let inner = upkeep.lock();
        drop(files.read());
        drop(queue.lock());
        drop(inner);
        drop(held);
        let _held = files.read();
        #[cfg(debug_assertions)]
        assert!(refused(|| drop(upkeep.lock())).contains("BothFiles"));
    }

    #[test]
    fn what_a_thread_holds_is_its_own() {
        let (upkeep, queue) = (Ranked::new(Rank::Upkeeping, ()), Ranked::new(Rank::Queue, ()));
        let _held = queue.lock();
        std::thread::scope(|threads| {
            threads.spawn(|| drop(upkeep.lock())).join().unwrap();
        });
    }
}
