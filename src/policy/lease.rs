//! Leases: which work is out, under which challenge, until when.
//!
//! **Rule L.** A token is honoured only through a lease. A token of this boot needs its own live
//! lease. A token of an earlier boot is adopted as a lease when it arrives, and is withdrawn if any
//! of its leaves is done or leased, if its answer was refused before, or if its leaves are part of
//! a group of votes of another size. A lease is pinned from the arrival of its answer to the
//! commit, never ends before its token, and is released by challenge id, never by range.
//!
//! Leases live in memory; a restart forgets them, and adoption brings back those whose answers
//! come. The table has a fixed bound: when it is full nothing is issued, and no lease is ever
//! evicted.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::merkle::AlignedRange;
use crate::protocol::WorkId;

/// The work a lease covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Claim {
    /// Leaves of a tree, all in one tile.
    Leaves {
        /// Tree number.
        tree: u64,
        /// The leaves.
        range: AlignedRange,
    },
    /// One interior node above the tiles.
    Interior {
        /// Tree number.
        tree: u64,
        /// Level, 0 = root.
        level: u8,
        /// Index within the level.
        index: u64,
    },
    /// Made-up work that overlaps with nothing.
    Synthetic,
}

impl Claim {
    /// The tree, if it is real work.
    pub fn tree(&self) -> Option<u64> {
        match self {
            Self::Leaves { tree, .. } | Self::Interior { tree, .. } => Some(*tree),
            Self::Synthetic => None,
        }
    }

    /// Whether it is an interior node.
    pub fn is_interior(&self) -> bool {
        matches!(self, Self::Interior { .. })
    }

    /// Tree and leaves, if it is leaves.
    pub fn leaves(&self) -> Option<(u64, AlignedRange)> {
        match self {
            Self::Leaves { tree, range } => Some((*tree, *range)),
            _ => None,
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Leaves { tree, range }, Self::Leaves { tree: t, range: r }) => tree == t && range.overlaps(r),
            (Self::Interior { .. }, Self::Interior { .. }) => self == other,
            _ => false,
        }
    }

    fn tile_or_node(&self) -> Option<TileOrNode> {
        match self {
            Self::Leaves { tree, range } => Some(TileOrNode::Tile(*tree, range.tile())),
            Self::Interior { tree, level, index } => Some(TileOrNode::Node(*tree, *level, *index)),
            Self::Synthetic => None,
        }
    }
}

/// The tile of the leaves of a claim, or its interior node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum TileOrNode {
    Tile(u64, u64),
    Node(u64, u8, u64),
}

/// One piece of work that is out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Challenge id.
    pub id: WorkId,
    /// The work.
    pub claim: Claim,
    /// Expiry of its token, Unix milliseconds.
    pub expires_ms: u64,
    /// An answer is being judged; it does not end until that is over.
    pub pinned: bool,
    /// Well-formed token, right client, but refused before a verdict.
    pub refusals: u32,
}

/// Why a lease was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseRefusal {
    /// The table is at its bound.
    #[error("{0} units are out already")]
    Full(usize),
    /// Part of the work is out under another challenge.
    #[error("the work is out under another challenge")]
    Overlap,
}

/// What pinning found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// Pinned now.
    Pinned(Claim),
    /// Another answer under the same challenge is being judged.
    Busy,
    /// No such lease.
    Unknown,
}

/// All leases of one boot.
///
/// They lie in a slab, found through an ordered index. A hash table with many inserts and
/// removals ends up twice as large for the same number of entries; with whole leases in it that was
/// 12 MiB at 100 000.
#[derive(Debug)]
pub struct LeaseTable {
    slab: Vec<Option<Lease>>,
    free: Vec<u32>,
    index: BTreeMap<WorkId, u32>,
    by_tile_or_node: HashMap<TileOrNode, Vec<WorkId>>,
    by_expiry: BTreeSet<(u64, WorkId)>,
    synthetic: usize,
    bound: usize,
}

impl LeaseTable {
    /// A table that holds at most `bound` leases.
    pub fn new(bound: usize) -> Self {
        Self {
            slab: Vec::new(),
            free: Vec::new(),
            index: BTreeMap::new(),
            by_tile_or_node: HashMap::new(),
            by_expiry: BTreeSet::new(),
            synthetic: 0,
            bound: bound.min(u32::MAX as usize),
        }
    }

    /// Adds a lease. A refused lease changes nothing.
    ///
    /// # Errors
    /// [`LeaseRefusal`] if the table is full, or the work overlaps a live lease.
    pub fn insert(&mut self, lease: Lease) -> Result<(), LeaseRefusal> {
        if self.index.len() >= self.bound {
            return Err(LeaseRefusal::Full(self.bound));
        }
        if self.is_out(&lease.claim) || self.index.contains_key(&lease.id) {
            return Err(LeaseRefusal::Overlap);
        }
        if let Some(part) = lease.claim.tile_or_node() {
            self.by_tile_or_node.entry(part).or_default().push(lease.id);
        }
        self.by_expiry.insert((lease.expires_ms, lease.id));
        self.synthetic += usize::from(lease.claim == Claim::Synthetic);
        let id = lease.id;
        let at = match self.free.pop() {
            Some(at) => {
                self.slab[at as usize] = Some(lease);
                at
            }
            None => {
                self.slab.push(Some(lease));
                (self.slab.len() - 1) as u32
            }
        };
        self.index.insert(id, at);
        Ok(())
    }

