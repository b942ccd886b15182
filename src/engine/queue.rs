//! The work queue in memory: the ready ring, the leases, and how far the backlog has been read.
//!
//! The store decides: a leaf that is not done there is pending, whatever happens here. Each pending
//! leaf is read in queue order, and is then in the ring, leased, or given back.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use crate::merkle::AlignedRange;
use crate::policy::lease::{Claim, Lease, LeaseTable};
use crate::policy::ready::{ReadyRing, mask_of};
use crate::protocol::DifficultyTier;
use crate::store::TreeNumber;

use super::config::{Config, ConfigBuilder};
use super::interior::InteriorQueue;

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) ring: ReadyRing,
    pub(super) leases: LeaseTable,
    /// Issued work that was given back. Bounded by the leases and the ring it came from.
    pub(super) returned: VecDeque<Returned>,
    /// Ranges with votes that have no place in the ring. Bounded by the open quorums.
    pub(super) voted: Turns,
    /// When units with votes last made room for others, engine time.
    turned_ms: u64,
    pub(super) scan: Scan,
    pub(super) interior: InteriorQueue,
    /// Trees with their first leaf done in this boot, whose units go first. Bounded by
    /// [`PARTIAL_MAX`]: beyond it new units of further trees queue as fresh ones.
    partial: HashSet<TreeNumber>,
    /// Trees with unreadable data, and the reason. Bounded by [`BLOCKED_MAX`].
    pub(super) blocked: HashMap<TreeNumber, Blocked>,
}

const PARTIAL_MAX: usize = 65_536;
/// Most trees with unreadable leaves that are kept; those of further trees wait for the next open.
const BLOCKED_MAX: usize = 1_024;
/// Most tiles of one such tree that are kept; beyond it, the whole tree is read again.
const BLOCKED_TILES_MAX: usize = 256;

/// Leaves of one tree with bytes that could not be read.
#[derive(Debug)]
pub(super) struct Blocked {
    /// The first failure.
    pub(super) why: String,
    tiles: BTreeMap<u64, u32>,
    overflow: bool,
}

/// Least time that units with votes keep their places in the ring.
const TURN_MS: u64 = 250;

/// Ranges that wait for a place, each once.
#[derive(Debug, Default)]
pub(super) struct Turns {
    order: VecDeque<Returned>,
    known: HashSet<Returned>,
}

impl Turns {
    pub(super) fn push(&mut self, range: Returned) {
        if self.known.insert(range) {
            self.order.push_back(range);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Returned> {
        let range = self.order.pop_front()?;
        self.known.remove(&range);
        Some(range)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    fn drop_tree(&mut self, tree: TreeNumber) {
        self.order.retain(|range| range.tree != tree);
        self.known.retain(|range| range.tree != tree);
    }
}

/// Leaves of one tile that are pending again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Returned {
    pub(super) tree: TreeNumber,
    pub(super) tile: u64,
    pub(super) mask: u32,
}

impl Returned {
    pub(super) fn of(tree: TreeNumber, range: &AlignedRange) -> Self {
        Self { tree, tile: range.tile(), mask: mask_of(range) }
    }
}

/// How far the backlog has been read in this boot.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The tree being read.
    pub(super) current: Option<Cursor>,
    /// Trees to read (again) before any other. Bounded by the leases and the blocked trees.
    pub(super) extra: VecDeque<TreeNumber>,
    /// Trees put there because a lease was adopted in this boot: once each. Bounded by the leases
    /// of the last boot.
    adopted: HashSet<TreeNumber>,
    /// Last partly built tree opened; `None` before the first. After those that were partly built
    /// at open come trees with a leaf that the server hashed at ingest, and trees opened as fresh
    /// ones before: of these only leaves that are neither ready nor leased are taken.
    pub(super) partial_after: Option<u64>,
    /// Last fresh tree opened; `None` before the first.
    pub(super) fresh_after: Option<u64>,
    /// Tree of a stretch being read without the lock: leaves settled meanwhile must not come back.
    pub(super) reading: Option<TreeNumber>,
    pub(super) settled_meanwhile: Vec<AlignedRange>,
}

/// A place within one tree.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    pub(super) tree: TreeNumber,
    pub(super) next_tile: u64,
    pub(super) tiles: u64,
    /// Tiles to read at once.
    pub(super) stride: u64,
    pub(super) partial: bool,
}

impl Queue {
    pub(super) fn new(config: &Config) -> Self {
        let settings = &config.settings;
        Self {
            ring: ReadyRing::new(settings.unit_bytes.into()),
            leases: LeaseTable::new(settings.leases_max),
            returned: VecDeque::new(),
            voted: Turns::default(),
            turned_ms: 0,
            scan: Scan::default(),
            interior: InteriorQueue::default(),
            partial: HashSet::new(),
            blocked: HashMap::new(),
        }
    }

