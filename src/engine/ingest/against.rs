//! Compares given content with an existing tree, group by group.

use crate::hash::{Checksum, sha3_512};
use crate::merkle::{GROUP_LEAVES, TILE_LEAVES};
use crate::store::records::{HashWork, LeafState, Strategy};
use crate::store::{LeafSum, Renewal, Store, StoreError, TreeNumber};

use super::super::load::stored_place;
use super::group::{Item, sums_of};
use super::options::IngestError;

/// What given content is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The root, at the end, and damaged leaves with their hashes.
    Root(Strategy),
    /// The checksums of the ingest, and the stored bytes where there are none: the tree's hashes
    /// are not known, or prove nothing.
    Bytes,
    /// The checksums of the ingest. The bytes are in files.
    Sums,
    /// The fingerprints of the files: there are no checksums.
    Files,
}

/// The comparison of given content with an existing tree.
#[derive(Debug)]
pub(super) struct Against {
    pub(super) by: By,
    /// Damaged leaves whose bytes are right now, and those whose bytes still are not.
    pub(super) repaired: Vec<u64>,
    pub(super) damaged: Vec<u64>,
    /// Leaves that are not marked as damaged and get other bytes.
    pub(super) mended: u64,
    /// Right bytes and checksums for damaged ones.
    pub(super) renewals: Vec<Renewal>,
}

impl Default for Against {
    fn default() -> Self {
        Self { by: By::Files, repaired: Vec::new(), damaged: Vec::new(), mended: 0, renewals: Vec::new() }
    }
}

/// A group of given leaves.
pub(super) struct Given<'i> {
    pub(super) tree: TreeNumber,
    pub(super) group: u64,
    /// Of its first leaf in the stored bytes.
    pub(super) offset: u64,
    pub(super) items: &'i [Item],
    /// Their hashes, where the server has computed them or they are addresses.
    pub(super) hashes: &'i [Checksum],
}

impl Given<'_> {
    fn first(&self) -> u64 {
        self.group * GROUP_LEAVES
    }

    fn sums(&self, store: &Store) -> Result<Vec<LeafSum>, StoreError> {
        store.leaf_sums(self.tree, self.first(), self.items.len())
    }
}

/// Holds a group that is given against the tree that is there. Returns whether it may be the same.
pub(super) fn hold(
    store: &Store,
    against: &mut Against,
    given: &Given<'_>,
    work: &mut [HashWork; 2],
) -> Result<bool, IngestError> {
    let states = store.read()?.tile(given.tree, given.first() / TILE_LEAVES)?;
    let is_damaged = |leaf: u64| states.state(leaf % TILE_LEAVES) == LeafState::Damaged;
    match against.by {
        By::Root(strategy) => {
            hold_damaged(store, against, given, strategy, is_damaged, work)?;
            return Ok(true);
        }
        By::Bytes => {
            if !hold_bytes(store, against, given, is_damaged)? {
                return Ok(false);
            }
        }
        By::Sums => {
            for ((leaf, item), sum) in (given.first()..).zip(given.items).zip(given.sums(store)?) {
                let bytes = item.bytes.as_deref().unwrap_or_default();
                if !matches!(sum, LeafSum::Is(_)) || !sum.admits(given.tree, leaf, bytes) {
                    return Ok(false);
                }
            }
            against.repaired.extend((given.first()..).take(given.items.len()).filter(|leaf| is_damaged(*leaf)));
        }
        By::Files => {}
    }
    let hashed = given.items.iter().any(|item| item.hashed.is_some());
    Ok(!hashed || hashes_fit(store, given)?)
}

