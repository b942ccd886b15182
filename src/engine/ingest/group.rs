//! A group of leaves coming in: what its hashes are, by the strategy of its tree, and what that
//! cost.

use crate::hash::{Checksum, hash_batch};
use crate::merkle::fold;
use crate::store::TreeNumber;
use crate::store::rows::{GroupRow, HashWork, HashesFrom, SumRow};

use crate::engine::work::fold_work;

/// A leaf waiting for its group to be full.
pub(super) struct Item {
    pub(super) len: u64,
    /// Its bytes, unless no unit may carry them.
    pub(super) bytes: Option<Vec<u8>>,
    /// The server's own hash of a leaf whose bytes were not kept.
    pub(super) hashed: Option<Checksum>,
    /// Its address, if that was given.
    pub(super) address: Option<Checksum>,
}

/// The checksums of a group, of the bytes that are kept.
pub(super) fn sums_of(tree: TreeNumber, group: u64, items: &[Item]) -> SumRow {
    SumRow::of(tree, group, items.iter().map(|item| item.bytes.as_deref().unwrap_or_default()))
}

impl Item {
    /// Whether the server has hashed it and its address is another.
    pub(super) fn is_damaged(&self) -> bool {
        matches!((self.hashed, self.address), (Some(hashed), Some(address)) if hashed != address)
    }
}

/// The row of a group, and the server's hash work for it: leaves, then parents.
pub(super) fn group_of(hashes: HashesFrom, items: &[Item], levels: u8) -> (GroupRow, [HashWork; 2]) {
    let mut work =
        [HashWork::of(items.iter().filter(|item| item.hashed.is_some()).map(|item| item.len)), HashWork::default()];
    let mut own = match hashes {
        HashesFrom::Server => {
            let slices: Vec<&[u8]> = items.iter().filter_map(|item| item.bytes.as_deref()).collect();
            work[0].add(HashWork::of(slices.iter().map(|leaf| leaf.len() as u64)));
            hash_batch(&slices)
        }
        _ => Vec::new(),
    }
    .into_iter();
    let leaves: Vec<Checksum> = items
        .iter()
        .map(|item| match (hashes, item.address, item.hashed) {
            (HashesFrom::Addresses, Some(address), _) => address,
            (_, _, Some(hashed)) => hashed,
            (HashesFrom::Server, ..) => own.next().unwrap_or(Checksum::ZERO),
            _ => Checksum::ZERO,
        })
        .collect();
    if hashes == HashesFrom::Clients && items.iter().any(|item| item.hashed.is_none()) {
        return (GroupRow { leaves, top: Checksum::ZERO }, work);
    }
    work[1] = fold_work(leaves.len() as u64, levels);
    let top = fold(&leaves, levels).unwrap_or(Checksum::ZERO);
    (GroupRow { leaves, top }, work)
}
