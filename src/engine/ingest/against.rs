//! Compares given content with an existing tree, group by group.

use crate::hash::{Checksum, sha3_512};
use crate::merkle::{GROUP_LEAVES, TILE_LEAVES};
use crate::store::records::{DataPlace, HashWork, LeafState, Strategy};
use crate::store::{LeafSum, Renewal, Store, StoreError, TreeNumber};

use super::group::{Item, sums_of};
use super::options::IngestError;
use crate::engine::backlog::leaf_bytes::{LoadError, read_sources, stored_place};

/// What given content is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The root, at the end, and damaged leaves with their hashes. `copied`: the bytes are in the
    /// store, and those that differ are damaged.
    Root { strategy: Strategy, copied: bool },
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
    /// Groups whose row of hashes is damaged, with right hashes, which count if all of the content
    /// is that of the tree. Bounded by [`GROUPS_MAX`]; further ones are for the next ingest.
    pub(super) groups: Vec<(u64, Vec<Checksum>)>,
    /// The counts of the tree are damaged.
    pub(super) recount: bool,
}

/// Most rows of hashes that one ingest of a tree writes again.
const GROUPS_MAX: usize = 4_096;

impl Default for Against {
    fn default() -> Self {
        Self {
            by: By::Files,
            repaired: Vec::new(),
            damaged: Vec::new(),
            mended: 0,
            renewals: Vec::new(),
            groups: Vec::new(),
            recount: false,
        }
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

    /// Whether the tree's row of its hashes is missing or damaged.
    fn lacks_hashes(&self, store: &Store) -> Result<bool, StoreError> {
        match store.read()?.group(self.tree, self.group) {
            Ok(row) => Ok(row.leaves.len() != self.items.len()),
            Err(error) if error.is_one_row() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The stored bytes, if none of them are missing.
    fn stored(&self, store: &Store) -> Result<Option<Vec<u8>>, StoreError> {
        let lengths: Vec<u64> = self.bytes().map(|bytes| bytes.len() as u64).collect();
        match store.read_leaves(self.tree, self.first(), self.offset, &lengths) {
            Ok(stored) => Ok(Some(stored.bytes)),
            Err(StoreError::Contradiction { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The bytes of each leaf that are kept.
    fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.items.iter().map(|item| item.bytes.as_deref().unwrap_or_default())
    }

    /// The leaves whose stored bytes are others or missing, one bit each, the first leaf lowest.
    fn differing(&self, store: &Store) -> Result<u32, StoreError> {
        let stored = self.stored(store)?;
        let (mut at, mut differing) = (0, 0);
        for (place, bytes) in self.bytes().enumerate() {
            if !lie_at(stored.as_deref(), at, bytes) {
                differing |= 1 << place;
            }
            at += bytes.len();
        }
        Ok(differing)
    }

    fn sums(&self, store: &Store) -> Result<Vec<LeafSum>, StoreError> {
        store.leaf_sums(self.tree, self.first(), self.items.len())
    }
}

fn lie_at(stored: Option<&[u8]>, at: usize, bytes: &[u8]) -> bool {
    bytes.is_empty() || stored.and_then(|stored| stored.get(at..at + bytes.len())) == Some(bytes)
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
    let lacks_hashes = given.lacks_hashes(store)?;
    match against.by {
        By::Root { strategy, copied } => {
            if lacks_hashes {
                against.regroup(given, given.hashes.to_vec());
            } else {
                let differing = if copied { given.differing(store)? } else { 0 };
                let differs = |leaf: u64| differing & (1 << (leaf % GROUP_LEAVES)) != 0;
                hold_damaged(store, against, given, strategy, (is_damaged, differs), work)?;
            }
            return Ok(true);
        }
        By::Bytes => {
            if !hold_bytes(store, against, given, is_damaged)? {
                return Ok(false);
            }
        }
        By::Sums => {
            if !hold_sums(store, against, given)? {
                return Ok(false);
            }
            against.repaired.extend((given.first()..).take(given.items.len()).filter(|leaf| is_damaged(*leaf)));
        }
        By::Files => {}
    }
    let hashed = given.items.iter().any(|item| item.hashed.is_some());
    if lacks_hashes && !hashed {
        // The server hashes what clients had hashed.
        let done = |leaf: u64| states.state(leaf % TILE_LEAVES).is_done();
        let hash = |(leaf, item)| if done(leaf) { own_hash(item, work) } else { None };
        let hashes = (given.first()..).zip(given.items).map(hash).map(|hash| hash.unwrap_or(Checksum::ZERO));
        against.regroup(given, hashes.collect());
        return Ok(true);
    }
    Ok(!hashed || hashes_fit(store, given)?)
}

impl Against {
    /// The checksums of a group are damaged; its content is right.
    fn renew_sums(&mut self, given: &Given<'_>) {
        self.renewals.push(Renewal::Sums(given.group, sums_of(given.tree, given.group, given.items)));
        self.mended += given.items.len() as u64;
    }

    fn regroup(&mut self, given: &Given<'_>, hashes: Vec<Checksum>) {
        if self.groups.len() < GROUPS_MAX {
            self.groups.push((given.group, hashes));
        }
    }
}

/// Holds given bytes against checksums, where the bytes are in files. A damaged row of checksums is
/// replaced if the recorded files are as they were and hold the same bytes.
fn hold_sums(store: &Store, against: &mut Against, given: &Given<'_>) -> Result<bool, IngestError> {
    let sums = given.sums(store)?;
    let bytes = |item: &Item| item.bytes.clone().unwrap_or_default();
    if sums.contains(&LeafSum::Damaged) {
        let lengths: Vec<u64> = given.items.iter().map(|item| bytes(item).len() as u64).collect();
        let there = match read_sources(store, given.tree, given.first(), &lengths) {
            Ok(there) => there,
            Err(LoadError::Store(error)) => return Err(error.into()),
            Err(_) => return Ok(false),
        };
        if there != given.items.iter().flat_map(bytes).collect::<Vec<u8>>() {
            return Ok(false);
        }
        against.renew_sums(given);
        return Ok(true);
    }
    let mut leaves = (given.first()..).zip(given.items).zip(sums);
    Ok(leaves.all(|((leaf, item), sum)| {
        let bytes = item.bytes.as_deref().unwrap_or_default();
        matches!(sum, LeafSum::Is(_)) && sum.admits(given.tree, leaf, bytes)
    }))
}

/// Holds the leaves that are marked as damaged or differ from the stored bytes against their
/// addresses or stored hashes. Bytes that fit are to be written over the stored ones, where those
/// lie.
fn hold_damaged(
    store: &Store,
    against: &mut Against,
    given: &Given<'_>,
    strategy: Strategy,
    (is_damaged, differs): (impl Fn(u64) -> bool, impl Fn(u64) -> bool),
    work: &mut [HashWork; 2],
) -> Result<(), IngestError> {
    let doubtful = |leaf: u64| is_damaged(leaf) || differs(leaf);
    let places = (given.first()..).zip(given.items).zip(given.hashes).filter(|((leaf, _), _)| doubtful(*leaf));
    let places: Vec<((u64, &Item), &Checksum)> = places.collect();
    let reader = store.read()?;
    let Some(row) = reader.tree(given.tree)? else { return Ok(()) };
    if places.is_empty() {
        // A leaf of a file is never marked because of its checksum, another one not at once.
        let damaged = row.data != DataPlace::Dropped && given.sums(store)?.contains(&LeafSum::Damaged);
        if damaged && own_hashes(strategy, given, work) == reader.group(given.tree, given.group)?.leaves {
            against.renew_sums(given);
        }
        return Ok(());
    }
    // The address of each block, or the hash that the server computed when it came in.
    let stored = match reader.group(given.tree, given.group) {
        Ok(stored) => stored.leaves,
        Err(StoreError::Contradiction { .. } | StoreError::Record { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    for ((leaf, item), hash) in places {
        let own = if strategy == Strategy::KnownAddress { own_hash(item, work) } else { Some(*hash) };
        let marked = is_damaged(leaf);
        if own.is_none() || own.as_ref() != stored.get((leaf % GROUP_LEAVES) as usize) {
            // If it is not marked, the root decides.
            against.damaged.extend(marked.then_some(leaf));
            continue;
        }
        match marked {
            true => against.repaired.push(leaf),
            false => against.mended += 1,
        }
        let (offset, len) = stored_place(&reader, given.tree, &row, leaf)?;
        if let Some(bytes) =
            item.bytes.as_ref().filter(|bytes| row.data == DataPlace::Copied && bytes.len() as u64 == len)
        {
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
    let stored = given.stored(store)?;
    let (mut at, mut renew) = (0, false);
    let mut renewals = Vec::new();
    for ((leaf, item), sum) in (given.first()..).zip(given.items).zip(given.sums(store)?) {
        let bytes = item.bytes.as_deref().unwrap_or_default();
        let there = lie_at(stored.as_deref(), at, bytes);
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
        } else if !there || sum == LeafSum::Damaged {
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

/// The hashes of what is given, none of them from its address.
fn own_hashes(strategy: Strategy, given: &Given<'_>, work: &mut [HashWork; 2]) -> Vec<Checksum> {
    if strategy == Strategy::KnownAddress {
        given.items.iter().filter_map(|item| own_hash(item, work)).collect()
    } else {
        given.hashes.to_vec()
    }
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
        Err(error) if error.is_one_row() => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    Ok(given.items.iter().zip(stored.leaves).all(|(item, stored)| item.hashed.is_none_or(|hashed| hashed == stored)))
}
