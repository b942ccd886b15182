//! The work queue in memory: the ready ring, the leases, and how far the backlog has been read.
//!
//! The store decides: a leaf that is not done there is pending, whatever happens here. Each pending
//! leaf is read in queue order, and is then in the ring, leased, or given back.

use std::collections::{HashSet, VecDeque};

use parking_lot::MutexGuard;

use crate::merkle::AlignedRange;
use crate::policy::lease::{Claim, Lease, LeaseTable};
use crate::policy::ready::{ReadyRing, ReadyUnit, mask_of};
use crate::protocol::DifficultyTier;
use crate::store::TreeNumber;

use super::blocked::{BlockedLeaves, Look};
use super::interior::InteriorQueue;
use crate::engine::config::{Config, ConfigBuilder};
use crate::engine::locks::{Guard, Rank, Ranked};

/// The queue, behind its lock. No lock of the store is taken while it is held.
#[derive(Debug)]
pub(in crate::engine) struct WorkQueue(Ranked<Queue>);

impl WorkQueue {
    pub(in crate::engine) fn new(config: &Config) -> Self {
        Self(Ranked::new(Rank::Queue, Queue::new(config)))
    }

    pub(in crate::engine) fn lock(&self) -> Guard<MutexGuard<'_, Queue>> {
        self.0.lock()
    }
}

#[derive(Debug)]
pub(in crate::engine) struct Queue {
    pub(in crate::engine) ring: ReadyRing,
    pub(in crate::engine) leases: LeaseTable,
    /// Issued work that was given back. Bounded by the leases and the ring it came from.
    pub(in crate::engine) returned: VecDeque<Returned>,
    /// Ranges with votes that have no place in the ring. Bounded by the open quorums.
    pub(in crate::engine) voted: WaitingRanges,
    /// When units with votes last made room for others, engine time.
    turned_ms: u64,
    pub(in crate::engine) scan: Scan,
    pub(in crate::engine) interior: InteriorQueue,
    /// Trees with their first leaf done in this boot, whose units go first. Bounded by
    /// [`PARTIAL_MAX`]: beyond it new units of further trees queue as fresh ones.
    partial: HashSet<TreeNumber>,
    /// Leaves that are kept back: neither ready, nor given back before the server has looked at
    /// them.
    pub(in crate::engine) blocked: BlockedLeaves,
}

const PARTIAL_MAX: usize = 65_536;

/// Least time that units with votes keep their places in the ring.
const TURN_MS: u64 = 250;

/// Ranges that wait for a place, each once.
#[derive(Debug, Default)]
pub(in crate::engine) struct WaitingRanges {
    order: VecDeque<Returned>,
    known: HashSet<Returned>,
}

impl WaitingRanges {
    pub(in crate::engine) fn push(&mut self, range: Returned) {
        if self.known.insert(range) {
            self.order.push_back(range);
        }
    }

    pub(in crate::engine) fn pop(&mut self) -> Option<Returned> {
        let range = self.order.pop_front()?;
        self.known.remove(&range);
        Some(range)
    }

    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(in crate::engine) fn len(&self) -> usize {
        self.order.len()
    }

    fn drop_tree(&mut self, tree: TreeNumber) {
        self.order.retain(|range| range.tree != tree);
        self.known.retain(|range| range.tree != tree);
    }
}

/// Leaves of one tile that are pending again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::engine) struct Returned {
    pub(in crate::engine) tree: TreeNumber,
    pub(in crate::engine) tile: u64,
    pub(in crate::engine) mask: u32,
}

impl Returned {
    pub(in crate::engine) fn of(tree: TreeNumber, range: &AlignedRange) -> Self {
        Self { tree, tile: range.tile(), mask: mask_of(range) }
    }
}

/// How far the backlog has been read in this boot.
#[derive(Debug, Default)]
pub(in crate::engine) struct Scan {
    /// The tree being read.
    pub(in crate::engine) current: Option<Cursor>,
    /// Trees to read (again) before any other. Bounded by the leases and the blocked trees.
    pub(in crate::engine) extra: VecDeque<TreeNumber>,
    /// Trees put there because a lease was adopted in this boot: once each. Bounded by the leases
    /// of the last boot.
    adopted: HashSet<TreeNumber>,
    /// Last partly built tree opened; `None` before the first. After those that were partly built
    /// at open come trees with a leaf that the server hashed at ingest, and trees opened as fresh
    /// ones before: of these only leaves that are neither ready nor leased are taken.
    pub(in crate::engine) partial_after: Option<u64>,
    /// Last fresh tree opened; `None` before the first.
    pub(in crate::engine) fresh_after: Option<u64>,
    /// Tree of a stretch being read without the lock: leaves settled meanwhile must not come back.
    pub(in crate::engine) reading: Option<TreeNumber>,
    pub(in crate::engine) settled_meanwhile: Vec<AlignedRange>,
}

