//! Compares given content with an existing tree, group by group.

use crate::hash::sha3_512;
use crate::merkle::{GROUP_LEAVES, TILE_LEAVES};
use crate::store::records::{HashWork, LeafState};
use crate::store::{Store, StoreError, TreeNumber};

use super::group::Item;
use super::options::IngestError;

/// The comparison of given content with an existing tree.
#[derive(Debug, Default)]
pub(super) struct Against {
    /// Every byte is compared with the stored data: the tree's hashes are not known.
    pub(super) bytes: bool,
    /// Damaged leaves whose bytes hash to their address or stored hash now, and those that still do
    /// not.
    pub(super) repaired: Vec<u64>,
    pub(super) damaged: Vec<u64>,
}

/// Holds a group that is given against the tree that is there: its bytes against the stored ones,
/// and those of damaged leaves against their addresses or stored hashes.
pub(super) fn hold(
    store: &Store,
    against: &mut Against,
    tree: TreeNumber,
    (group, offset): (u64, u64),
    items: &[Item],
    work: &mut [HashWork; 2],
) -> Result<bool, IngestError> {
    if against.bytes {
        let given: Vec<u8> = items.iter().filter_map(|item| item.bytes.as_deref()).flatten().copied().collect();
        let same = match store.read_blocks(tree, offset, given.len()) {
            Ok(stored) => stored == given,
            Err(StoreError::Contradiction { .. }) => false,
            Err(error) => return Err(error.into()),
        };
        let hashed = items.iter().any(|item| item.hashed.is_some());
        return Ok(same && (!hashed || hashes_fit(store, tree, group, items)?));
    }
    let reader = store.read()?;
    let states = reader.tile(tree, group * GROUP_LEAVES / TILE_LEAVES)?;
    let is_damaged = |leaf: u64| states.state(leaf % TILE_LEAVES) == LeafState::Damaged;
    if !(group * GROUP_LEAVES..).take(items.len()).any(is_damaged) {
        return Ok(true);
    }
    // The address of each block, or the hash that the server computed when it came in.
    let stored = match reader.group(tree, group) {
        Ok(stored) => stored.leaves,
        Err(StoreError::Contradiction { .. } | StoreError::Record { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    for (leaf, item) in (group * GROUP_LEAVES..).zip(items) {
        if !is_damaged(leaf) {
            continue;
        }
        let own = match &item.bytes {
            Some(bytes) => {
                work[0].add(HashWork::of([item.len]));
                Some(sha3_512(bytes))
            }
            None => item.hashed,
        };
        let right = own.is_some() && own.as_ref() == stored.get((leaf % GROUP_LEAVES) as usize);
        if right { &mut against.repaired } else { &mut against.damaged }.push(leaf);
    }
    Ok(true)
}

/// The hashes of leaves that no unit may carry are those that are stored.
fn hashes_fit(store: &Store, tree: TreeNumber, group: u64, items: &[Item]) -> Result<bool, IngestError> {
    let reader = store.read()?;
    let stored = match reader.group(tree, group) {
        Ok(stored) => stored,
        Err(StoreError::Contradiction { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    Ok(items.iter().zip(stored.leaves).all(|(item, stored)| item.hashed.is_none_or(|hashed| hashed == stored)))
}
