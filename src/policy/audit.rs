//! Audits: which leaves of an answer the server hashes again, and how large a sample has to be.
//!
//! Nothing here draws by itself: `random` gives 64 fresh bits each time, from the system's
//! generator in an engine.

use std::collections::{HashMap, VecDeque};

/// Leaves of each vote in a quorum that are hashed again before its request is admitted.
pub const VOTE_SAMPLE: u8 = 2;
/// Factor of leaves audited of a network with a recent lie.
pub const HEIGHTENED: u32 = 4;
/// For how long, milliseconds.
pub const HEIGHTENED_MS: u64 = 600_000;
/// Networks remembered for it; at the bound the one remembered longest goes.
pub const NETWORKS_MAX: usize = 65_536;

/// Draws `k` of `leaves` (at most 32) without repetition, each set as likely as any other; one bit
/// for each.
///
/// ```
/// let mut bits = 7_u64;
/// let drawn = pouw::internal::policy::audit::draw(32, 4, &mut || { bits = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1; bits });
/// assert_eq!(drawn.count_ones(), 4);
/// ```
pub fn draw(leaves: u32, k: u32, random: &mut dyn FnMut() -> u64) -> u32 {
    let leaves = leaves.min(u32::BITS);
    let k = k.min(leaves);
    let mut drawn = 0_u32;
    // Floyd's: each step adds one of the first `at + 1`, or `at` itself if that one is there
    // already.
    for at in leaves - k..leaves {
        let hit = below(u64::from(at) + 1, random) as u32;
        drawn |= if drawn & (1 << hit) == 0 { 1 << hit } else { 1 << at };
    }
    drawn
}

/// Draws a number of places without repetition while they go by in order, each set as likely as any
/// other: selection sampling (Knuth, The Art of Computer Programming 2, algorithm S). It holds two
/// numbers, however many it draws.
#[derive(Debug, Clone, Copy)]
pub struct Selection {
    left: u64,
    wanted: u64,
}

impl Selection {
    /// `wanted` of `total` places; all of them if there are no more.
    pub fn new(total: u64, wanted: u64) -> Self {
        Self { left: total, wanted: wanted.min(total) }
    }

    /// Whether the next place is drawn.
    pub fn takes(&mut self, random: &mut dyn FnMut() -> u64) -> bool {
        if self.left == 0 || self.wanted == 0 {
            return false;
        }
        // All that are left are wanted: nothing is left to chance.
        let hit = self.wanted == self.left || below(self.left, random) < self.wanted;
        self.left -= 1;
        self.wanted -= u64::from(hit);
        hit
    }
}

/// A number below `bound`, each equally likely: bits that would favour the small ones are thrown
/// away.
fn below(bound: u64, random: &mut dyn FnMut() -> u64) -> u64 {
    let unfair = (u64::MAX % bound.max(1) + 1) % bound.max(1);
    loop {
        let bits = random();
        if bits <= u64::MAX - unfair {
            return bits % bound.max(1);
        }
    }
}

/// Chance that an audit of `k` of `leaves` leaves meets at least one of the `wrong` ones:
/// `1 - C(leaves - wrong, k) / C(leaves, k)`.
///
/// ```
/// use pouw::internal::policy::audit::detection;
/// assert_eq!(detection(32, 1, 2), 0.0625);
/// assert!((detection(32, 3, 4) - 0.3395).abs() < 0.0001);
/// assert_eq!(detection(32, 32, 1), 1.0);
/// ```
pub fn detection(leaves: u64, wrong: u64, k: u64) -> f64 {
    let missed = (0..k.min(leaves)).map(|step| {
        let left = leaves - step;
        left.saturating_sub(wrong) as f64 / left as f64
    });
    1.0 - missed.product::<f64>()
}

/// Leaves to hash so that a part of `epsilon` or more wrong ones is found with a probability of at
/// least `1 - delta`: `ceil(ln(1 / delta) / epsilon)`.
///
/// ```
/// assert_eq!(pouw::internal::policy::audit::sample_size(0.01, 1e-6), 1_382);
/// ```
pub fn sample_size(epsilon: f64, delta: f64) -> u64 {
    ((1.0 / delta).ln() / epsilon).ceil() as u64
}

/// Networks with a recent lie, which are audited more.
#[derive(Debug, Default)]
pub struct Heightened {
    until: HashMap<[u8; 16], u64>,
    order: VecDeque<([u8; 16], u64)>,
}

impl Heightened {
    /// Records a lie from this network.
    pub fn lied(&mut self, network: [u8; 16], now_ms: u64) {
        self.forget(now_ms);
        let until = now_ms.saturating_add(HEIGHTENED_MS);
        self.until.insert(network, until);
        self.order.push_back((network, until));
        if self.order.len() > 2 * NETWORKS_MAX {
            // A network that lies often is listed often: only its last entry counts.
            let until = &self.until;
            self.order.retain(|(network, expiry)| until.get(network) == Some(expiry));
        }
        while self.until.len() > NETWORKS_MAX {
            self.drop_first();
        }
    }

