//! The pure state machines under the queue, against plain collections: leases never overlap and end by their own id
//! only; the ring of ready units keeps the exact set of leaves it was given, whatever is cut, taken or withdrawn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pouw::internal::policy::lease::{Claim, Lease, LeaseRefusal, LeaseTable, Pin};
use pouw::internal::policy::ready::{Loaded, ReadyRing, ReadyUnit, Take, cut, mask_of, smallest, wanted};
use pouw::internal::policy::window::{AdmissionLog, WindowRules};
use pouw::merkle::{AlignedRange, Shape, TILE_LEAVES, TILE_ORDER};
use pouw::protocol::{DifficultyTier, TreeHandle, WorkId};
use quickcheck::{Gen, QuickCheck};

fn quickcheck<P: quickcheck::Testable>(property: P) {
    QuickCheck::new().rng(Gen::new(200)).tests(300).quickcheck(property);
}

/// A lease as the plain collection keeps it.
#[derive(Clone, Copy)]
struct Held {
    claim: Claim,
    expires_ms: u64,
    pinned: bool,
    refusals: u32,
}

/// The claim three bytes stand for: leaves of one of three trees, a node, or made-up work.
fn claim(what: u8, a: u8, b: u8) -> Claim {
    let shape = Shape::new(75).unwrap();
    let order = b % (TILE_ORDER + 1);
    match what % 8 {
        0 => Claim::Synthetic,
        1 => Claim::Interior { tree: u64::from(a % 2), level: b % 3, index: u64::from(a / 2 % 4) },
        _ => {
            let start = (u64::from(a) % 75) >> order << order;
            Claim::Leaves { tree: u64::from(what % 3), range: AlignedRange::new(shape, start, order).unwrap() }
        }
    }
}

/// The start of the range of that order that holds `leaf`.
fn aligned(leaf: u64, order: u8) -> u64 {
    (leaf >> order) << order
}

fn overlap(a: Claim, b: Claim) -> bool {
    match (a, b) {
        (Claim::Leaves { tree, range }, Claim::Leaves { tree: t, range: r }) => {
            tree == t && (range.start()..range.end()).any(|leaf| (r.start()..r.end()).contains(&leaf))
        }
        (Claim::Interior { .. }, Claim::Interior { .. }) => a == b,
        _ => false,
    }
}

fn id(number: u8) -> WorkId {
    WorkId::from_parts(0, [number % 24; 10])
}

const BOUND: usize = 9;

/// One step of both; false if they differ.
fn lease_step(table: &mut LeaseTable, held: &mut BTreeMap<WorkId, Held>, [op, a, b, c]: [u8; 4]) -> bool {
    let key = id(a);
    match op % 8 {
        0..=3 => {
            let (claim, expires_ms) = (claim(b, c, a ^ c), u64::from(c));
            let taken = held.contains_key(&key) || held.values().any(|other| overlap(other.claim, claim));
            let expected = match (held.len() >= BOUND, taken) {
                (true, _) => Err(LeaseRefusal::Full(BOUND)),
                (_, true) => Err(LeaseRefusal::Overlap),
                _ => Ok(()),
            };
            if expected.is_ok() {
                held.insert(key, Held { claim, expires_ms, pinned: false, refusals: 0 });
            }
            table.insert(Lease { id: key, claim, expires_ms, pinned: false, refusals: 0 }) == expected
        }
        4 => {
            let expected = match held.get_mut(&key) {
                None => Pin::Unknown,
                Some(lease) if lease.pinned => Pin::Busy,
                Some(lease) => {
                    lease.pinned = true;
                    Pin::Pinned(lease.claim)
                }
            };
            table.pin(key) == expected
        }
        5 => {
            let expected = held.get_mut(&key).map_or(0, |lease| {
                lease.pinned = false;
                lease.refusals += u32::from(b % 2 == 0);
                lease.refusals
            });
            table.unpin(key, b % 2 == 0) == expected
        }
        6 => {
            let (now, limit) = (u64::from(b), usize::from(c % 4));
            let gone = table.expire(now, limit);
            let due = held.values().filter(|lease| !lease.pinned && lease.expires_ms < now).count();
            let right = gone.iter().all(|lease| {
                held.remove(&lease.id)
                    .is_some_and(|own| own.expires_ms < now && !own.pinned && own.claim == lease.claim)
            });
            right && gone.len() == due.min(limit)
        }
        _ if b % 4 == 0 => {
            let tree = u64::from(c % 3);
            let gone: BTreeSet<WorkId> = table.release_tree(tree).iter().map(|lease| lease.id).collect();
            let own = held.iter().filter(|(_, lease)| lease.claim.tree() == Some(tree)).map(|(id, _)| *id).collect();
            held.retain(|id, _| !gone.contains(id));
            gone == own
        }
        _ => table.release(key).map(|lease| lease.claim) == held.remove(&key).map(|lease| lease.claim),
    }
}

