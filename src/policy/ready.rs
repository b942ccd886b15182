//! The ring of ready units: bounded, in memory, with their bytes, so that issuing waits for no
//! disk.
//!
//! Units are aligned ranges of 2^order leaves, order 0 to 5. For each order there are two queues:
//! units of partly built trees, and units of untouched trees. A tier takes, in this
//! order:
//!
//! 1. a unit of its own orders (low 0; medium 3, 2; high 5, 4), partly built trees first;
//! 2. a larger one, split in halves until it fits, the rest staying in the ring;
//! 3. a smaller one, nearest first. That is a shortfall, and is counted.
//!
//! Units with votes are handed out whole, before all others of the orders of a tier, to a
//! client that may join the votes; at most 16 of each order are looked at. Smaller ones of them
//! come last of all.
//!
//! A request may bound the bytes it can take: a unit whose very first leaf is longer is passed over
//! and stays where it is, any other is halved until it fits.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::merkle::{AlignedRange, Shape, TILE_ORDER};
use crate::protocol::{DifficultyTier, TreeHandle};

use super::quorum::Voter;

mod cut;
mod votes;

pub use cut::{cut, mask_of, smallest};

/// The bytes of a stretch of leaves, shared by the units cut from it.
#[derive(Debug, PartialEq, Eq)]
pub struct Loaded {
    /// First leaf.
    pub first: u64,
    /// The leaves' bytes, one after the other.
    pub bytes: Vec<u8>,
    /// End of each leaf in `bytes`.
    pub ends: Vec<usize>,
}

impl Loaded {
    /// Byte range of the leaves of `range`; `None` if they are not all here.
    fn span(&self, range: &AlignedRange) -> Option<(usize, usize)> {
        let first = usize::try_from(range.start().checked_sub(self.first)?).ok()?;
        let last = usize::try_from(range.end().checked_sub(self.first)?).ok()?.checked_sub(1)?;
        let start = if first == 0 { 0 } else { *self.ends.get(first - 1)? };
        Some((start, *self.ends.get(last)?))
    }
}

/// A unit that can be handed out at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyUnit {
    /// Tree number.
    pub tree: u64,
    /// Public handle of the tree.
    pub handle: TreeHandle,
    /// Shape of the tree.
    pub shape: Shape,
    /// The leaves.
    pub range: AlignedRange,
    /// Where their bytes are.
    pub data: Arc<Loaded>,
    /// When it became ready, engine time in Unix milliseconds.
    pub since_ms: u64,
    /// Where the work is counted: the strategy of its tree.
    pub account: usize,
    /// Whose answers wait for another one, if its leaves have been voted on: it is not split then.
    pub votes: Option<Arc<[Voter]>>,
}

impl ReadyUnit {
    /// The bytes to send: the leaves, one after the other.
    pub fn bytes(&self) -> &[u8] {
        match self.data.span(&self.range) {
            Some((start, end)) => self.data.bytes.get(start..end).unwrap_or_default(),
            None => &[],
        }
    }

    /// Byte length of each leaf, in order.
    pub fn lengths(&self) -> Vec<u64> {
        let mut from = self.data.span(&self.range).map_or(0, |(start, _)| start);
        let skip = (self.range.start() - self.data.first) as usize;
        let ends = self.data.ends.iter().skip(skip).take((self.range.end() - self.range.start()) as usize);
        ends.map(|end| {
            let len = end - from;
            from = *end;
            len as u64
        })
        .collect()
    }

    /// Bytes of the first leaf, the least this unit can be cut to.
    fn first_len(&self) -> usize {
        let skip = (self.range.start() - self.data.first) as usize;
        let from = self.data.span(&self.range).map_or(0, |(start, _)| start);
        self.data.ends.get(skip).map_or(0, |end| end.saturating_sub(from))
    }

    fn halves(&self) -> Option<(Self, Option<Self>)> {
        let order = self.range.order().checked_sub(1)?;
        let start = self.range.start();
        let part = |start: u64| {
            let range = smallest(self.shape, AlignedRange::new(self.shape, start, order).ok()?);
            Some(Self { range, data: self.data.clone(), ..self.clone() })
        };
        let middle = start + (1 << order);
        Some((part(start)?, if middle < self.range.end() { part(middle) } else { None }))
    }
}

/// What a tier got.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// The unit.
    pub unit: ReadyUnit,
    /// It is smaller than the size of the tier.
    pub shortfall: bool,
}

/// The result of a request to the ring.
#[derive(Debug, PartialEq, Eq)]
pub enum Take {
    /// A unit, now out of the ring.
    Unit(Taken),
    /// Nothing is ready.
    Empty,
    /// Units are ready, but each one looked at begins with a leaf over the bound; the ring is as it
    /// was.
    TooBig,
}

