//! A bounded table whose entries are evicted by a clock hand.
//!
//! Entries have a fixed place in a slab, so that the hand can walk them; the index holds only
//! places. Every insert looks at two entries under the hand and frees those that carry no
//! information any more. At the bound the least recently touched of 16 entries that may go makes
//! room, a valuable one only if all are; if none may, there is no room.
//!
//! The heap bytes of the values are summed up as the values change, so that reading the sum walks
//! no entry.

use std::ops::{Deref, DerefMut};

use hashbrown::HashTable;

use crate::protocol::ClientDigest;

/// Entries looked at to find one that may go.
const PROBES: usize = 16;
/// Entries looked at with each insert, to free what is idle.
const TENDED: usize = 2;

/// A value of a [`ClockTable`].
pub trait Tracked {
    /// What all values of a table have in common.
    type Rules: std::fmt::Debug;
    /// Whether dropping it loses nothing.
    fn is_idle(&self, rules: &Self::Rules, now_ms: u64) -> bool;
    /// Whether it may be dropped at the bound, although something is lost.
    fn may_go(&self, rules: &Self::Rules, now_ms: u64) -> bool;
    /// The time of its last use.
    fn touched_ms(&self, rules: &Self::Rules) -> u64;
    /// Whether it stays at the bound as long as another that may go does not. By default none does.
    fn is_valuable(&self, rules: &Self::Rules, now_ms: u64) -> bool {
        let _ = (rules, now_ms);
        false
    }
    /// Bytes it holds on the heap.
    fn heap_bytes(&self) -> usize;
}

/// A key that is random to everyone outside, such as a keyed digest: a part of it serves as its
/// hash.
pub trait ClockKey: Copy + Eq {
    /// The hash of this key.
    fn hash(&self) -> u64;
}

impl ClockKey for u128 {
    fn hash(&self) -> u64 {
        *self as u64
    }
}

#[doc(hidden)]
impl ClockKey for ClientDigest {
    fn hash(&self) -> u64 {
        u128::from_le_bytes(*self.as_bytes()).hash()
    }
}

/// Aligned to a cache line, which the slot of a window fills: finding a client costs one miss here.
#[derive(Debug)]
#[repr(align(64))]
struct Slot<K, V> {
    key: K,
    value: V,
}

/// A bounded table from keys to values.
#[derive(Debug)]
pub struct ClockTable<K, V: Tracked> {
    rules: V::Rules,
    index: HashTable<u32>,
    slots: Vec<Option<Slot<K, V>>>,
    free: Vec<u32>,
    hand: usize,
    bound: usize,
    /// Bytes that the values hold on the heap.
    heap: usize,
}

/// A value that is being read or changed. When it is dropped, its change is added to the table's
/// sum of heap bytes.
#[derive(Debug)]
pub struct Held<'t, V: Tracked> {
    value: &'t mut V,
    before: usize,
    heap: &'t mut usize,
}

impl<K: ClockKey, V: Tracked + Default> ClockTable<K, V> {
    /// A table of at most `bound` values, which share `rules`.
    pub fn new(bound: usize, rules: V::Rules) -> Self {
        let bound = bound.clamp(1, u32::MAX as usize);
        Self { rules, index: HashTable::new(), slots: Vec::new(), free: Vec::new(), hand: 0, bound, heap: 0 }
    }

