//! The account of usefulness: what clients were asked for and did, what the server hashed and why, by strategy.
//!
//! What belongs to a command is counted by its commit. What is sent to clients, and what is hashed for answers that are
//! refused, is counted in memory first and written with the next commit, within about half a second; a crash loses
//! what is younger.

use crate::merkle::AlignedRange;
use crate::policy::ready::ReadyUnit;
use crate::store::records::{HashReason, HashWork, UsefulnessAccount};

use super::PouwEngine;
use super::core::Core;

impl PouwEngine {
    /// What offloading has come to in this store, up to now. For the moment between a commit and what follows from it in
    /// memory, what it wrote behind is counted twice.
    pub fn account(&self) -> UsefulnessAccount {
        let core = self.core();
        let waiting = core.account.lock();
        let mut account = core.store.account();
        account.add(&waiting);
        account
    }
}

impl Core {
    /// A unit goes out; again, if it is not `fresh`, and then nothing more is asked for.
    pub(super) fn count_sent(&self, place: usize, unit: &ReadyUnit, fresh: bool) {
        let mut account = self.account.lock();
        let Some(of) = account.by.get_mut(place) else { return };
        of.sent_units += 1;
        of.sent_bytes += unit.bytes().len() as u64;
        if fresh {
            of.asked.add(unit_work(&unit.range, unit.lengths().into_iter()));
        }
    }

    /// A unit of another kind goes out.
    pub(super) fn count_asked(&self, place: usize, work: HashWork) {
        let mut account = self.account.lock();
        let Some(of) = account.by.get_mut(place) else { return };
        of.asked.add(work);
        of.sent_units += 1;
    }

    /// The server hashed something that no command counts.
    pub(super) fn count_server(&self, place: usize, reason: HashReason, work: HashWork) {
        self.account.lock().server(place, reason, work);
    }
}

/// What a unit asks for: its leaves, by their lengths, and the parents above them.
pub(super) fn unit_work(range: &AlignedRange, lengths: impl Iterator<Item = u64>) -> HashWork {
    HashWork::of(lengths).plus(parents_work(range))
}

/// The parents of a unit.
pub(super) fn parents_work(range: &AlignedRange) -> HashWork {
    fold_work(range.len(), range.fold_levels())
}

/// Folding so many nodes, so many levels up.
pub(super) fn fold_work(mut width: u64, levels: u8) -> HashWork {
    let (mut pairs, mut singles) = (0, 0);
    for _ in 0..levels {
        pairs += width / 2;
        singles += width % 2;
        width = width.div_ceil(2);
    }
    HashWork::of_parents(pairs, singles)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::Shape;

    #[test]
    fn a_unit_asks_for_as_many_hashes_as_it_has_nodes() {
        for leaves in 1..=40 {
            let shape = Shape::new(leaves).unwrap();
            for order in 0..=5 {
                let range = AlignedRange::new(shape, 0, order).unwrap();
                let work = unit_work(&range, vec![100; range.len() as usize].into_iter());
                assert_eq!(work.hashes, range.node_count(), "{leaves} leaves, order {order}");
            }
        }
    }
}
