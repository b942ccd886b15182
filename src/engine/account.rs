//! The account of usefulness, by strategy: work sent to clients and accepted from them, hashing of
//! the server by reason.
//!
//! The work of a command is counted by its commit. Units sent, and hashing for refused answers, are
//! counted in memory first and written with the next commit, within about half a second; a crash
//! loses younger counts.

use crate::merkle::AlignedRange;
use crate::policy::ready::ReadyUnit;
use crate::store::records::{HashReason, HashWork, UsefulnessAccount};

use super::PouwEngine;
use super::core::Core;

impl PouwEngine {
    /// Totals of offloaded work since the store was created. Briefly after a commit, recent counts
    /// may be included twice.
    pub(super) fn account(&self) -> UsefulnessAccount {
        let core = self.core();
        let waiting = core.account.lock();
        let mut account = core.store.account();
        account.add(&waiting);
        account
    }
}

impl Core {
    /// Counts a unit that is sent; one that is not `fresh` is sent again and adds no work.
    pub(super) fn count_sent(&self, place: usize, unit: &ReadyUnit, fresh: bool) {
        let mut account = self.account.lock();
        let Some(of) = account.by.get_mut(place) else { return };
        of.sent_units += 1;
        of.sent_bytes += unit.bytes().len() as u64;
        if fresh {
            of.asked.add(unit_work(&unit.range, unit.lengths().into_iter()));
        }
    }

    /// Counts a sent unit of another kind.
    pub(super) fn count_asked(&self, place: usize, work: HashWork) {
        let mut account = self.account.lock();
        let Some(of) = account.by.get_mut(place) else { return };
        of.asked.add(work);
        of.sent_units += 1;
    }

    /// Counts hashing of the server that no command counts.
    pub(super) fn count_server(&self, place: usize, reason: HashReason, work: HashWork) {
        self.account.lock().count_server(place, reason, work);
    }
}

/// The work in a unit: its leaves, by their lengths, and the parents above them.
pub(super) fn unit_work(range: &AlignedRange, lengths: impl Iterator<Item = u64>) -> HashWork {
    HashWork::of(lengths).plus(parents_work(range))
}

/// The parents of a unit.
pub(super) fn parents_work(range: &AlignedRange) -> HashWork {
    fold_work(range.len(), range.fold_levels())
}

/// Hashes needed to fold `width` nodes up `levels` levels.
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
