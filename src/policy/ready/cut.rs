//! Cutting the pending leaves of a tile into units.

use crate::merkle::{AlignedRange, Shape, TILE_LEAVES, TILE_ORDER};

/// The same leaves under the smallest order that holds them: a ragged end of 3 leaves is a unit of
/// order 2, a single leaf one of order 0.
pub fn smallest(shape: Shape, range: AlignedRange) -> AlignedRange {
    let leaves = range.end() - range.start();
    let order = leaves.next_power_of_two().trailing_zeros() as u8;
    AlignedRange::new(shape, range.start(), order.min(range.order())).unwrap_or(range)
}

/// One bit for each leaf of `range` within its tile.
pub fn mask_of(range: &AlignedRange) -> u32 {
    let first = range.start() % TILE_LEAVES;
    let leaves = (range.end() - range.start()).min(TILE_LEAVES - first);
    (((1u64 << leaves) - 1) << first) as u32
}

/// Cuts the leaves of a tile that `mask` names into the largest aligned ranges, in order.
pub fn cut(shape: Shape, tile: u64, mask: u32) -> Vec<AlignedRange> {
    let mut out = Vec::new();
    if let Ok(whole) = AlignedRange::new(shape, tile * TILE_LEAVES, TILE_ORDER) {
        cut_range(shape, whole, mask, &mut out);
    }
    out
}

fn cut_range(shape: Shape, range: AlignedRange, mask: u32, out: &mut Vec<AlignedRange>) {
    let own = mask_of(&range);
    if mask & own == own {
        out.push(smallest(shape, range));
    } else if mask & own != 0 && range.order() > 0 {
        let order = range.order() - 1;
        for start in [range.start(), range.start() + (1 << order)] {
            if let Ok(half) = AlignedRange::new(shape, start, order) {
                cut_range(shape, half, mask, out);
            }
        }
    }
}