    /// The value of `key`.
    pub fn find(&mut self, key: K) -> Option<Held<'_, V>> {
        let at = self.place_of(key)?;
        self.held(at)
    }

    /// The value of `key`, to be read.
    pub fn get(&self, key: K) -> Option<&V> {
        let at = self.place_of(key)?;
        self.slots.get(at as usize)?.as_ref().map(|slot| &slot.value)
    }

    /// The value of `key`, made if it is not there; `None` if there is no room for it. `gone` gets
    /// what was dropped for it.
    pub fn entry_or(&mut self, key: K, now_ms: u64, gone: &mut dyn FnMut(K, V)) -> Option<Held<'_, V>> {
        let at = match self.place_of(key) {
            Some(at) => at,
            None => {
                self.tend(now_ms, gone);
                self.insert(key, now_ms, gone)?
            }
        };
        self.held(at)
    }

    /// The same, but idle values stay unless one makes room for this one.
    pub fn entry_untended(&mut self, key: K, now_ms: u64, gone: &mut dyn FnMut(K, V)) -> Option<Held<'_, V>> {
        let at = match self.place_of(key) {
            Some(at) => at,
            None => self.insert(key, now_ms, gone)?,
        };
        self.held(at)
    }

    /// The value of `key`, made if it is not there; `None` if there is no room for it.
    pub fn entry(&mut self, key: K, now_ms: u64) -> Option<Held<'_, V>> {
        self.entry_or(key, now_ms, &mut |_, _| {})
    }

    fn place_of(&self, key: K) -> Option<u32> {
        self.index.find(key.hash(), |at| holds(&self.slots, *at, key)).copied()
    }

    fn insert(&mut self, key: K, now_ms: u64, gone: &mut dyn FnMut(K, V)) -> Option<u32> {
        let at = self.make_room(now_ms, gone)?;
        let slot = Some(Slot { key, value: V::default() });
        match self.slots.get_mut(at as usize) {
            Some(place) => *place = slot,
            None => self.slots.push(slot),
        }
        let slots = &self.slots;
        self.index.insert_unique(key.hash(), at, |at| hash_at(slots, *at));
        Some(at)
    }

    fn held(&mut self, at: u32) -> Option<Held<'_, V>> {
        let value = &mut self.slots.get_mut(at as usize)?.as_mut()?.value;
        Some(Held { before: value.heap_bytes(), value, heap: &mut self.heap })
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether it holds no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the table and of the heap that its values hold. Walks no entry.
    pub fn bytes(&self) -> usize {
        let own = self.slots.capacity() * slot_bytes::<K, V>();
        own + self.heap + self.free.capacity() * size_of::<u32>() + self.index.allocation_size()
    }

    fn make_room(&mut self, now_ms: u64, gone: &mut dyn FnMut(K, V)) -> Option<u32> {
        if let Some(at) = self.free.pop() {
            return Some(at);
        }
        if self.slots.len() < self.bound {
            return u32::try_from(self.slots.len()).ok();
        }
        let mut victim: Option<((bool, u64), usize)> = None;
        for _ in 0..PROBES.min(self.slots.len()) {
            let at = self.advance();
            if let Some(Some(slot)) = self.slots.get(at)
                && slot.value.may_go(&self.rules, now_ms)
            {
                let worth = (slot.value.is_valuable(&self.rules, now_ms), slot.value.touched_ms(&self.rules));
                if victim.is_none_or(|(least, _)| worth < least) {
                    victim = Some((worth, at));
                }
            }
        }
        self.remove(victim?.1, gone);
        self.free.pop()
    }

    /// Drops idle values under the hand.
    pub fn tend(&mut self, now_ms: u64, gone: &mut dyn FnMut(K, V)) {
        self.sweep(TENDED, now_ms, gone);
    }

    /// Looks at the next `limit` places and drops idle values there.
    pub fn sweep(&mut self, limit: usize, now_ms: u64, gone: &mut dyn FnMut(K, V)) {
        for _ in 0..limit.min(self.slots.len()) {
            let at = self.advance();
            if matches!(self.slots.get(at), Some(Some(slot)) if slot.value.is_idle(&self.rules, now_ms)) {
                self.remove(at, gone);
            }
        }
    }

    fn advance(&mut self) -> usize {
        self.hand = (self.hand + 1) % self.slots.len().max(1);
        self.hand
    }

    fn remove(&mut self, at: usize, gone: &mut dyn FnMut(K, V)) {
        let Some(Slot { key, value }) = self.slots.get_mut(at).and_then(Option::take) else {
            return;
        };
        self.heap = self.heap.saturating_sub(value.heap_bytes());
        gone(key, value);
        if let Ok(found) = self.index.find_entry(key.hash(), |place| *place as usize == at) {
            let (place, _) = found.remove();
            self.free.push(place);
        }
    }
}

impl<V: Tracked> Deref for Held<'_, V> {
    type Target = V;

    fn deref(&self) -> &V {
        self.value
    }
}

impl<V: Tracked> DerefMut for Held<'_, V> {
    fn deref_mut(&mut self) -> &mut V {
        self.value
    }
}

impl<V: Tracked> Drop for Held<'_, V> {
    fn drop(&mut self) {
        *self.heap = (*self.heap + self.value.heap_bytes()).saturating_sub(self.before);
    }
}

/// Bytes of one entry.
pub const fn slot_bytes<K, V>() -> usize {
    size_of::<Option<Slot<K, V>>>()
}

fn hash_at<K: ClockKey, V>(slots: &[Option<Slot<K, V>>], at: u32) -> u64 {
    slots.get(at as usize).and_then(Option::as_ref).map_or(0, |slot| slot.key.hash())
}

fn holds<K: ClockKey, V>(slots: &[Option<Slot<K, V>>], at: u32, key: K) -> bool {
    slots.get(at as usize).and_then(Option::as_ref).is_some_and(|slot| slot.key == key)
}

#[cfg(test)]
mod tests;