    fn forget(&mut self, now_ms: u64) {
        while self.order.front().is_some_and(|(_, until)| *until <= now_ms) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some((network, until)) = self.order.pop_front()
            && self.until.get(&network) == Some(&until)
        {
            self.until.remove(&network);
        }
    }

    /// The number of leaves to audit, of `leaves` that this network returned: `k`, or more after a
    /// lie.
    pub fn sample(&self, network: &[u8; 16], k: u32, leaves: u32, now_ms: u64) -> u32 {
        let heightened = self.until.get(network).is_some_and(|until| now_ms < *until);
        (if heightened { k.saturating_mul(HEIGHTENED) } else { k }).min(leaves)
    }

    /// Networks remembered.
    pub fn len(&self) -> usize {
        self.until.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.until.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn seeded(mut state: u64) -> impl FnMut() -> u64 {
        move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }
    }

    #[test]
    fn every_leaf_and_every_pair_is_drawn_equally_often() {
        let mut random = seeded(1);
        let (mut single, mut pairs) = ([0_u32; 6], [[0_u32; 6]; 6]);
        for _ in 0..90_000 {
            let drawn = draw(6, 2, &mut random);
            assert_eq!(drawn.count_ones(), 2);
            let places: Vec<usize> = (0..6).filter(|at| drawn & (1 << at) != 0).collect();
            places.iter().for_each(|at| single[*at] += 1);
            pairs[places[0]][places[1]] += 1;
        }
        assert!(single.iter().all(|count| (29_000..31_000).contains(count)), "{single:?}");
        let drawn: Vec<u32> = pairs.iter().flatten().copied().filter(|count| *count > 0).collect();
        assert_eq!(drawn.len(), 15);
        assert!(drawn.iter().all(|count| (5_600..6_400).contains(count)), "{drawn:?}");
    }

    #[test]
    fn as_many_are_drawn_as_there_are_at_most() {
        let mut random = seeded(2);
        assert_eq!(draw(3, 9, &mut random), 0b111);
        assert_eq!(draw(32, 32, &mut random), u32::MAX);
        assert_eq!(draw(1, 0, &mut random), 0);
        let mut selected = |total: u64, wanted| {
            let mut selection = Selection::new(total, wanted);
            (0..total + 3).filter(|_| selection.takes(&mut random)).collect::<Vec<u64>>()
        };
        assert_eq!(selected(4, 9), [0, 1, 2, 3]);
        assert!(selected(0, 9).is_empty());
        let places = selected(100_000, 500);
        assert!(places.len() == 500 && places[499] < 100_000);
        // Spread over the whole.
        assert!((200..300).contains(&places.iter().filter(|place| **place < 50_000).count()), "{places:?}");
    }

    #[test]
    fn every_place_is_selected_equally_often() {
        let mut random = seeded(3);
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            let mut selection = Selection::new(7, 3);
            counts.iter_mut().for_each(|count| *count += u32::from(selection.takes(&mut random)));
        }
        assert!(counts.iter().all(|count| (29_400..30_600).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_network_is_audited_more_for_a_while_and_the_memory_is_bounded() {
        let mut heightened = Heightened::default();
        heightened.lied([1; 16], 1_000);
        assert_eq!(heightened.sample(&[1; 16], 2, 32, 1_000 + HEIGHTENED_MS - 1), 8);
        assert_eq!(heightened.sample(&[1; 16], 2, 32, 1_000 + HEIGHTENED_MS), 2);
        assert_eq!(heightened.sample(&[2; 16], 2, 32, 1_000), 2);
        assert_eq!(heightened.sample(&[1; 16], 2, 3, 1_000), 3);
        heightened.lied([1; 16], 2_000);
        assert_eq!(heightened.sample(&[1; 16], 2, 32, 1_000 + HEIGHTENED_MS), 8);
        for number in 0..NETWORKS_MAX as u128 {
            heightened.lied((number + 100).to_le_bytes(), 3_000);
        }
        assert_eq!(heightened.len(), NETWORKS_MAX);
        // Lies of one network push no other one out.
        for later in 0..3 * NETWORKS_MAX as u64 {
            heightened.lied([8; 16], 4_000 + later);
        }
        assert_eq!(heightened.len(), NETWORKS_MAX);
        assert!(heightened.order.len() <= 2 * NETWORKS_MAX + 1);
        assert_eq!(heightened.sample(&[1; 16], 2, 32, 3_000), 2);
        heightened.lied([9; 16], 3_000 + HEIGHTENED_MS);
        assert_eq!(heightened.len(), 2, "the one that lied on and on, and the last");
    }
}
