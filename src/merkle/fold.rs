//! Folding nodes that are all in memory: a level, an aligned range, a tree.

use alloc::{vec, vec::Vec};
use core::mem;

use super::{Shape, TILE_LEAVES};
use crate::hash::{Checksum, best_lanes};

/// Returns the parents of the nodes of one level, `ceil(nodes / 2)` of them; an odd last node is
/// hashed alone.
pub fn fold_level(nodes: &[Checksum]) -> Vec<Checksum> {
    let mut parents = vec![Checksum::ZERO; nodes.len().div_ceil(2)];
    best_lanes().hash_parents(nodes, &mut parents);
    parents
}

/// Returns the node exactly `levels` parent steps above these leaves, the first of which has a
/// number that is a multiple of `2^levels`. A node without a sibling is hashed alone at each step.
/// Up to 32 leaves it does not allocate.
///
/// `None` if there are no leaves, or more than `2^levels`, which would leave more than one node.
pub fn fold(leaves: &[Checksum], levels: u8) -> Option<Checksum> {
    let steps_needed = steps_to_one_node(leaves.len())?;
    if steps_needed > levels {
        return None;
    }
    if leaves.len() <= TILE_LEAVES as usize {
        let mut odd = [Checksum::ZERO; TILE_LEAVES as usize / 2];
        let mut even = [Checksum::ZERO; TILE_LEAVES as usize / 4];
        return fold_between(leaves, levels, &mut odd, &mut even);
    }
    let mut odd = vec![Checksum::ZERO; leaves.len().div_ceil(2)];
    let mut even = vec![Checksum::ZERO; leaves.len().div_ceil(4)];
    fold_between(leaves, levels, &mut odd, &mut even)
}

/// Returns the root of a tree, `None` if there are no leaves. It allocates three quarters as many
/// nodes as there are leaves; [`StreamingRoot`](super::StreamingRoot) holds one node per level.
pub fn root(leaves: &[Checksum]) -> Option<Checksum> {
    fold(leaves, steps_to_one_node(leaves.len())?)
}

fn steps_to_one_node(leaves: usize) -> Option<u8> {
    Shape::new(leaves as u64).ok().map(Shape::height)
}

/// Writes the levels above the leaves to `out` and `other` in turn; they have room for the first
/// and the second.
fn fold_between<'a>(
    leaves: &[Checksum],
    levels: u8,
    mut out: &'a mut [Checksum],
    mut other: &'a mut [Checksum],
) -> Option<Checksum> {
    if levels == 0 {
        return leaves.first().copied();
    }
    let lanes = best_lanes();
    let mut width = leaves.len().div_ceil(2);
    lanes.hash_parents(leaves, &mut out[..width]);
    for _ in 1..levels {
        let nodes = &out[..width];
        width = width.div_ceil(2);
        lanes.hash_parents(nodes, &mut other[..width]);
        mem::swap(&mut out, &mut other);
    }
    out.first().copied()
}
