//! Compares given content with an existing tree, group by group.

use crate::hash::{Checksum, sha3_512};
use crate::merkle::{GROUP_LEAVES, TILE_LEAVES};
use crate::store::rows::{DataPlace, HashWork, HashesFrom, LeafState, Strategy, SumRow, TileRow, TreeRow, leaf_sum};
use crate::store::{LeafSum, Reader, Renewal, Store, StoreError, TreeNumber};

use super::group::Item;
use super::options::IngestError;
use crate::engine::backlog::leaf_bytes::{LoadError, read_sources, stored_places};

/// What given content is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The root, at the end, and damaged leaves with their hashes. `kept`: there is data, and bytes
    /// in the store that differ are damaged.
    Root { strategy: Strategy, kept: bool },
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
    /// Leaves that are not marked as damaged and get other bytes or another checksum.
    pub(super) mended: Vec<u64>,
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
            mended: Vec::new(),
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
    /// Of its first leaf in the stored bytes, if all groups before have the lengths of the tree's.
    pub(super) offset: u64,
    pub(super) items: &'i [Item],
    /// Their hashes, where the server has computed them or they are addresses.
    pub(super) hashes: &'i [Checksum],
}

/// What is stored of a group of leaves.
struct Stored {
    row: TreeRow,
    states: TileRow,
    /// `None` if the row is missing or damaged.
    hashes: Option<Vec<Checksum>>,
    sums: Vec<LeafSum>,
    offset: StoredOffset,
}

/// The offset of the first leaf of a group in the stored bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StoredOffset {
    /// The leaves have the lengths of those given.
    At(u64),
    /// They have other lengths.
    Differ,
    /// The row of lengths is damaged.
    Unknown,
}

impl Given<'_> {
    fn first(&self) -> u64 {
        self.group * GROUP_LEAVES
    }

    /// The bytes of each leaf that are kept.
    fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.items.iter().map(|item| item.bytes.as_deref().unwrap_or_default())
    }

    fn lengths(&self) -> Vec<u64> {
        self.bytes().map(|bytes| bytes.len() as u64).collect()
    }

    /// `None` if the tree was forgotten.
    fn stored(&self, store: &dyn Store) -> Result<Option<Stored>, StoreError> {
        let reader = store.read()?;
        let Some(row) = reader.tree(self.tree)? else { return Ok(None) };
        let states = reader.tile(self.tree, self.first() / TILE_LEAVES)?;
        let hashes = match reader.group(self.tree, self.group) {
            Ok(group) => (group.leaves.len() == self.items.len()).then_some(group.leaves),
            Err(error) if error.is_one_row() => None,
            Err(error) => return Err(error),
        };
        let sums = store.leaf_sums(self.tree, self.first(), self.items.len())?;
        let offset = match self.stored_offset(&*reader, &row) {
            Err(error) if error.is_one_row() => StoredOffset::Unknown,
            offset => offset?,
        };
        Ok(Some(Stored { row, states, hashes, sums, offset }))
    }

    fn stored_offset(&self, reader: &dyn Reader, row: &TreeRow) -> Result<StoredOffset, StoreError> {
        let first = self.first();
        if first >= row.leaves {
            return Ok(StoredOffset::Differ);
        }
        let (offset, lengths) = stored_places(reader, self.tree, row, first / TILE_LEAVES)?;
        let skip = (first % TILE_LEAVES) as usize;
        let there = lengths.iter().skip(skip).take(GROUP_LEAVES as usize);
        if !there.eq(&self.lengths()) {
            return Ok(StoredOffset::Differ);
        }
        Ok(StoredOffset::At(offset + lengths.iter().take(skip).sum::<u64>()))
    }

    /// Whether each leaf lies at its place in the stored bytes.
    fn lie_at(&self, store: &dyn Store, offset: u64) -> Result<Vec<bool>, StoreError> {
        let lengths = self.lengths();
        match store.read_leaves(self.tree, self.first(), offset, &lengths) {
            Ok(stored) => {
                let mut rest = stored.bytes.as_slice();
                let same = |bytes: &[u8]| {
                    let (own, behind) = rest.split_at_checked(bytes.len()).unwrap_or_default();
                    rest = behind;
                    own == bytes
                };
                Ok(self.bytes().map(same).collect())
            }
            // Some are missing: one by one.
            Err(StoreError::Contradiction { .. }) => {
                let mut at = offset;
                let mut lie = Vec::with_capacity(lengths.len());
                for ((leaf, bytes), length) in (self.first()..).zip(self.bytes()).zip(lengths) {
                    lie.push(match store.read_leaves(self.tree, leaf, at, &[length]) {
                        Ok(stored) => stored.bytes == bytes,
                        Err(StoreError::Contradiction { .. }) => false,
                        Err(error) => return Err(error),
                    });
                    at += length;
                }
                Ok(lie)
            }
            Err(error) => Err(error),
        }
    }
}

