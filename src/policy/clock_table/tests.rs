use super::*;

#[derive(Debug, Default)]
struct Note {
    touched: u64,
    pinned: bool,
    idle: bool,
    valuable: bool,
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
    fn is_valuable(&self, (): &(), _: u64) -> bool {
        self.valuable
    }
    fn heap_bytes(&self) -> usize {
        0
    }
}

#[test]
fn at_the_bound_the_least_recently_touched_goes_and_pinned_ones_stay() {
    let mut table = ClockTable::<u128, Note>::new(4, ());
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
fn a_dear_entry_stays_until_all_are_dear() {
    let mut table = ClockTable::<u128, Note>::new(2, ());
    table.entry(1, 0).unwrap().valuable = true;
    table.entry(2, 0).unwrap().touched = 9;
    let mut note = table.entry(3, 0).unwrap();
    (note.touched, note.valuable) = (9, true);
    drop(note);
    assert!(table.get(1).is_some() && table.get(2).is_none());
    table.entry(4, 0).unwrap();
    assert!(table.get(1).is_none() && table.get(3).is_some());
}

#[test]
fn idle_entries_stay_untended_until_a_sweep_gives_them_away() {
    let mut table = ClockTable::<u128, Note>::new(100, ());
    let mut gone = Vec::new();
    for digest in 0..10 {
        table.entry_untended(digest, 0, &mut |key, _| gone.push(key)).unwrap().idle = digest % 2 == 0;
    }
    assert_eq!((table.len(), gone.len()), (10, 0));
    table.sweep(4, 0, &mut |key, _| gone.push(key));
    assert_eq!((table.len(), gone.len()), (8, 2));
    table.sweep(usize::MAX, 0, &mut |key, _| gone.push(key));
    gone.sort_unstable();
    assert_eq!(gone, [0, 2, 4, 6, 8]);
}

#[test]
fn without_anything_that_may_go_there_is_no_room() {
    let mut table = ClockTable::<u128, Note>::new(2, ());
    for digest in [1, 2] {
        table.entry(digest, 0).unwrap().pinned = true;
    }
    assert!(table.entry(3, 0).is_none());
    assert!(table.entry(1, 0).is_some());
}

#[test]
fn idle_entries_go_as_new_ones_come() {
    let mut table = ClockTable::<u128, Note>::new(1_000, ());
    for digest in 0..100 {
        table.entry(digest, 0).unwrap().idle = true;
    }
    for digest in 100..200 {
        table.entry(digest, 0).unwrap();
    }
    assert!(table.len() <= 102, "{} are kept", table.len());
    assert!((100..200).all(|digest| table.find(digest).is_some()));
}

impl<K, V: Tracked> ClockTable<K, V> {
    /// Whether the sum of heap bytes is the one that a walk finds.
    pub(crate) fn sums_up(&self) -> bool {
        self.heap == self.slots.iter().flatten().map(|slot| slot.value.heap_bytes()).sum::<usize>()
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
        let mut table = ClockTable::<ClientDigest, Heap>::new(1 + usize::from(bound % 40), ());
        steps.into_iter().all(|(what, whom, bytes)| {
            let key = ClientDigest::from_bytes(u128::from(whom % 64).to_le_bytes());
            match what % 6 {
                0 => table.tend(0, &mut |_, _| {}),
                1 => {
                    if let Some(mut heap) = table.find(key) {
                        heap.bytes = Vec::new();
                    }
                }
                _ => {
                    if let Some(mut heap) = table.entry(key, 0) {
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
