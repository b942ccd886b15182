//! The work of hashing, as the account of usefulness counts it.

use crate::merkle::AlignedRange;
use crate::store::rows::HashWork;

/// The work in a unit: its leaves, by their lengths, and the parents above them.
pub(in crate::engine) fn unit_work(range: &AlignedRange, lengths: impl Iterator<Item = u64>) -> HashWork {
    HashWork::of(lengths).plus(parents_work(range))
}

/// The parents of a unit.
pub(in crate::engine) fn parents_work(range: &AlignedRange) -> HashWork {
    fold_work(range.len(), range.fold_levels())
}

/// Hashes needed to fold `width` nodes up `levels` levels.
pub(in crate::engine) fn fold_work(mut width: u64, levels: u8) -> HashWork {
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