impl Stored {
    fn is_damaged(&self, leaf: u64) -> bool {
        self.states.state(leaf % TILE_LEAVES) == LeafState::Damaged
    }

    /// Whether the bytes are in the store, and it is not known where.
    fn is_lost(&self) -> bool {
        self.row.data == DataPlace::Copied && !matches!(self.offset, StoredOffset::At(_))
    }

    /// Whether each given leaf lies in the stored bytes; all do where there is nothing to look at.
    fn lie(&self, store: &dyn Store, given: &Given<'_>) -> Result<Vec<bool>, StoreError> {
        match self.offset {
            StoredOffset::At(offset) if self.row.data == DataPlace::Copied => given.lie_at(store, offset),
            _ => Ok(vec![true; given.items.len()]),
        }
    }
}

/// Holds a group that is given against the tree that is there. Returns whether it may be the same.
pub(super) fn hold(
    store: &dyn Store,
    against: &mut Against,
    given: &Given<'_>,
    work: &mut [HashWork; 2],
) -> Result<bool, IngestError> {
    let Some(stored) = given.stored(store)? else { return Ok(true) };
    match against.by {
        By::Root { strategy, kept } => {
            if stored.hashes.is_none() {
                against.regroup(given, given.hashes.to_vec());
            }
            hold_proved(store, against, given, &stored, (strategy, kept), work)?;
            return Ok(true);
        }
        By::Bytes => {
            if !hold_bytes(store, against, given, &stored)? {
                return Ok(false);
            }
        }
        By::Sums => {
            if !hold_sums(store, against, given, &stored)? {
                return Ok(false);
            }
            let leaves = (given.first()..).take(given.items.len());
            against.repaired.extend(leaves.filter(|leaf| stored.is_damaged(*leaf)));
        }
        By::Files => {}
    }
    let hashed = given.items.iter().any(|item| item.hashed.is_some());
    if stored.hashes.is_none() && !hashed {
        // The server hashes what clients had hashed.
        let done = |leaf: u64| stored.states.state(leaf % TILE_LEAVES).is_done();
        let hash = |(leaf, item)| if done(leaf) { own_hash(item, work) } else { None };
        let hashes = (given.first()..).zip(given.items).map(hash).map(|hash| hash.unwrap_or(Checksum::ZERO));
        against.regroup(given, hashes.collect());
        return Ok(true);
    }
    Ok(!hashed || hashes_fit(given, &stored))
}

impl Against {
    fn regroup(&mut self, given: &Given<'_>, hashes: Vec<Checksum>) {
        if self.groups.len() < GROUPS_MAX {
            self.groups.push((given.group, hashes));
        }
    }

    /// Writes right bytes over stored ones. `leaf` counts from the first one of the group.
    fn renew_bytes(&mut self, given: &Given<'_>, offset: u64, leaf: usize) {
        let before: usize = given.bytes().take(leaf).map(<[u8]>::len).sum();
        if let Some(bytes) = given.bytes().nth(leaf) {
            self.renewals.push(Renewal::Bytes(offset + before as u64, bytes.to_vec()));
        }
    }

    /// Writes the row of the checksums of a group, if the right one of each leaf is known: `right`
    /// says whose bytes are right.
    fn renew_sums(&mut self, given: &Given<'_>, sums: &[LeafSum], right: &[bool]) {
        let leaves = (given.first()..).zip(given.bytes()).zip(sums.iter().zip(right));
        let sum = |((leaf, bytes), (sum, right)): ((u64, &[u8]), (&LeafSum, &bool))| match sum {
            _ if *right => Some(leaf_sum(given.tree, leaf, bytes)),
            LeafSum::Is(sum) => Some(*sum),
            LeafSum::Unknown | LeafSum::Damaged => None,
        };
        if let Some(leaves) = leaves.map(sum).collect::<Option<Vec<u64>>>() {
            self.renewals.push(Renewal::Sums(given.group, SumRow { leaves }));
        }
    }
}

/// Holds given bytes against checksums, where the bytes are in files. A damaged row of checksums is
/// replaced if the recorded files are as they were and hold the same bytes.
fn hold_sums(
    store: &dyn Store,
    against: &mut Against,
    given: &Given<'_>,
    stored: &Stored,
) -> Result<bool, IngestError> {
    if stored.sums.contains(&LeafSum::Damaged) {
        let there = match read_sources(store, given.tree, given.first(), &given.lengths()) {
            Ok(there) => there,
            Err(LoadError::Store(error)) => return Err(error.into()),
            Err(_) => return Ok(false),
        };
        if stored.offset == StoredOffset::Differ || there != given.bytes().flatten().copied().collect::<Vec<u8>>() {
            return Ok(false);
        }
        against.renew_sums(given, &stored.sums, &vec![true; given.items.len()]);
        against.mended.extend((given.first()..).take(given.items.len()));
        return Ok(true);
    }
    let mut leaves = (given.first()..).zip(given.bytes()).zip(&stored.sums);
    Ok(leaves.all(|((leaf, bytes), sum)| matches!(sum, LeafSum::Is(_)) && sum.admits(given.tree, leaf, bytes)))
}