/// All ready units.
#[derive(Debug)]
pub struct ReadyRing {
    // [order][0 = partly built, 1 = fresh]
    queues: [[VecDeque<ReadyUnit>; 2]; ORDERS],
    len: usize,
    bytes: usize,
    // [order] of units with votes, and how many and how large those are.
    voted: [VecDeque<ReadyUnit>; ORDERS],
    voted_len: usize,
    voted_bytes: usize,
    // Largest number of bytes each tier may be sent: low, medium, high.
    caps: [usize; 3],
    // The leaves that are here, one bit each, by tree and tile.
    masks: HashMap<(u64, u64), u32>,
}

const ORDERS: usize = TILE_ORDER as usize + 1;
const PARTIAL: usize = 0;
const FRESH: usize = 1;
/// Units looked at for one whose first leaf is short enough.
const PROBES: usize = 16;

/// The orders of a tier, best first.
pub fn wanted(tier: DifficultyTier) -> &'static [u8] {
    match tier {
        DifficultyTier::Low => &[0],
        DifficultyTier::Medium => &[3, 2],
        DifficultyTier::High => &[5, 4],
    }
}

impl ReadyRing {
    /// An empty ring. `caps` are the bytes a unit of each tier may carry; a single leaf may always
    /// go.
    pub fn new(caps: [usize; 3]) -> Self {
        Self {
            queues: Default::default(),
            voted: Default::default(),
            voted_len: 0,
            voted_bytes: 0,
            len: 0,
            bytes: 0,
            caps,
            masks: HashMap::new(),
        }
    }

    /// Adds a unit behind those of its order.
    pub fn push(&mut self, unit: ReadyUnit, partial: bool) {
        self.count(&unit, true);
        self.queue(&unit, partial).push_back(unit);
    }

    fn push_front(&mut self, unit: ReadyUnit, partial: bool) {
        self.count(&unit, true);
        self.queue(&unit, partial).push_front(unit);
    }

    fn queue(&mut self, unit: &ReadyUnit, partial: bool) -> &mut VecDeque<ReadyUnit> {
        let order = usize::from(unit.range.order()).min(ORDERS - 1);
        if unit.votes.is_some() {
            return &mut self.voted[order];
        }
        &mut self.queues[order][if partial { PARTIAL } else { FRESH }]
    }

    fn count(&mut self, unit: &ReadyUnit, added: bool) {
        let (bytes, mask) = (unit.bytes().len(), mask_of(&unit.range));
        if unit.votes.is_some() {
            self.voted_len = if added { self.voted_len + 1 } else { self.voted_len - 1 };
            self.voted_bytes = if added { self.voted_bytes + bytes } else { self.voted_bytes - bytes };
        }
        let here = self.masks.entry((unit.tree, unit.range.tile())).or_default();
        if added {
            self.len += 1;
            self.bytes += bytes;
            *here |= mask;
        } else {
            self.len -= 1;
            self.bytes -= bytes;
            *here &= !mask;
            if *here == 0 {
                self.masks.remove(&(unit.tree, unit.range.tile()));
            }
        }
    }

    /// Takes the best unit for `tier`, or `None` if the ring is empty.
    pub fn take(&mut self, tier: DifficultyTier) -> Option<Taken> {
        match self.take_within(tier, usize::MAX) {
            Take::Unit(taken) => Some(taken),
            Take::Empty | Take::TooBig => None,
        }
    }

    /// Takes the best unit for `tier` that can be cut to at most `bytes_max` bytes. At most 16
    /// units are looked at; those passed over keep their places.
    pub fn take_within(&mut self, tier: DifficultyTier, bytes_max: usize) -> Take {
        self.take_cut(tier, bytes_max, usize::MAX)
    }

    /// The same, cut further to `cap` bytes where that is less than the tier's own cap; a single
    /// leaf may always go.
    pub fn take_cut(&mut self, tier: DifficultyTier, bytes_max: usize, cap: usize) -> Take {
        let own = wanted(tier);
        let (Some(largest), Some(least)) = (own.first().copied(), own.last().copied()) else {
            return Take::Empty;
        };
        let mut passed = Vec::new();
        let found = loop {
            match self.pop_best(own, largest, least) {
                Some(best) if best.0.first_len() <= bytes_max => break Some(best),
                Some(long) if passed.len() < PROBES => passed.push(long),
                Some(long) => {
                    passed.push(long);
                    break None;
                }
                None => break None,
            }
        };
        let none = if passed.is_empty() { Take::Empty } else { Take::TooBig };
        for (unit, partial) in passed.into_iter().rev() {
            self.push_front(unit, partial);
        }
        let Some((mut unit, partial)) = found else {
            return none;
        };
        let cap = self.caps[tier as usize].min(bytes_max).min(cap);
        while unit.range.order() > 0 && (unit.range.order() > largest || unit.bytes().len() > cap) {
            let Some((first, second)) = unit.halves() else {
                break;
            };
            if let Some(rest) = second {
                self.push_front(rest, partial);
            }
            unit = first;
        }
        let shortfall = unit.range.end() - unit.range.start() < 1 << least;
        Take::Unit(Taken { unit, shortfall })
    }

