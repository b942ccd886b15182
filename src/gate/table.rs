//! A bounded table by keyed digest, with a clock hand that finds what may go.
//!
//! Entries have a fixed place in a slab, so that the hand can walk them; the index holds only places. Every
//! insert looks at a few entries under the hand and frees those that carry nothing any more. At the bound
//! the least recently touched of [`PROBES`] entries that may go makes room; if none may, there is no room.
//!
//! What the values hold elsewhere is summed up as they change, so that nobody has to walk them.

use std::ops::{Deref, DerefMut};

use hashbrown::HashTable;

/// Entries looked at to find one that may go.
const PROBES: usize = 16;
/// Entries looked at with each insert, to free what is idle.
const TENDED: usize = 2;

/// What a table needs to know of its values.
pub(super) trait Tracked {
    /// What they all have in common.
    type Rules: std::fmt::Debug;
    /// Nothing would be lost with it.
    fn is_idle(&self, rules: &Self::Rules, now_ms: u64) -> bool;
    /// It may be dropped at the bound, though something is lost.
    fn may_go(&self, rules: &Self::Rules, now_ms: u64) -> bool;
    /// When it was last touched.
    fn touched_ms(&self, rules: &Self::Rules) -> u64;
    /// Bytes it holds elsewhere.
    fn heap_bytes(&self) -> usize;
}

/// Aligned to a cache line, which the slot of a window fills: finding a client costs one miss here.
#[derive(Debug)]
#[repr(align(64))]
struct Slot<V> {
    digest: u128,
    value: V,
}

#[derive(Debug)]
pub(super) struct Table<V: Tracked> {
    rules: V::Rules,
    index: HashTable<u32>,
    slots: Vec<Option<Slot<V>>>,
    free: Vec<u32>,
    hand: usize,
    bound: usize,
    /// Bytes that the values hold elsewhere.
    elsewhere: usize,
}

/// A value that is being looked at or changed. When it is let go, what it holds elsewhere is summed up anew.
#[derive(Debug)]
pub(super) struct Held<'t, V: Tracked> {
    value: &'t mut V,
    before: usize,
    elsewhere: &'t mut usize,
}

impl<V: Tracked + Default> Table<V> {
    pub(super) fn new(bound: usize, rules: V::Rules) -> Self {
        let bound = bound.clamp(1, u32::MAX as usize);
        Self { rules, index: HashTable::new(), slots: Vec::new(), free: Vec::new(), hand: 0, bound, elsewhere: 0 }
    }