#[test]
fn leases_never_overlap_never_end_before_their_token_and_are_released_by_id_only() {
    fn holds(steps: Vec<(u8, u8, u8, u8)>) -> bool {
        let (mut table, mut held) = (LeaseTable::new(BOUND), BTreeMap::new());
        steps.into_iter().all(|(op, a, b, c)| {
            let same = lease_step(&mut table, &mut held, [op, a, b, c]);
            let probe = claim(a, b, c);
            let out = held.values().any(|lease| overlap(lease.claim, probe));
            let masks = (0..3).all(|tree| (0..3).all(|tile| table.tile_mask(tree, tile) == mask(&held, tree, tile)));
            let made_up = held.values().filter(|lease| lease.claim == Claim::Synthetic).count();
            same && masks
                && table.is_out(&probe) == out
                && (table.len(), table.is_empty(), table.synthetic()) == (held.len(), held.is_empty(), made_up)
                && table.memory_bytes() >= held.len() * std::mem::size_of::<Lease>()
                && table.iter().all(|lease| held.contains_key(&lease.id) && table.find(lease.id) == Some(lease))
        })
    }
    quickcheck(holds as fn(Vec<(u8, u8, u8, u8)>) -> bool);
}

fn mask(held: &BTreeMap<WorkId, Held>, tree: u64, tile: u64) -> u32 {
    let mut mask = 0;
    for lease in held.values() {
        if let Claim::Leaves { tree: other, range } = lease.claim {
            for leaf in (range.start()..range.end()).filter(|leaf| other == tree && leaf / TILE_LEAVES == tile) {
                mask |= 1 << (leaf % TILE_LEAVES);
            }
        }
    }
    mask
}

/// A tree of three trees: 75 leaves whose lengths and bytes tell which they are.
fn leaf_bytes(tree: u64, leaf: u64) -> Vec<u8> {
    vec![(tree * 80 + leaf) as u8; ((leaf * 37 + tree) % 300) as usize]
}

fn tile_data(tree: u64, tile: u64, shape: Shape) -> Arc<Loaded> {
    let first = tile * TILE_LEAVES;
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    for leaf in first..shape.leaves().min(first + TILE_LEAVES) {
        bytes.extend(leaf_bytes(tree, leaf));
        ends.push(bytes.len());
    }
    Arc::new(Loaded { first, bytes, ends })
}

/// Leaves in the ring: (tree, leaf), partly built or not.
type Leaves = BTreeMap<(u64, u64), bool>;

/// The ring holds exactly these leaves, each once, and counts its units and bytes.
fn ring_is(ring: &ReadyRing, expected: &Leaves) -> bool {
    let (mut found, mut units, mut bytes) = (Leaves::new(), 0, 0);
    let masks = (0..3).all(|tree| {
        (0..3).all(|tile| {
            let slots = (0..32).filter(|slot| expected.contains_key(&(tree, tile * 32 + slot)));
            ring.tile_mask(tree, tile) == slots.fold(0, |mask, slot| mask | 1 << slot)
        })
    });
    if !masks || ring.memory_bytes() < ring.bytes() {
        return false;
    }
    for (unit, partial) in ring.iter() {
        units += 1;
        bytes += unit.bytes().len();
        let own = (unit.range.start()..unit.range.end()).map(|leaf| leaf_bytes(unit.tree, leaf));
        if own.clone().flatten().collect::<Vec<u8>>() != unit.bytes()
            || own.map(|leaf| leaf.len() as u64).collect::<Vec<u64>>() != unit.lengths()
            || smallest(unit.shape, unit.range) != unit.range
        {
            return false;
        }
        for leaf in unit.range.start()..unit.range.end() {
            if found.insert((unit.tree, leaf), partial).is_some() {
                return false;
            }
        }
    }
    found == *expected && (ring.len(), ring.bytes(), ring.is_empty()) == (units, bytes, units == 0)
}

