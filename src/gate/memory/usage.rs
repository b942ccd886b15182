//! The usage of one client, one network prefix, or all together: paid admissions, bytes of
//! challenges, and open challenges that may still become paid admissions.

use std::collections::VecDeque;

use crate::policy::budget::ByteBudget;
use crate::policy::clock_table::Tracked;
use crate::policy::window::{AdmissionLog, WindowRules};

const MINUTE_MS: u64 = 60_000;
/// Resolution of expiry times. They are rounded up, so an expiry never counts too early.
const TICK_MS: u64 = 10;

/// The quotas of one client, prefix, or all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quotas {
    /// `None` if no request can be admitted by work.
    pub(super) paid: Option<WindowRules>,
    pub(super) bytes: u64,
    pub(super) per_ms: u64,
}

/// The usage of one client, prefix, or all.
#[derive(Debug, Default)]
pub(super) struct Usage {
    paid: AdmissionLog,
    bytes: Option<ByteBudget>,
    open: Expiring,
    /// Challenges being made right now.
    opening: u32,
    touched_ms: u64,
}

impl Usage {
    /// Returns the number of bytes that may be sent now.
    pub(super) fn available(&mut self, quotas: &Quotas, now_ms: u64) -> u64 {
        self.touched_ms = now_ms;
        self.budget(quotas).available(now_ms)
    }

    /// Takes `bytes`, or the rest if another thread was faster; returns the number taken.
    pub(super) fn take(&mut self, quotas: &Quotas, bytes: u64, now_ms: u64) -> u64 {
        let budget = self.budget(quotas);
        let left = bytes.min(budget.available(now_ms));
        budget.take(now_ms, left);
        left
    }

    pub(super) fn give_back(&mut self, quotas: &Quotas, bytes: u64, now_ms: u64) {
        self.budget(quotas).give_back(now_ms, bytes);
    }

    /// Reserves room for one more challenge, if it can still become a paid admission: open
    /// challenges and paid admissions together stay within the ceiling. If true, [`Usage::settle`]
    /// has to follow.
    pub(super) fn begin(&mut self, quotas: &Quotas, now_ms: u64) -> bool {
        let room = self.has_room(quotas, now_ms);
        self.opening += u32::from(room);
        room
    }

    /// Returns whether one more paid admission stays within the ceiling.
    pub(super) fn has_room(&mut self, quotas: &Quotas, now_ms: u64) -> bool {
        self.touched_ms = now_ms;
        let paid_left = quotas.paid.map_or(0, |rules| self.paid.look(&rules, now_ms).remaining);
        paid_left > self.open.count(now_ms).saturating_add(self.opening)
    }

    /// Ends the reservation: the challenge is open until `expires_ms`, or was not made (`None`).
    pub(super) fn settle(&mut self, expires_ms: Option<u64>) {
        self.opening = self.opening.saturating_sub(1);
        if let Some(expires_ms) = expires_ms {
            self.open.add(expires_ms);
        }
    }

    /// Counts a challenge that was issued before the restart and is presented now.
    pub(super) fn adopt(&mut self, expires_ms: u64) {
        self.open.add(expires_ms);
    }

    /// Closes a challenge that expires at `expires_ms`.
    pub(super) fn close(&mut self, expires_ms: u64) {
        self.open.remove(expires_ms);
    }

    pub(super) fn pay(&mut self, quotas: &Quotas, now_ms: u64) {
        self.touched_ms = now_ms;
        // A challenge issued before a restart can be answered at the ceiling; the count stays
        // there.
        if let Some(rules) = &quotas.paid {
            self.paid.admit(rules, now_ms);
        }
    }

    /// Returns the number of challenges being made right now.
    pub(super) fn opening(&self) -> u32 {
        self.opening
    }

    fn budget(&mut self, quotas: &Quotas) -> &mut ByteBudget {
        self.bytes.get_or_insert_with(|| ByteBudget::new(quotas.bytes, quotas.per_ms))
    }
}

impl Tracked for Usage {
    /// The ceiling of paid admissions; `None` if no request can be admitted by work.
    type Rules = Option<WindowRules>;

    /// Returns true once the byte budget is full again and no paid admission counts any more.
    fn is_idle(&self, ceiling: &Self::Rules, now_ms: u64) -> bool {
        self.may_go(ceiling, now_ms)
            && ceiling.is_none_or(|rules| self.paid.is_idle(&rules, now_ms))
            && now_ms.saturating_sub(self.touched_ms) > 2 * MINUTE_MS
    }

    /// Returns false while a challenge may still become a paid admission.
    fn may_go(&self, _: &Self::Rules, now_ms: u64) -> bool {
        self.opening == 0 && self.open.is_over(now_ms)
    }

    fn touched_ms(&self, _: &Self::Rules) -> u64 {
        self.touched_ms
    }

    fn heap_bytes(&self) -> usize {
        self.paid.heap_bytes() + self.open.heap_bytes()
    }
}