    // Of the requested orders, else larger, else smaller.
    fn pop_best(&mut self, own: &[u8], largest: u8, least: u8) -> Option<(ReadyUnit, bool)> {
        self.pop(own.iter().copied())
            .or_else(|| (largest + 1..ORDERS as u8).find_map(|order| self.pop([order].into_iter())))
            .or_else(|| (0..least).rev().find_map(|order| self.pop([order].into_iter())))
    }

    // Partly built trees first, over all of `orders`.
    fn pop(&mut self, orders: impl Iterator<Item = u8> + Clone) -> Option<(ReadyUnit, bool)> {
        for side in [PARTIAL, FRESH] {
            for order in orders.clone() {
                if let Some(unit) = self.queues[usize::from(order)][side].pop_front() {
                    self.count(&unit, false);
                    return Some((unit, side == PARTIAL));
                }
            }
        }
        None
    }

    /// Moves the units of `tree` in front: it has its first leaf.
    pub fn promote(&mut self, tree: u64) {
        for queues in &mut self.queues {
            let (moved, kept): (VecDeque<_>, VecDeque<_>) =
                std::mem::take(&mut queues[FRESH]).into_iter().partition(|unit| unit.tree == tree);
            queues[FRESH] = kept;
            queues[PARTIAL].extend(moved);
        }
    }

    /// Removes all units for which `out` is true and returns them, with their place.
    pub fn remove_if(&mut self, mut out: impl FnMut(&ReadyUnit) -> bool) -> Vec<(ReadyUnit, bool)> {
        let mut removed = Vec::new();
        for order in 0..ORDERS {
            for side in [PARTIAL, FRESH] {
                let (gone, kept): (VecDeque<_>, VecDeque<_>) =
                    std::mem::take(&mut self.queues[order][side]).into_iter().partition(&mut out);
                self.queues[order][side] = kept;
                for unit in gone {
                    self.count(&unit, false);
                    removed.push((unit, side == PARTIAL));
                }
            }
            let (gone, kept): (VecDeque<_>, VecDeque<_>) =
                std::mem::take(&mut self.voted[order]).into_iter().partition(&mut out);
            self.voted[order] = kept;
            for unit in gone {
                self.count(&unit, false);
                removed.push((unit, true));
            }
        }
        removed
    }

    /// Takes the leaves of `claimed` out of the ring; what is left of a unit stays. A unit with
    /// votes is handed out whole or not at all: it is taken out and returned, unless it is the very
    /// range that is claimed.
    pub fn withdraw(&mut self, tree: u64, claimed: &AlignedRange) -> Vec<ReadyUnit> {
        if self.tile_mask(tree, claimed.tile()) & mask_of(claimed) == 0 {
            return Vec::new();
        }
        let hit = self.remove_if(|unit| unit.tree == tree && unit.range.overlaps(claimed));
        let (voted, split): (Vec<_>, Vec<_>) = hit.into_iter().partition(|(unit, _)| unit.votes.is_some());
        for (unit, partial) in split {
            self.keep_outside(unit, partial, claimed);
        }
        voted.into_iter().map(|(unit, _)| unit).filter(|unit| unit.range != *claimed).collect()
    }

    fn keep_outside(&mut self, unit: ReadyUnit, partial: bool, claimed: &AlignedRange) {
        if !unit.range.overlaps(claimed) {
            self.push_front(unit, partial);
        } else if (unit.range.start() < claimed.start() || unit.range.end() > claimed.end())
            && let Some((first, second)) = unit.halves()
        {
            self.keep_outside(first, partial, claimed);
            if let Some(second) = second {
                self.keep_outside(second, partial, claimed);
            }
        }
    }

    /// One bit for each leaf of a tile that is here.
    pub fn tile_mask(&self, tree: u64, tile: u64) -> u32 {
        self.masks.get(&(tree, tile)).copied().unwrap_or(0)
    }

    /// Units now.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is ready.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of block data in all units.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes held, about: the data of the units, and what they are kept in.
    pub fn memory_bytes(&self) -> usize {
        let queued: usize = self.queues.iter().flatten().chain(&self.voted).map(VecDeque::capacity).sum();
        let masks = self.masks.capacity() * (size_of::<((u64, u64), u32)>() + 1);
        self.bytes + queued * size_of::<ReadyUnit>() + masks
    }

    /// All units with whether their tree is partly built.
    pub fn iter(&self) -> impl Iterator<Item = (&ReadyUnit, bool)> {
        let voted = self.voted.iter().flatten().map(|unit| (unit, true));
        let others = self.queues.iter().flat_map(|sides| {
            sides[PARTIAL].iter().map(|unit| (unit, true)).chain(sides[FRESH].iter().map(|unit| (unit, false)))
        });
        voted.chain(others)
    }
}
