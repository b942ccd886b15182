//! Units with votes: handed out whole, and only to a client that may join the votes.

use crate::protocol::DifficultyTier;

use super::super::quorum::{Voter, admits};
use super::{ORDERS, PROBES, ReadyRing, ReadyUnit, Take, Taken, wanted};

impl ReadyRing {
    /// Units with votes, and bytes of block data in them. They do not count as ready for all
    /// clients.
    pub fn voted(&self) -> (usize, usize) {
        (self.voted_len, self.voted_bytes)
    }

    /// Units open to all clients.
    pub fn open_len(&self) -> usize {
        self.len - self.voted_len
    }

    /// Takes out the units with votes that a client of this tier has just looked at in vain, so
    /// that others can take their places: [`take_for`](Self::take_for) put them last, up to 16 of
    /// each order.
    pub fn take_looked_at(&mut self, tier: DifficultyTier) -> Vec<ReadyUnit> {
        let most = wanted(tier).iter().copied().max().unwrap_or(0);
        let mut out = Vec::new();
        for order in 0..=usize::from(most).min(ORDERS - 1) {
            let kept = self.voted[order].len().saturating_sub(PROBES);
            out.extend(self.voted[order].drain(kept..));
        }
        out.iter().for_each(|unit| self.count(unit, false));
        out
    }

    /// As [`take_cut`](Self::take_cut), units with votes that `asker` may join before and after the
    /// others. Those are not cut, so that `cap` says nothing about them.
    pub fn take_for(&mut self, tier: DifficultyTier, bytes_max: usize, cap: usize, asker: &Voter) -> Take {
        let own = wanted(tier);
        let least = own.last().copied().unwrap_or(0);
        let whole = self.caps[tier as usize].min(bytes_max);
        if let Some(unit) = own.iter().find_map(|order| self.take_voted(*order, whole, bytes_max, asker)) {
            return Take::Unit(Taken { unit, shortfall: false });
        }
        match self.take_cut(tier, bytes_max, cap) {
            Take::Unit(taken) => Take::Unit(taken),
            none => match (0..least).rev().find_map(|order| self.take_voted(order, whole, bytes_max, asker)) {
                Some(unit) => Take::Unit(Taken { unit, shortfall: true }),
                None => none,
            },
        }
    }

    /// The first unit with votes, of 16 of its order, that this client may join and that fits: a
    /// single leaf as far as the request allows, any other as far as the tier does.
    fn take_voted(&mut self, order: u8, cap: usize, bytes_max: usize, asker: &Voter) -> Option<ReadyUnit> {
        let limit = if order == 0 { bytes_max } else { cap };
        let fits = |unit: &ReadyUnit| {
            unit.bytes().len() <= limit && unit.votes.as_deref().is_some_and(|votes| admits(votes, asker))
        };
        let queue = &mut self.voted[usize::from(order).min(ORDERS - 1)];
        let Some(at) = queue.iter().take(PROBES).position(fits) else {
            // The next one looks at others.
            queue.rotate_left(PROBES.min(queue.len()));
            return None;
        };
        let unit = queue.remove(at)?;
        self.count(&unit, false);
        Some(unit)
    }
}