/// Number of challenges that expire in each tick. There are at most as many rows as ticks in the
/// life of a token.
#[derive(Debug, Default)]
struct Expiring {
    // Tick, rounded up, and number of challenges; in order.
    rows: VecDeque<(u64, u32)>,
    sum: u32,
}

impl Expiring {
    fn add(&mut self, expires_ms: u64) {
        let tick = expires_ms.div_ceil(TICK_MS);
        match self.rows.binary_search_by_key(&tick, |row| row.0) {
            Ok(at) => self.rows[at].1 += 1,
            Err(at) => self.rows.insert(at, (tick, 1)),
        }
        self.sum += 1;
    }

    /// Removes one challenge, unless it has expired already. An empty row stays until its tick is
    /// over, so no row has to be moved.
    fn remove(&mut self, expires_ms: u64) {
        if let Ok(at) = self.rows.binary_search_by_key(&expires_ms.div_ceil(TICK_MS), |row| row.0)
            && self.rows[at].1 > 0
        {
            self.rows[at].1 -= 1;
            self.sum -= 1;
        }
    }

    fn count(&mut self, now_ms: u64) -> u32 {
        while let Some((tick, count)) = self.rows.front().copied()
            && tick * TICK_MS <= now_ms
        {
            self.rows.pop_front();
            self.sum -= count;
        }
        self.sum
    }

    fn is_over(&self, now_ms: u64) -> bool {
        self.sum == 0 || self.rows.back().is_none_or(|(tick, _)| tick * TICK_MS <= now_ms)
    }

    fn heap_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<(u64, u32)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas(paid: u32) -> Quotas {
        Quotas { paid: WindowRules::new(paid, 60_000), bytes: 1_000, per_ms: 1_000 }
    }

    #[test]
    fn open_challenges_and_paid_admissions_stay_below_the_ceiling_together() {
        let (quotas, mut usage, now) = (quotas(3), Usage::default(), 1_000_000);
        for _ in 0..3 {
            assert!(usage.begin(&quotas, now));
        }
        assert!(!usage.begin(&quotas, now), "three are being made");
        usage.settle(None);
        assert!(usage.begin(&quotas, now), "one was not made after all");
        for _ in 0..3 {
            usage.settle(Some(now + 10_000));
        }
        usage.close(now + 10_000);
        usage.pay(&quotas, now);
        assert!(!usage.begin(&quotas, now), "two are open, one is paid");
        assert!(usage.begin(&quotas, now + 10_000), "the two have expired, the paid one counts on");
        assert_eq!(usage.opening(), 1);
    }

    #[test]
    fn what_is_open_keeps_its_place_until_the_tick_in_which_it_expires_is_over() {
        let (quotas, mut usage) = (quotas(10), Usage::default());
        assert!(usage.begin(&quotas, 0));
        assert!(!usage.may_go(&None, 0));
        usage.settle(Some(59_991));
        assert!(!usage.may_go(&None, 59_999) && usage.may_go(&None, 60_000));
        assert_eq!((usage.open.count(59_999), usage.open.count(60_000)), (1, 0));
        assert!(!usage.is_idle(&None, 60_000) && usage.is_idle(&None, 120_001));
    }

    #[test]
    fn what_was_paid_is_remembered_for_its_whole_window() {
        let hour = Quotas { paid: WindowRules::new(3, 3_600_000), ..quotas(3) };
        let mut usage = Usage::default();
        usage.pay(&hour, 0);
        assert!(!usage.is_idle(&hour.paid, 121_000) && !usage.is_idle(&hour.paid, 3_600_000));
        assert!(usage.is_idle(&hour.paid, 3_700_000));
    }

    #[test]
    fn taking_more_than_is_left_takes_what_is_left_and_says_so() {
        let (quotas, mut usage) = (quotas(1), Usage::default());
        assert_eq!(
            [usage.take(&quotas, 700, 0), usage.take(&quotas, 700, 0), usage.take(&quotas, 1, 0)],
            [700, 300, 0]
        );
    }

    #[test]
    fn closing_what_is_not_there_changes_nothing() {
        let mut expiring = Expiring::default();
        expiring.remove(5_000);
        for expires_ms in [9_000, 5_000, 7_505, 7_501] {
            expiring.add(expires_ms);
        }
        expiring.remove(6_000);
        assert_eq!((expiring.count(0), expiring.rows.len()), (4, 3));
        for _ in 0..3 {
            expiring.remove(7_508);
        }
        assert_eq!((expiring.count(5_000), expiring.rows.len()), (1, 2));
        expiring.remove(5_000);
        assert_eq!((expiring.count(8_999), expiring.count(9_000), expiring.rows.len()), (1, 0, 0));
    }

    #[test]
    fn with_a_ceiling_of_zero_nothing_begins() {
        assert!(!Usage::default().begin(&quotas(0), 0));
    }
}