    /// Marks the lease of `id` as being judged.
    pub fn pin(&mut self, id: WorkId) -> Pin {
        match self.find_mut(id) {
            None => Pin::Unknown,
            Some(lease) if lease.pinned => Pin::Busy,
            Some(lease) => {
                lease.pinned = true;
                Pin::Pinned(lease.claim)
            }
        }
    }

    /// Takes the mark off again: no verdict was reached. Returns how often that has happened, if it
    /// counts against the challenge.
    pub fn unpin(&mut self, id: WorkId, refused: bool) -> u32 {
        match self.find_mut(id) {
            Some(lease) => {
                lease.pinned = false;
                lease.refusals += u32::from(refused);
                lease.refusals
            }
            None => 0,
        }
    }

    /// Ends the lease of `id`, whatever its state.
    pub fn release(&mut self, id: WorkId) -> Option<Lease> {
        let at = self.index.remove(&id)?;
        let lease = self.slab.get_mut(at as usize)?.take()?;
        self.free.push(at);
        self.by_expiry.remove(&(lease.expires_ms, id));
        self.synthetic -= usize::from(lease.claim == Claim::Synthetic);
        if let Some(part) = lease.claim.tile_or_node()
            && let Some(ids) = self.by_tile_or_node.get_mut(&part)
        {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_tile_or_node.remove(&part);
            }
        }
        Some(lease)
    }

    /// Ends up to `limit` leases whose token is past its expiry and that are not pinned.
    pub fn expire(&mut self, now_ms: u64, limit: usize) -> Vec<Lease> {
        let due: Vec<WorkId> = self
            .by_expiry
            .iter()
            .take_while(|(expires, _)| *expires < now_ms)
            .map(|(_, id)| *id)
            .filter(|id| self.find(*id).is_some_and(|lease| !lease.pinned))
            .take(limit)
            .collect();
        due.into_iter().filter_map(|id| self.release(id)).collect()
    }

    /// Ends all leases of a tree that is gone. Pinned ones too: their commit will be refused.
    pub fn release_tree(&mut self, tree: u64) -> Vec<Lease> {
        let ids: Vec<WorkId> =
            self.iter().filter(|lease| lease.claim.tree() == Some(tree)).map(|lease| lease.id).collect();
        ids.into_iter().filter_map(|id| self.release(id)).collect()
    }

    /// Whether any part of `claim` is out.
    pub fn is_out(&self, claim: &Claim) -> bool {
        let Some(part) = claim.tile_or_node() else {
            return false;
        };
        self.by_tile_or_node
            .get(&part)
            .into_iter()
            .flatten()
            .any(|id| self.find(*id).is_some_and(|lease| lease.claim.overlaps(claim)))
    }

    /// One bit for each leaf of a tile that is out.
    pub fn tile_mask(&self, tree: u64, tile: u64) -> u32 {
        let mut mask = 0;
        for id in self.by_tile_or_node.get(&TileOrNode::Tile(tree, tile)).into_iter().flatten() {
            if let Some(Lease { claim: Claim::Leaves { range, .. }, .. }) = self.find(*id) {
                mask |= super::ready::mask_of(range);
            }
        }
        mask
    }

    /// The lease of `id`.
    pub fn find(&self, id: WorkId) -> Option<&Lease> {
        self.slab.get(*self.index.get(&id)? as usize)?.as_ref()
    }

    /// Leases now.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether nothing is out.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Approximate bytes held: a lease is in three collections.
    pub fn memory_bytes(&self) -> usize {
        let in_map = size_of::<TileOrNode>() + size_of::<Vec<WorkId>>() + size_of::<WorkId>() + 1;
        // Nodes of both ordered collections are half full when keys come in order.
        let in_order = 2 * (size_of::<(u64, WorkId)>() + size_of::<(WorkId, u32)>());
        self.slab.capacity() * size_of::<Option<Lease>>()
            + self.free.capacity() * size_of::<u32>()
            + self.index.len() * in_order
            + self.by_tile_or_node.capacity() * in_map
    }

    /// Leases of made-up work.
    pub fn synthetic(&self) -> usize {
        self.synthetic
    }

    /// All leases, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.slab.iter().flatten()
    }

    fn find_mut(&mut self, id: WorkId) -> Option<&mut Lease> {
        self.slab.get_mut(*self.index.get(&id)? as usize)?.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_that_come_and_go_take_no_more_room_than_those_that_are_out_at_once() {
        let mut table = LeaseTable::new(10_000);
        let lease = |at: u64| Lease {
            id: WorkId::from_parts(at, [7; 10]),
            claim: Claim::Synthetic,
            expires_ms: at,
            pinned: false,
            refusals: 0,
        };
        (0..1_000).for_each(|at| table.insert(lease(at)).unwrap());
        let room = table.memory_bytes();
        for at in 1_000..50_000 {
            assert_eq!(table.expire(at - 999, 10).len(), 1);
            table.insert(lease(at)).unwrap();
        }
        assert_eq!(table.len(), 1_000);
        assert!(table.memory_bytes() < room * 11 / 10, "{room} bytes became {}", table.memory_bytes());
    }
}