/// A place within one tree.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Cursor {
    pub(in crate::engine) tree: TreeNumber,
    pub(in crate::engine) next_tile: u64,
    pub(in crate::engine) tiles: u64,
    /// Tiles to read at once.
    pub(in crate::engine) stride: u64,
    pub(in crate::engine) partial: bool,
}

impl Queue {
    pub(in crate::engine) fn new(config: &Config) -> Self {
        let settings = &config.settings;
        Self {
            ring: ReadyRing::new(settings.unit_bytes.into()),
            leases: LeaseTable::new(settings.leases_max),
            returned: VecDeque::new(),
            voted: WaitingRanges::default(),
            turned_ms: 0,
            scan: Scan::default(),
            interior: InteriorQueue::default(),
            partial: HashSet::new(),
            blocked: BlockedLeaves::default(),
        }
    }

    /// Records an accepted answer; `lease` has just been released.
    pub(in crate::engine) fn settled(&mut self, lease: &Lease, first_leaf: bool) {
        if let Some((tree, range)) = lease.claim.leaves() {
            if self.scan.reading == Some(tree) {
                self.scan.settled_meanwhile.push(range);
            }
            if first_leaf {
                if self.partial.len() < PARTIAL_MAX {
                    self.partial.insert(tree);
                }
                self.ring.promote(tree);
            }
        }
        if let Claim::Interior { tree, level, index } = lease.claim {
            self.interior.settled(tree, level, index);
        }
    }

    /// Records an answer accepted as a vote; `lease` has just been released, and its leaves are for
    /// other clients.
    pub(in crate::engine) fn voted(&mut self, lease: &Lease) {
        if let Some((tree, range)) = lease.claim.leaves()
            && self.scan.reading == Some(tree)
        {
            // The stretch being read now does not contain the vote.
            self.scan.settled_meanwhile.push(range);
        }
        if let Some((tree, range)) = lease.claim.leaves() {
            self.voted.push(Returned::of(tree, &range));
        }
    }

    /// Returns whether there is room for one more unit with votes. They have their own bounds, so
    /// that units closed to the present clients do not displace units open to all.
    pub(in crate::engine) fn has_room_for_votes(&self, settings: &ConfigBuilder) -> bool {
        let (units, bytes) = self.ring.voted();
        let room = self.ring.bytes() < settings.ready_bytes_max;
        room && units < settings.min_queue_depth * 2 && bytes < settings.ready_bytes_max / 2
    }

    /// Replaces the units with votes that a client may not join by waiting ones, if there are any.
    /// At most every [`TURN_MS`], since the waiting ones have to be read from the disk.
    pub(in crate::engine) fn rotate_votes(&mut self, tier: DifficultyTier, now_ms: u64) {
        if self.voted.is_empty() || now_ms < self.turned_ms.saturating_add(TURN_MS) {
            return;
        }
        self.turned_ms = now_ms;
        for unit in self.ring.take_looked_at(tier) {
            self.voted.push(Returned::of(unit.tree, &unit.range));
        }
    }

    /// Records work leased under a token from an earlier boot. Its tree may not have been opened in
    /// this one, and its place in the queue changes with its first done leaf, from any client. So
    /// the tree is listed in `extra`.
    pub(in crate::engine) fn adopted(&mut self, tree: TreeNumber, range: &AlignedRange) {
        for unit in self.ring.withdraw(tree, range) {
            self.voted.push(Returned::of(unit.tree, &unit.range));
        }
        if self.scan.adopted.insert(tree) {
            self.scan.extra.push_back(tree);
        }
    }

    /// Makes the work of a lease that ended without success pending again. Leaves that are kept
    /// back come later, after a look at them.
    pub(in crate::engine) fn give_back(&mut self, lease: &Lease) {
        match lease.claim {
            Claim::Leaves { tree, range } => {
                let mask = mask_of(&range) & !self.blocked.mask(tree, range.tile());
                if mask != 0 {
                    self.returned.push_back(Returned { tree, tile: range.tile(), mask });
                }
            }
            Claim::Interior { tree, level, index } => self.interior.give_back(tree, level, index),
            Claim::Synthetic => {}
        }
    }

