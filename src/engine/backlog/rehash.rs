//! The server's own hashes of stored leaves: for audits, for the referee, before exports.

use crate::hash::{Checksum, hash_batch};
use crate::policy::ready::Loaded;
use crate::store::TreeNumber;
use crate::store::rows::{HashWork, TreeRow};

use super::leaf_bytes::{LoadError, first_run, leaf_bytes, load_tile};
use crate::engine::core::Core;

/// Leaves of one tile: place in it, hash.
pub(in crate::engine) type Hashed = Vec<(u8, Checksum)>;

/// Hashes the leaves of a tile that `mask` names, in one batch. Neighbours are read together.
pub(in crate::engine) fn hash_mask(
    core: &Core,
    (tree, row): (TreeNumber, &TreeRow),
    tile: u64,
    mask: u32,
) -> Result<(Hashed, HashWork), LoadError> {
    let reader = core.store.read()?;
    let mut runs: Vec<(u8, Loaded)> = Vec::new();
    let mut left = mask;
    while left != 0 {
        let (run, rest) = first_run(left);
        let data = load_tile(&*core.store, &*reader, tree, row, tile, run)?;
        runs.push((run.trailing_zeros() as u8, data));
        left = rest;
    }
    let (mut slots, mut slices) = (Vec::new(), Vec::new());
    for (first, data) in &runs {
        for (slot, index) in (*first..).zip(0..data.ends.len()) {
            slots.push(slot);
            slices.push(leaf_bytes(data, index).unwrap_or_default());
        }
    }
    let work = HashWork::of(slices.iter().map(|leaf| leaf.len() as u64));
    Ok((slots.into_iter().zip(hash_batch(&slices)).collect(), work))
}