/// What a tier gets first: its own orders; within them partly built trees; else the nearest larger, then smaller.
fn right_choice(before: &[(u8, bool)], took: (u8, bool), tier: DifficultyTier) -> bool {
    let own = wanted(tier);
    let (largest, least) = (own[0], own[own.len() - 1]);
    let inside: Vec<_> = before.iter().filter(|(order, _)| own.contains(order)).collect();
    if !inside.is_empty() {
        let partial = inside.iter().any(|(_, partial)| *partial);
        return took.1 == partial && own.contains(&took.0);
    }
    let larger = before.iter().map(|(order, _)| *order).filter(|order| *order > largest).min();
    let smaller = before.iter().map(|(order, _)| *order).filter(|order| *order < least).max();
    larger.or(smaller).is_some_and(|order| {
        let partial = before.iter().any(|(other, partial)| *other == order && *partial);
        took == (order, partial)
    })
}

const CAPS: [usize; 3] = [300, 700, 4_000];

/// Takes a unit, half of the time under a bound that the leaves of length 0 to 299 may or may not keep.
fn take_step(ring: &mut ReadyRing, leaves: &mut Leaves, [a, b, c]: [u8; 3]) -> bool {
    let tier = DifficultyTier::ALL[usize::from(a % 3)];
    let before: Vec<(u8, bool)> = ring.iter().map(|(unit, partial)| (unit.range.order(), partial)).collect();
    let bound = if b % 2 == 0 { usize::MAX } else { usize::from(c) * 4 };
    let first = |unit: &ReadyUnit| leaf_bytes(unit.tree, unit.range.start()).len();
    let taken = match ring.take_within(tier, bound) {
        Take::Unit(taken) => taken,
        Take::Empty => return before.is_empty(),
        // Each of the few that were looked at begins with a longer leaf.
        Take::TooBig => {
            return ring.iter().filter(|(unit, _)| first(unit) > bound).count() >= before.len().min(17);
        }
    };
    if taken.unit.bytes().len() > bound {
        return false;
    }
    let (unit, own) = (&taken.unit, wanted(tier));
    let count = unit.range.end() - unit.range.start();
    let mut partial = false;
    for leaf in unit.range.start()..unit.range.end() {
        partial = leaves.remove(&(unit.tree, leaf)).expect("it was there");
    }
    let fits = unit.range.order() <= own[0];
    let capped = count == 1 || unit.bytes().len() <= CAPS[tier as usize];
    let shortfall = count < 1 << own[own.len() - 1];
    // The unit may have been cut: then it was of a larger order before.
    let choice =
        bound < usize::MAX || before.iter().any(|took| right_choice(&before, *took, tier) && took.1 == partial);
    fits && capped && choice && taken.shortfall == shortfall
}

fn ring_step(ring: &mut ReadyRing, leaves: &mut Leaves, [op, a, b, c]: [u8; 4]) -> bool {
    let shape = Shape::new(75).unwrap();
    let (tree, tile) = (u64::from(a % 3), u64::from(b % 3));
    match op % 8 {
        0..=2 => {
            // What the refill does: pending leaves of a tile that are not there yet, cut into units.
            let pattern = u32::from_le_bytes([c, a ^ c, b.wrapping_mul(c), a.rotate_left(3)]);
            let in_tile = mask_of(&shape.tile_range(tile).unwrap());
            let present = (0..32).filter(|slot| leaves.contains_key(&(tree, tile * 32 + slot)));
            let free = pattern & in_tile & !present.fold(0u32, |mask, slot| mask | 1 << slot);
            let mut covered = 0u32;
            for range in cut(shape, tile, free) {
                covered |= mask_of(&range);
                let data = tile_data(tree, tile, shape);
                let handle = TreeHandle::from_bytes([tree as u8; 16]);
                let since_ms = a.into();
                let unit = ReadyUnit { tree, handle, shape, range, data, since_ms, account: 0, votes: None };
                ring.push(unit, c % 2 == 0);
                leaves.extend((range.start()..range.end()).map(|leaf| ((tree, leaf), c % 2 == 0)));
            }
            covered == free
        }
        3..=4 => take_step(ring, leaves, [a, b, c]),
        5 => {
            let order = c % (TILE_ORDER + 1);
            let claimed =
                AlignedRange::new(shape, ((tile * 32 + u64::from(b / 3 % 8)) % 75) >> order << order, order).unwrap();
            ring.withdraw(tree, &claimed);
            leaves.retain(|(other, leaf), _| *other != tree || !(claimed.start()..claimed.end()).contains(leaf));
            true
        }
        6 => {
            ring.promote(tree);
            leaves.iter_mut().filter(|((other, _), _)| *other == tree).for_each(|(_, partial)| *partial = true);
            true
        }
        _ => {
            let gone = ring.remove_if(|unit| unit.since_ms % 5 == u64::from(c % 5) && unit.tree == tree);
            gone.iter().all(|(unit, partial)| {
                (unit.range.start()..unit.range.end()).all(|leaf| leaves.remove(&(unit.tree, leaf)) == Some(*partial))
            })
        }
    }
}