/// Holds the leaves that are damaged against their addresses or stored hashes. Bytes that fit are
/// to be written over the stored ones, where those lie.
fn hold_damaged(
    store: &Store,
    against: &mut Against,
    given: &Given<'_>,
    strategy: Strategy,
    is_damaged: impl Fn(u64) -> bool,
    work: &mut [HashWork; 2],
) -> Result<(), IngestError> {
    let places = (given.first()..).zip(given.items).zip(given.hashes).filter(|((leaf, _), _)| is_damaged(*leaf));
    let places: Vec<((u64, &Item), &Checksum)> = places.collect();
    if places.is_empty() {
        return Ok(());
    }
    let reader = store.read()?;
    let Some(row) = reader.tree(given.tree)? else { return Ok(()) };
    // The address of each block, or the hash that the server computed when it came in.
    let stored = match reader.group(given.tree, given.group) {
        Ok(stored) => stored.leaves,
        Err(StoreError::Contradiction { .. } | StoreError::Record { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    for ((leaf, item), hash) in places {
        let own = if strategy == Strategy::KnownAddress { own_hash(item, work) } else { Some(*hash) };
        if own.is_none() || own.as_ref() != stored.get((leaf % GROUP_LEAVES) as usize) {
            against.damaged.push(leaf);
            continue;
        }
        against.repaired.push(leaf);
        let (offset, len) = stored_place(&reader, given.tree, &row, leaf)?;
        if let Some(bytes) = item.bytes.as_ref().filter(|bytes| bytes.len() as u64 == len) {
            against.renewals.push(Renewal::Bytes(offset, bytes.clone()));
        }
    }
    if against.damaged.is_empty() && given.sums(store)?.contains(&LeafSum::Damaged) {
        against.renewals.push(Renewal::Sums(given.group, sums_of(given.tree, given.group, given.items)));
    }
    Ok(())
}

/// Holds given bytes against their checksums. Stored bytes that differ from right ones are damaged,
/// and are to be replaced. Where no checksum is known, the stored bytes decide.
fn hold_bytes(
    store: &Store,
    against: &mut Against,
    given: &Given<'_>,
    is_damaged: impl Fn(u64) -> bool,
) -> Result<bool, IngestError> {
    let lengths: Vec<u64> =
        given.items.iter().map(|item| item.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)).collect();
    let stored = match store.read_leaves(given.tree, given.first(), given.offset, &lengths) {
        Ok(stored) => Some(stored.bytes),
        Err(StoreError::Contradiction { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let (mut at, mut renew) = (0, false);
    let mut renewals = Vec::new();
    for ((leaf, item), sum) in (given.first()..).zip(given.items).zip(given.sums(store)?) {
        let bytes = item.bytes.as_deref().unwrap_or_default();
        let there = stored.as_ref().and_then(|stored| stored.get(at..at + bytes.len())) == Some(bytes);
        let right = match sum {
            LeafSum::Is(_) => sum.admits(given.tree, leaf, bytes),
            LeafSum::Unknown | LeafSum::Damaged => there,
        };
        if !right {
            return Ok(false);
        }
        renew |= sum == LeafSum::Damaged;
        if !there {
            renewals.push(Renewal::Bytes(given.offset + at as u64, bytes.to_vec()));
        }
        if is_damaged(leaf) {
            against.repaired.push(leaf);
        } else if !there {
            against.mended += 1;
        }
        at += bytes.len();
    }
    if renew {
        renewals.push(Renewal::Sums(given.group, sums_of(given.tree, given.group, given.items)));
    }
    against.renewals.append(&mut renewals);
    Ok(true)
}

/// The hash of a block whose bytes are known.
fn own_hash(item: &Item, work: &mut [HashWork; 2]) -> Option<Checksum> {
    match &item.bytes {
        Some(bytes) => {
            work[0].add(HashWork::of([item.len]));
            Some(sha3_512(bytes))
        }
        None => item.hashed,
    }
}

/// The hashes of leaves that no unit may carry are those that are stored.
fn hashes_fit(store: &Store, given: &Given<'_>) -> Result<bool, IngestError> {
    let reader = store.read()?;
    let stored = match reader.group(given.tree, given.group) {
        Ok(stored) => stored,
        Err(StoreError::Contradiction { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    Ok(given.items.iter().zip(stored.leaves).all(|(item, stored)| item.hashed.is_none_or(|hashed| hashed == stored)))
}