    /// Records an accepted answer; `lease` has just been released.
    pub(super) fn settled(&mut self, lease: &Lease, first_leaf: bool) {
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
    pub(super) fn voted(&mut self, lease: &Lease) {
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
    pub(super) fn has_room_for_votes(&self, settings: &ConfigBuilder) -> bool {
        let (units, bytes) = self.ring.voted();
        let room = self.ring.bytes() < settings.ready_bytes_max;
        room && units < settings.min_queue_depth * 2 && bytes < settings.ready_bytes_max / 2
    }

    /// Replaces the units with votes that a client may not join by waiting ones, if there are any.
    /// At most every [`TURN_MS`], since the waiting ones have to be read from the disk.
    pub(super) fn rotate_votes(&mut self, tier: DifficultyTier, now_ms: u64) {
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
    pub(super) fn adopted(&mut self, tree: TreeNumber, range: &AlignedRange) {
        for unit in self.ring.withdraw(tree, range) {
            self.voted.push(Returned::of(unit.tree, &unit.range));
        }
        if self.scan.adopted.insert(tree) {
            self.scan.extra.push_back(tree);
        }
    }

    /// Makes the work of a lease that ended without success pending again.
    pub(super) fn give_back(&mut self, lease: &Lease) {
        match lease.claim {
            Claim::Leaves { tree, range } => self.returned.push_back(Returned::of(tree, &range)),
            Claim::Interior { tree, level, index } => self.interior.give_back(tree, level, index),
            Claim::Synthetic => {}
        }
    }

    /// Returns the leaves of a tile that are in the ring, leased, or settled while the tile was
    /// being read.
    pub(super) fn taken_mask(&self, tree: TreeNumber, tile: u64) -> u32 {
        let mut mask = self.leases.tile_mask(tree, tile) | self.ring.tile_mask(tree, tile);
        if self.scan.reading == Some(tree) {
            for range in self.scan.settled_meanwhile.iter().filter(|range| range.tile() == tile) {
                mask |= mask_of(range);
            }
        }
        mask
    }

    /// Records leaves with bytes that could not be read.
    pub(super) fn block(&mut self, tree: TreeNumber, tile: u64, mask: u32, why: &str) {
        if self.blocked.len() >= BLOCKED_MAX && !self.blocked.contains_key(&tree) {
            return;
        }
        let blocked = self.blocked.entry(tree).or_insert_with(|| Blocked {
            why: why.to_owned(),
            tiles: BTreeMap::new(),
            overflow: false,
        });
        if blocked.tiles.len() < BLOCKED_TILES_MAX || blocked.tiles.contains_key(&tile) {
            *blocked.tiles.entry(tile).or_default() |= mask;
        } else {
            blocked.overflow = true;
        }
    }

    /// Lets unreadable leaves be read again.
    pub(super) fn unblock(&mut self) {
        let blocked = std::mem::take(&mut self.blocked);
        for (tree, blocked) in blocked {
            if blocked.overflow {
                self.look_again(tree);
            } else {
                self.returned.extend(blocked.tiles.into_iter().map(|(tile, mask)| Returned { tree, tile, mask }));
            }
        }
    }

    /// Schedules a tree to be read again, before any other.
    pub(super) fn look_again(&mut self, tree: TreeNumber) {
        if !self.scan.extra.contains(&tree) {
            self.scan.extra.push_back(tree);
        }
    }

    pub(super) fn is_partial(&self, tree: TreeNumber) -> bool {
        self.partial.contains(&tree)
    }

    /// Records that all leaves of a tree are done: none of its units is ready or leased any more.
    pub(super) fn complete(&mut self, tree: TreeNumber) {
        self.partial.remove(&tree);
        self.blocked.remove(&tree);
        self.interior.drop_tree(tree);
    }

    /// Drops all state of a removed tree.
    pub(super) fn drop_tree(&mut self, tree: TreeNumber) {
        self.ring.remove_if(|unit| unit.tree == tree);
        self.leases.release_tree(tree);
        self.returned.retain(|returned| returned.tree != tree);
        self.voted.drop_tree(tree);
        self.partial.remove(&tree);
        self.blocked.remove(&tree);
        self.interior.drop_tree(tree);
        self.scan.extra.retain(|other| *other != tree);
        self.scan.adopted.remove(&tree);
        if self.scan.reading == Some(tree) {
            // The stretch being read belongs to no tree any more.
            self.scan.reading = None;
        }
        if self.scan.current.as_ref().is_some_and(|cursor| cursor.tree == tree) {
            self.scan.current = None;
        }
    }
}