    pub(super) fn find(&mut self, digest: u128) -> Option<Held<'_, V>> {
        let at = *self.index.find(digest as u64, |at| holds(&self.slots, *at, digest))?;
        self.held(at)
    }

    /// The value of `digest`, made if it is not there; `None` if there is no room for it. `gone` gets what
    /// made room or was freed on the way.
    pub(super) fn entry_or(&mut self, digest: u128, now_ms: u64, gone: &mut dyn FnMut(V)) -> Option<Held<'_, V>> {
        let found = self.index.find(digest as u64, |at| holds(&self.slots, *at, digest)).copied();
        let at = match found {
            Some(at) => at,
            None => {
                self.tend(now_ms, gone);
                let at = self.make_room(now_ms, gone)?;
                let slot = Some(Slot { digest, value: V::default() });
                match self.slots.get_mut(at as usize) {
                    Some(place) => *place = slot,
                    None => self.slots.push(slot),
                }
                let slots = &self.slots;
                self.index.insert_unique(digest as u64, at, |at| digest_at(slots, *at) as u64);
                at
            }
        };
        self.held(at)
    }

    /// The value of `digest`, made if it is not there; `None` if there is no room for it.
    pub(super) fn entry(&mut self, digest: u128, now_ms: u64) -> Option<Held<'_, V>> {
        self.entry_or(digest, now_ms, &mut |_| {})
    }

    fn held(&mut self, at: u32) -> Option<Held<'_, V>> {
        let value = &mut self.slots.get_mut(at as usize)?.as_mut()?.value;
        Some(Held { before: value.heap_bytes(), value, elsewhere: &mut self.elsewhere })
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Bytes of the table and of what its values hold elsewhere. Looks at none of them.
    pub(super) fn bytes(&self) -> usize {
        let own = self.slots.capacity() * slot_bytes::<V>();
        own + self.elsewhere + self.free.capacity() * size_of::<u32>() + self.index.allocation_size()
    }

    fn make_room(&mut self, now_ms: u64, gone: &mut dyn FnMut(V)) -> Option<u32> {
        if let Some(at) = self.free.pop() {
            return Some(at);
        }
        if self.slots.len() < self.bound {
            return u32::try_from(self.slots.len()).ok();
        }
        let mut victim: Option<(u64, usize)> = None;
        for _ in 0..PROBES.min(self.slots.len()) {
            let at = self.advance();
            if let Some(Some(slot)) = self.slots.get(at)
                && slot.value.may_go(&self.rules, now_ms)
            {
                let touched_ms = slot.value.touched_ms(&self.rules);
                if victim.is_none_or(|(oldest, _)| touched_ms < oldest) {
                    victim = Some((touched_ms, at));
                }
            }
        }
        self.remove(victim?.1, gone);
        self.free.pop()
    }

    /// Frees what is idle under the hand.
    pub(super) fn tend(&mut self, now_ms: u64, gone: &mut dyn FnMut(V)) {
        for _ in 0..TENDED.min(self.slots.len()) {
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

    fn remove(&mut self, at: usize, gone: &mut dyn FnMut(V)) {
        let Some(Slot { digest, value }) = self.slots.get_mut(at).and_then(Option::take) else {
            return;
        };
        self.elsewhere = self.elsewhere.saturating_sub(value.heap_bytes());
        gone(value);
        if let Ok(found) = self.index.find_entry(digest as u64, |place| *place as usize == at) {
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
        *self.elsewhere = (*self.elsewhere + self.value.heap_bytes()).saturating_sub(self.before);
    }
}

/// Bytes of one entry.
pub(super) const fn slot_bytes<V>() -> usize {
    size_of::<Option<Slot<V>>>()
}

fn digest_at<V>(slots: &[Option<Slot<V>>], at: u32) -> u128 {
    slots.get(at as usize).and_then(Option::as_ref).map_or(0, |slot| slot.digest)
}

fn holds<V>(slots: &[Option<Slot<V>>], at: u32, digest: u128) -> bool {
    slots.get(at as usize).and_then(Option::as_ref).is_some_and(|slot| slot.digest == digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Note {
        touched: u64,
        pinned: bool,
        idle: bool,
    }

    impl Tracked for Note {
        type Rules = ();
        fn is_idle(&self, (): &(), _: u64) -> bool {
            self.idle
        }
        fn may_go(&self, (): &(), _: u64) -> bool {
            !self.pinned
        }
        fn touched_ms(&self, (): &()) -> u64 {
            self.touched
        }
        fn heap_bytes(&self) -> usize {
            0
        }
    }

    #[test]
    fn at_the_bound_the_least_recently_touched_goes_and_pinned_ones_stay() {
        let mut table = Table::<Note>::new(4, ());
        for (digest, touched) in [(1, 40), (2, 10), (3, 30), (4, 20)] {
            let mut note = table.entry(digest, 0).unwrap();
            (note.touched, note.pinned) = (touched, digest == 2);
        }
        table.entry(5, 0).unwrap().touched = 50;
        assert_eq!(table.len(), 4);
        assert!(table.find(4).is_none());
        assert!([1, 2, 3, 5].into_iter().all(|digest| table.find(digest).is_some()));
    }

    #[test]
    fn without_anything_that_may_go_there_is_no_room() {
        let mut table = Table::<Note>::new(2, ());
        for digest in [1, 2] {
            table.entry(digest, 0).unwrap().pinned = true;
        }
        assert!(table.entry(3, 0).is_none());
        assert!(table.entry(1, 0).is_some());
    }

    #[test]
    fn idle_entries_go_as_new_ones_come() {
        let mut table = Table::<Note>::new(1_000, ());
        for digest in 0..100 {
            table.entry(digest, 0).unwrap().idle = true;
        }
        for digest in 100..200 {
            table.entry(digest, 0).unwrap();
        }
        assert!(table.len() <= 102, "{} are kept", table.len());
        assert!((100..200).all(|digest| table.find(digest).is_some()));
    }

    impl<V: Tracked> Table<V> {
        /// Whether what has been summed up is what a walk finds.
        pub(in crate::gate) fn sums_up(&self) -> bool {
            self.elsewhere == self.slots.iter().flatten().map(|slot| slot.value.heap_bytes()).sum::<usize>()
        }
    }

    /// Bytes elsewhere, as many as the steps say.
    #[derive(Debug, Default)]
    struct Heap {
        bytes: Vec<u8>,
        may_go: bool,
    }

    impl Tracked for Heap {
        type Rules = ();
        fn is_idle(&self, (): &(), _: u64) -> bool {
            self.bytes.is_empty() && self.may_go
        }
        fn may_go(&self, (): &(), _: u64) -> bool {
            self.may_go
        }
        fn touched_ms(&self, (): &()) -> u64 {
            self.bytes.len() as u64
        }
        fn heap_bytes(&self) -> usize {
            self.bytes.capacity()
        }
    }

    #[test]
    fn what_is_summed_up_is_what_a_walk_finds_after_any_steps() {
        fn holds(bound: u8, steps: Vec<(u8, u8, u16)>) -> bool {
            let mut table = Table::<Heap>::new(1 + usize::from(bound % 40), ());
            steps.into_iter().all(|(what, whom, bytes)| {
                let digest = u128::from(whom % 64);
                match what % 6 {
                    0 => table.tend(0, &mut |_| {}),
                    1 => {
                        if let Some(mut heap) = table.find(digest) {
                            heap.bytes = Vec::new();
                        }
                    }
                    _ => {
                        if let Some(mut heap) = table.entry(digest, 0) {
                            heap.may_go = what % 2 == 0;
                            heap.bytes.resize(usize::from(bytes % 512), 0);
                        }
                    }
                }
                table.sums_up()
            })
        }
        let mut check = quickcheck::QuickCheck::new().rng(quickcheck::Gen::new(1_000)).tests(200);
        check.quickcheck(holds as fn(u8, Vec<(u8, u8, u16)>) -> bool);
    }
}