/// Finds leaves that are marked as damaged, whose stored bytes are others, or whose checksum is
/// damaged or that of others. Given bytes with the hash that is stored are right; where no hash is
/// known, those with the right checksum. They are written over the stored ones, and get their
/// checksum.
fn hold_proved(
    store: &dyn Store,
    against: &mut Against,
    given: &Given<'_>,
    stored: &Stored,
    (strategy, kept): (Strategy, bool),
    work: &mut [HashWork; 2],
) -> Result<(), IngestError> {
    let lie = if kept { stored.lie(store, given)? } else { vec![true; given.items.len()] };
    let (mut right, mut renew) = (vec![false; given.items.len()], false);
    let leaves = (given.first()..).zip(given.items).zip(given.bytes()).zip(stored.sums.iter().zip(given.hashes));
    for (at, (((leaf, item), bytes), (sum, hash))) in leaves.enumerate() {
        let marked = stored.is_damaged(leaf);
        let sum_fits = !kept || sum.admits(given.tree, leaf, bytes);
        if lie[at] && sum_fits && !marked {
            continue;
        }
        right[at] = match &stored.hashes {
            Some(hashes) if strategy.hashes() == HashesFrom::Addresses => {
                own_hash(item, work).as_ref() == hashes.get(at)
            }
            Some(hashes) => hashes.get(at) == Some(hash),
            // The root proves the address.
            None if strategy.hashes() == HashesFrom::Addresses => own_hash(item, work).as_ref() == Some(hash),
            None => matches!(sum, LeafSum::Is(_)) && sum_fits,
        };
        if right[at] && kept && stored.is_lost() {
            // Nothing can be written: a leaf that is marked stays so.
            continue;
        }
        if !right[at] {
            // The root proves addresses only, not the bytes given with them.
            let unproved = strategy.hashes() == HashesFrom::Addresses && !lie[at];
            against.damaged.extend((marked || unproved).then_some(leaf));
            continue;
        }
        renew |= !sum_fits;
        if let (false, StoredOffset::At(offset)) = (lie[at], stored.offset) {
            against.renew_bytes(given, offset, at);
        }
        if marked { against.repaired.push(leaf) } else { against.mended.push(leaf) }
    }
    if renew && !stored.is_lost() {
        against.renew_sums(given, &stored.sums, &right);
    }
    Ok(())
}

/// Holds given bytes against their checksums. Stored bytes that differ from right ones are damaged,
/// and are to be replaced. Where no checksum is known, the stored bytes decide.
fn hold_bytes(
    store: &dyn Store,
    against: &mut Against,
    given: &Given<'_>,
    stored: &Stored,
) -> Result<bool, IngestError> {
    if stored.offset == StoredOffset::Differ {
        return Ok(false);
    }
    // Without a row of lengths only checksums prove the lengths of the given leaves.
    let (known, offset) = match stored.offset {
        StoredOffset::At(offset) => (true, offset),
        StoredOffset::Differ | StoredOffset::Unknown => (false, given.offset),
    };
    let lie = given.lie_at(store, offset)?;
    let fits = |((leaf, bytes), (sum, lies)): ((u64, &[u8]), (&LeafSum, &bool))| match sum {
        LeafSum::Is(_) => sum.admits(given.tree, leaf, bytes),
        LeafSum::Unknown | LeafSum::Damaged => known && *lies,
    };
    if !(given.first()..).zip(given.bytes()).zip(stored.sums.iter().zip(&lie)).all(fits) {
        return Ok(false);
    }
    for (at, leaf) in (given.first()..).take(given.items.len()).enumerate() {
        if !lie[at] {
            against.renew_bytes(given, offset, at);
        }
        if stored.is_damaged(leaf) {
            against.repaired.push(leaf);
        } else if !lie[at] || stored.sums[at] == LeafSum::Damaged {
            against.mended.push(leaf);
        }
    }
    if stored.sums.contains(&LeafSum::Damaged) {
        against.renew_sums(given, &stored.sums, &vec![true; given.items.len()]);
    }
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
fn hashes_fit(given: &Given<'_>, stored: &Stored) -> bool {
    let Some(hashes) = &stored.hashes else { return false };
    given.items.iter().zip(hashes).all(|(item, stored)| item.hashed.is_none_or(|hashed| hashed == *stored))
}
