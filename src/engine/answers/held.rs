//! A lease while the engine itself holds it: an answer is being judged or written, a token of an
//! earlier boot is being adopted, or the server hashes the leaves of a quorum.
//!
//! A held lease always ends: its holder says how, and where the holder does not, because of an
//! early return or a panic, dropping it gives it back. It must not be dropped while the queue is
//! locked.

use std::ops::Deref;
use std::sync::Arc;

use crate::policy::lease::{Claim, Lease};
use crate::protocol::WorkId;

use crate::engine::backlog::queue::Queue;
use crate::engine::core::Core;
use crate::engine::tallies::bump;

/// `C` is `&Core` for as long as a call takes, and `Arc<Core>` until a commit is done.
#[must_use]
#[derive(Debug)]
pub(in crate::engine) struct HeldLease<C: Deref<Target = Core>> {
    core: C,
    id: WorkId,
    claim: Claim,
    dropped: Dropped,
}

/// What dropping a held lease does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dropped {
    /// No token has it yet: it ends, and its work is pending again.
    GivenBack,
    /// A token has it: it lasts as long as the token, which may be answered again.
    Unpinned,
    /// It has ended, or its fate is unknown.
    Left,
}

/// Holds a lease that has just been inserted, and that no token has.
pub(in crate::engine) fn hold_new<'c>(core: &'c Core, lease: &Lease) -> HeldLease<&'c Core> {
    let dropped = Dropped::GivenBack;
    #[cfg(feature = "testing")]
    let kept = core.config.makes(crate::engine::mistake::Mistake::AdoptionKeepsLease);
    #[cfg(feature = "testing")]
    let dropped = if kept { Dropped::Left } else { dropped };
    HeldLease { core, id: lease.id, claim: lease.claim, dropped }
}

/// Holds the lease of a token that has just been pinned.
pub(in crate::engine) fn hold_pinned(core: &Core, id: WorkId, claim: Claim) -> HeldLease<&Core> {
    HeldLease { core, id, claim, dropped: Dropped::Unpinned }
}

impl<C: Deref<Target = Core>> HeldLease<C> {
    pub(in crate::engine) fn claim(&self) -> Claim {
        self.claim
    }

    /// From now on it belongs to its token.
    pub(in crate::engine) fn of_token(mut self) -> Self {
        self.dropped = Dropped::Unpinned;
        self
    }

    /// The same until a commit is done, which may be after this call.
    pub(in crate::engine) fn until_commit(mut self, core: Arc<Core>) -> HeldLease<Arc<Core>> {
        let HeldLease { id, claim, dropped, .. } = self;
        self.dropped = Dropped::Left;
        HeldLease { core, id, claim, dropped }
    }

    /// Leaves it to its token.
    pub(in crate::engine) fn keep(mut self) {
        self.dropped = Dropped::Unpinned;
    }

    /// Leaves it to its token after a refusal that counts. Returns how many there were.
    pub(in crate::engine) fn refuse(mut self) -> u32 {
        self.dropped = Dropped::Left;
        self.core.queue.lock().leases.unpin(self.id, true)
    }

    /// How many refusals of its token have counted.
    pub(in crate::engine) fn refusals(&self) -> u32 {
        self.core.queue.lock().leases.find(self.id).map_or(0, |lease| lease.refusals)
    }

    /// Leaves it as it is: whether its work is done is unknown.
    pub(in crate::engine) fn leave(mut self) {
        self.dropped = Dropped::Left;
    }

    /// Ends it, and changes the queue in the same moment. Returns `None` if it is gone, with its
    /// tree.
    pub(in crate::engine) fn end<T>(mut self, then: impl FnOnce(&mut Queue, &Lease) -> T) -> Option<T> {
        self.dropped = Dropped::Left;
        let mut queue = self.core.queue.lock();
        let lease = queue.leases.release(self.id)?;
        Some(then(&mut queue, &lease))
    }

    /// Ends it without success: its work is pending again.
    pub(in crate::engine) fn give_back(mut self) {
        self.dropped = Dropped::GivenBack;
    }

    /// The same for a challenge that is withdrawn.
    pub(in crate::engine) fn withdraw(self) {
        bump(&self.core.tallies.withdrawn, 1);
        #[cfg(feature = "testing")]
        if self.core.config.makes(crate::engine::mistake::Mistake::WithdrawnIsLost) {
            self.end(|_, _| ());
            return;
        }
        self.give_back();
    }
}

impl<C: Deref<Target = Core>> Drop for HeldLease<C> {
    fn drop(&mut self) {
        match self.dropped {
            Dropped::Left => {}
            Dropped::Unpinned => {
                self.core.queue.lock().leases.unpin(self.id, false);
            }
            Dropped::GivenBack => {
                let mut queue = self.core.queue.lock();
                if let Some(lease) = queue.leases.release(self.id) {
                    queue.give_back(&lease);
                    drop(queue);
                    self.core.background.wake();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Config, PouwEngine, Runtime};

    #[test]
    fn a_panic_gives_a_held_lease_back_or_leaves_it_to_its_token() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::builder([7; 32]).background(false).build().unwrap();
        let engine = PouwEngine::open_with(Runtime::in_directory(directory.path()), config).unwrap();
        let core = engine.core();
        let shape = crate::merkle::Shape::new(4).unwrap();
        let claim = Claim::Leaves { tree: 7, range: crate::merkle::AlignedRange::new(shape, 0, 2).unwrap() };
        let lease =
            Lease { id: WorkId::from_parts(1, [1; 10]), claim, expires_ms: u64::MAX, pinned: true, refusals: 0 };
        let panics = |of_token: bool| {
            core.queue.lock().leases.insert(lease.clone()).unwrap();
            let held = hold_new(core, &lease);
            let held = if of_token { held.of_token() } else { held };
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let _held = held;
                panic!("in the middle of a judgement");
            }));
            assert!(caught.is_err());
        };
        panics(false);
        {
            let mut queue = core.queue.lock();
            assert_eq!((queue.leases.len(), queue.returned.len()), (0, 1));
            queue.returned.clear();
        }
        panics(true);
        let queue = core.queue.lock();
        assert_eq!((queue.leases.find(lease.id).map(|lease| lease.pinned), queue.returned.len()), (Some(false), 0));
    }
}