    /// Returns the leaves of a tile that are in the ring, leased, kept back, or settled while the
    /// tile was being read.
    pub(in crate::engine) fn taken_mask(&self, tree: TreeNumber, tile: u64) -> u32 {
        let mut mask = self.leases.tile_mask(tree, tile) | self.ring.tile_mask(tree, tile);
        mask |= self.blocked.mask(tree, tile);
        if self.scan.reading == Some(tree) {
            for range in self.scan.settled_meanwhile.iter().filter(|range| range.tile() == tile) {
                mask |= mask_of(range);
            }
        }
        mask
    }

    /// Keeps leaves back whose data cannot be read or is not what it should be, ready ones too.
    /// Returns whether the reason is to be reported.
    pub(in crate::engine) fn block(&mut self, tree: TreeNumber, tile: u64, mask: u32, why: &str, now_ms: u64) -> bool {
        self.take_back(tree, tile, mask);
        self.blocked.block(tree, tile, mask, why, now_ms)
    }

    /// Keeps damaged leaves back. Returns those that are to be reported.
    pub(in crate::engine) fn block_damaged(
        &mut self,
        tree: TreeNumber,
        tile: u64,
        mask: u32,
        why: &str,
        now_ms: u64,
    ) -> u32 {
        self.take_back(tree, tile, mask);
        self.blocked.block_damaged(tree, tile, mask, why, now_ms)
    }

    /// Takes ready units with one of these leaves out of the ring. Their other leaves are read
    /// again.
    fn take_back(&mut self, tree: TreeNumber, tile: u64, mask: u32) {
        if self.ring.tile_mask(tree, tile) & mask == 0 {
            return;
        }
        let hit = |unit: &ReadyUnit| unit.tree == tree && unit.range.tile() == tile && mask_of(&unit.range) & mask != 0;
        for (unit, _) in self.ring.remove_if(hit) {
            let all = Returned::of(tree, &unit.range);
            if unit.votes.is_some() {
                self.voted.push(all);
            } else if all.mask & !mask != 0 {
                self.returned.push_back(Returned { mask: all.mask & !mask, ..all });
            }
        }
    }

    /// Has the server look at blocked leaves, as far as that is due.
    pub(in crate::engine) fn look_at_blocked(&mut self, now_ms: u64) {
        for look in self.blocked.due(now_ms) {
            match look {
                Look::Leaves { tree, tile, mask } => self.returned.push_back(Returned { tree, tile, mask }),
                Look::WholeTree(tree) => self.look_again(tree),
            }
        }
    }

    /// Schedules a tree to be read again, before any other.
    pub(in crate::engine) fn look_again(&mut self, tree: TreeNumber) {
        if !self.scan.extra.contains(&tree) {
            self.scan.extra.push_back(tree);
        }
    }

    pub(in crate::engine) fn is_partial(&self, tree: TreeNumber) -> bool {
        self.partial.contains(&tree)
    }

    /// Records that all leaves of a tree are done: none of its units is ready or leased any more.
    pub(in crate::engine) fn complete(&mut self, tree: TreeNumber) {
        self.partial.remove(&tree);
        self.blocked.drop_tree(tree);
        self.interior.drop_tree(tree);
    }

    /// The stretch of this tree that is being read is not to be used.
    pub(in crate::engine) fn drop_reading(&mut self, tree: TreeNumber) {
        if self.scan.reading == Some(tree) {
            self.scan.reading = None;
        }
    }

    /// Drops all state of a removed tree.
    pub(in crate::engine) fn drop_tree(&mut self, tree: TreeNumber) {
        self.ring.remove_if(|unit| unit.tree == tree);
        self.leases.release_tree(tree);
        self.returned.retain(|returned| returned.tree != tree);
        self.voted.drop_tree(tree);
        self.partial.remove(&tree);
        self.blocked.drop_tree(tree);
        self.interior.drop_tree(tree);
        self.scan.extra.retain(|other| *other != tree);
        self.scan.adopted.remove(&tree);
        self.drop_reading(tree);
        if self.scan.current.as_ref().is_some_and(|cursor| cursor.tree == tree) {
            self.scan.current = None;
        }
    }
}