#[test]
fn the_ring_keeps_the_exact_set_of_leaves_and_counts_units_and_bytes() {
    fn holds(steps: Vec<(u8, u8, u8, u8)>) -> bool {
        let (mut ring, mut leaves) = (ReadyRing::new(CAPS), Leaves::new());
        steps
            .into_iter()
            .all(|(op, a, b, c)| ring_step(&mut ring, &mut leaves, [op, a, b, c]) && ring_is(&ring, &leaves))
    }
    quickcheck(holds as fn(Vec<(u8, u8, u8, u8)>) -> bool);
}

#[test]
fn a_mask_is_cut_into_disjoint_aligned_ranges_that_cover_exactly_it_and_cannot_be_joined() {
    fn holds(leaves: u16, tile: u8, pattern: u32, dense: bool) -> bool {
        let shape = Shape::new(1 + u64::from(leaves % 100)).unwrap();
        let tile = u64::from(tile) % shape.tiles();
        let whole = mask_of(&shape.tile_range(tile).unwrap());
        let mask = whole & if dense { pattern | pattern.rotate_left(7) | pattern.rotate_left(13) } else { pattern };
        let ranges = cut(shape, tile, mask);
        let disjoint = ranges.iter().map(|range| mask_of(range).count_ones()).sum::<u32>() == mask.count_ones();
        let covered = ranges.iter().fold(0, |covered, range| covered | mask_of(range)) == mask;
        // Two halves of one larger range would have been that range.
        let joined = ranges.windows(2).any(|pair| {
            let order = pair[0].order().max(pair[1].order()) + 1;
            let start = aligned(pair[0].start(), order);
            let parent = AlignedRange::new(shape, start, order.min(TILE_ORDER));
            order <= TILE_ORDER && parent.is_ok_and(|parent| mask_of(&parent) & mask == mask_of(&parent))
        });
        disjoint && covered && !joined && ranges.iter().all(|range| smallest(shape, *range) == *range)
    }
    quickcheck(holds as fn(u16, u8, u32, bool) -> bool);
}

/// The ticks of one log, oldest first.
#[derive(Default)]
struct Listed(Vec<u64>);

impl Listed {
    fn live(&mut self, tick: u64) -> usize {
        self.0.retain(|logged| logged + 250 >= tick);
        self.0.len()
    }
}

#[test]
fn a_log_that_absorbs_another_keeps_the_newest_of_both() {
    fn holds(limit: u16, history: Vec<(u8, u8, u8)>) -> bool {
        // Inline, listed and counted.
        let limit = [1, 7, 40, 600][usize::from(limit % 4)] + u32::from(limit / 4 % 3);
        let rules = WindowRules::new(limit, 250).expect("rules");
        let (mut logs, mut listed) = ([(); 2].map(|()| AdmissionLog::default()), [(); 2].map(|()| Listed::default()));
        let mut now = 1_000;
        history.into_iter().all(|(op, pause, many)| {
            now += if op % 8 == 0 { u64::from(pause) } else { u64::from(pause % 4) };
            let at = usize::from(op / 8 % 2);
            if op % 8 == 1 {
                let mut gone = std::mem::take(&mut listed[1 - at]);
                let added = gone.live(now);
                listed[at].live(now);
                listed[at].0.extend(std::iter::repeat_n(now, added));
                let excess = listed[at].0.len().saturating_sub(limit as usize);
                listed[at].0.drain(..excess);
                let other = std::mem::take(&mut logs[1 - at]);
                logs[at].absorb(other, &rules, now);
            } else {
                for _ in 0..u32::from(many) * 4 {
                    let admitted = listed[at].live(now) < limit as usize;
                    if admitted {
                        listed[at].0.push(now);
                    }
                    if logs[at].admit(&rules, now).0 != admitted {
                        return false;
                    }
                }
            }
            let left = limit - listed[at].live(now) as u32;
            let reset_ms = listed[at].0.first().map_or(0, |oldest| oldest + 251 - now);
            let quota = logs[at].look(&rules, now);
            (quota.remaining, quota.reset_ms) == (left, reset_ms)
        })
    }
    quickcheck(holds as fn(u16, Vec<(u8, u8, u8)>) -> bool);
}
