//! The sliding window (paper, component SlidingWindowRateLimiter): a request is admitted when fewer
//! than `limit` were admitted in the last `window_ms`, and only admitted ones are logged, so that
//! waiting always works.
//!
//! Time is cut into ticks of a 250th of the window, rounded up, and a logged request counts until
//! its tick is a whole window old: a log never admits more than an exact one would, and forgets at
//! most one tick late.
//!
//! ```text
//!   tick        oldest                          newest = now
//!   log     ... [t0] [t0] [t1] [t5] ........... [t249]        one byte each: 251 live ticks fit in a byte
//! ```

use std::collections::VecDeque;
use std::time::Duration;

/// Parts a window is cut into.
const TICKS: u64 = 250;
/// Largest limit with one byte for each request; above it a counter for each tick costs less.
const LISTED_MAX: u32 = 512;
/// Most a limit can be.
const LIMIT_MAX: u32 = 1_000_000;
/// Longest window, milliseconds: a day.
const WINDOW_MS_MAX: u64 = 86_400_000;
/// Requests kept without a heap allocation.
const INLINE: usize = 30;

/// Limit and window, the same for all clients of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowRules {
    limit: u32,
    window_ms: u64,
    tick_ms: u64,
    /// Ticks a logged request counts for after its own: at most 250, so that a byte holds them
    /// apart.
    live: u64,
}

/// The state of a client's window.
///
#[cfg_attr(feature = "gate", doc = "```")]
#[cfg_attr(not(feature = "gate"), doc = "```ignore")]
/// use std::time::Duration;
///
/// let quota = pouw::Quota::new(100, 7, Duration::from_secs(20));
/// assert_eq!((quota.limit, quota.remaining, quota.reset_ms), (100, 7, 20_000));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// Admitted requests in a window.
    pub limit: u32,
    /// Requests left in the window.
    pub remaining: u32,
    /// Milliseconds until a slot frees; 0 when nothing is logged.
    pub reset_ms: u64,
}

impl Quota {
    /// Returns the quota of a client that has `remaining` of `limit` requests left, and gets the
    /// next one after `reset`.
    #[must_use]
    pub fn new(limit: u32, remaining: u32, reset: Duration) -> Self {
        // Rounded up: zero means that nothing is logged.
        let reset_ms = u64::try_from(reset.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Self { limit, remaining, reset_ms }
    }
}

impl WindowRules {
    /// Rules, if the limit is from 1 to 1 000 000 and the window from 1 ms to a day.
    pub const fn new(limit: u32, window_ms: u64) -> Option<Self> {
        if limit < 1 || limit > LIMIT_MAX || window_ms < 1 || window_ms > WINDOW_MS_MAX {
            return None;
        }
        let tick_ms = window_ms.div_ceil(TICKS);
        Some(Self { limit, window_ms, tick_ms, live: window_ms.div_ceil(tick_ms) })
    }

    /// Admitted requests in a window.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Length of the window, milliseconds.
    pub fn window_ms(&self) -> u64 {
        self.window_ms
    }

    /// Length of a tick, milliseconds.
    pub fn tick_ms(&self) -> u64 {
        self.tick_ms
    }

    fn tick(&self, now_ms: u64) -> u64 {
        now_ms / self.tick_ms
    }
}

/// The admitted requests of one client within a window.
#[derive(Debug, Default, Clone)]
pub struct AdmissionLog {
    /// The newest tick seen. Time does not go back: an earlier one counts as this.
    newest: u64,
    entries: Entries,
}

#[derive(Debug, Clone)]
#[expect(clippy::box_collection, reason = "a log without a ring is a third smaller, and most have none")]
enum Entries {
    /// Ticks modulo 256, oldest first.
    Few { len: u8, ticks: [u8; INLINE] },
    /// The same as a ring.
    Listed(Box<VecDeque<u8>>),
    /// Requests by tick modulo 256, and their sum.
    Counted { counts: Box<[u32; 256]>, sum: u32 },
}

impl Default for Entries {
    fn default() -> Self {
        Self::Few { len: 0, ticks: [0; INLINE] }
    }
}

impl AdmissionLog {
    /// Judges a request and logs it if it is admitted. Returns whether it is, and the quota after
    /// it.
    #[inline]
    pub fn admit(&mut self, rules: &WindowRules, now_ms: u64) -> (bool, Quota) {
        self.advance(rules, now_ms);
        let admitted = self.count() < rules.limit;
        if admitted {
            self.push(rules);
        }
        (admitted, self.quota(rules, now_ms))
    }

    /// Returns the state of the client's window, without logging a request.
    pub fn look(&mut self, rules: &WindowRules, now_ms: u64) -> Quota {
        self.advance(rules, now_ms);
        self.quota(rules, now_ms)
    }

    /// Adds what another log holds, as if it came now: that can only make waiting longer, by less
    /// than a window. Beyond the limit the oldest make room, so that nothing that came later is
    /// forgotten before it.
    pub fn absorb(&mut self, mut other: Self, rules: &WindowRules, now_ms: u64) {
        other.advance(rules, now_ms);
        self.advance(rules, now_ms);
        let added = other.count().min(rules.limit);
        self.forget_oldest((self.count() + added).saturating_sub(rules.limit), rules);
        for _ in 0..added {
            self.push(rules);
        }
    }

    /// Whether nothing is logged any more.
    pub fn is_idle(&self, rules: &WindowRules, now_ms: u64) -> bool {
        self.count() == 0 || rules.tick(now_ms).saturating_sub(self.newest) > rules.live
    }

    /// Whether the client is at its limit now, judged without forgetting what is old.
    pub fn is_full(&self, rules: &WindowRules, now_ms: u64) -> bool {
        self.count() >= rules.limit && !self.is_idle(rules, now_ms)
    }

    /// Bytes held outside the log itself.
    pub fn heap_bytes(&self) -> usize {
        match &self.entries {
            Entries::Few { .. } => 0,
            Entries::Listed(ring) => ring.capacity() + size_of::<VecDeque<u8>>(),
            Entries::Counted { .. } => 4 * 256,
        }
    }

    /// When it was last asked, to a tick.
    pub fn touched_ms(&self, rules: &WindowRules) -> u64 {
        self.newest * rules.tick_ms
    }

    fn count(&self) -> u32 {
        match &self.entries {
            Entries::Few { len, .. } => u32::from(*len),
            Entries::Listed(ring) => ring.len() as u32,
            Entries::Counted { sum, .. } => *sum,
        }
    }

    fn quota(&self, rules: &WindowRules, now_ms: u64) -> Quota {
        let remaining = rules.limit.saturating_sub(self.count());
        let reset_ms = self.oldest(rules).map_or(0, |oldest| {
            let leaves_ms = (oldest + rules.live + 1) * rules.tick_ms;
            leaves_ms.saturating_sub(now_ms.max(self.newest * rules.tick_ms)).max(1)
        });
        Quota { limit: rules.limit, remaining, reset_ms }
    }

    /// Forgets what is a window old.
    fn advance(&mut self, rules: &WindowRules, now_ms: u64) {
        let tick = rules.tick(now_ms);
        if tick <= self.newest {
            return;
        }
        let (before, passed) = (self.newest, tick - self.newest);
        self.newest = tick;
        if passed > rules.live {
            self.clear();
            return;
        }
        let age = |entry: u8| passed + u64::from((before as u8).wrapping_sub(entry));
        match &mut self.entries {
            Entries::Few { len, ticks } => {
                let live = usize::from(*len);
                let gone = ticks[..live].iter().take_while(|entry| age(**entry) > rules.live).count();
                ticks.copy_within(gone..live, 0);
                *len -= gone as u8;
            }
            Entries::Listed(ring) => {
                while ring.front().is_some_and(|entry| age(*entry) > rules.live) {
                    ring.pop_front();
                }
            }
            Entries::Counted { counts, sum } => {
                // Ticks that fell out of the window since the last look.
                for gone in 0..passed {
                    let slot = &mut counts[usize::from((before + gone).wrapping_sub(rules.live) as u8)];
                    *sum -= std::mem::take(slot);
                }
            }
        }
    }

    /// Forgets this many, or all.
    fn forget_oldest(&mut self, many: u32, rules: &WindowRules) {
        match &mut self.entries {
            Entries::Few { len, ticks } => {
                let (live, gone) = (usize::from(*len), usize::from(*len).min(many as usize));
                ticks.copy_within(gone..live, 0);
                *len -= gone as u8;
            }
            Entries::Listed(ring) => drop(ring.drain(..ring.len().min(many as usize))),
            Entries::Counted { counts, sum } => {
                let mut left = many.min(*sum);
                *sum -= left;
                for back in (0..=rules.live).rev() {
                    let slot = &mut counts[usize::from(self.newest.wrapping_sub(back) as u8)];
                    let gone = left.min(*slot);
                    *slot -= gone;
                    left -= gone;
                }
            }
        }
    }

    fn clear(&mut self) {
        match &mut self.entries {
            Entries::Few { len, .. } => *len = 0,
            // The memory goes too: a client that comes back after a window starts small.
            Entries::Listed(_) => self.entries = Entries::default(),
            Entries::Counted { counts, sum } => {
                counts.fill(0);
                *sum = 0;
            }
        }
    }

    fn push(&mut self, rules: &WindowRules) {
        let tick = self.newest as u8;
        match &mut self.entries {
            Entries::Few { len, ticks } => match ticks.get_mut(usize::from(*len)) {
                Some(place) => {
                    *place = tick;
                    *len += 1;
                }
                None => {
                    self.entries = self.spilled(rules);
                    self.push(rules);
                }
            },
            Entries::Listed(ring) => {
                if ring.len() == ring.capacity() {
                    // Doubling, but never beyond the limit.
                    let room = (rules.limit as usize).saturating_sub(ring.len()).clamp(1, ring.len().max(1));
                    ring.reserve_exact(room);
                }
                ring.push_back(tick);
            }
            Entries::Counted { counts, sum } => {
                counts[usize::from(tick)] += 1;
                *sum += 1;
            }
        }
    }

    /// What does not fit inline, on the heap.
    fn spilled(&self, rules: &WindowRules) -> Entries {
        let Entries::Few { len, ticks } = &self.entries else {
            return self.entries.clone();
        };
        let live = &ticks[..usize::from(*len)];
        if rules.limit <= LISTED_MAX {
            return Entries::Listed(Box::new(live.iter().copied().collect()));
        }
        let mut counts = Box::new([0; 256]);
        for tick in live {
            counts[usize::from(*tick)] += 1;
        }
        Entries::Counted { counts, sum: u32::from(*len) }
    }

    /// The oldest logged tick.
    fn oldest(&self, rules: &WindowRules) -> Option<u64> {
        let absolute = |tick: u8| self.newest - u64::from((self.newest as u8).wrapping_sub(tick)).min(self.newest);
        match &self.entries {
            Entries::Few { len: 0, .. } => None,
            Entries::Few { ticks, .. } => Some(absolute(ticks[0])),
            Entries::Listed(ring) => ring.front().map(|tick| absolute(*tick)),
            Entries::Counted { sum: 0, .. } => None,
            Entries::Counted { counts, .. } => {
                let oldest_first = (0..=rules.live).rev().map(|back| self.newest.wrapping_sub(back) as u8);
                oldest_first.into_iter().find(|tick| counts[usize::from(*tick)] > 0).map(absolute)
            }
        }
    }
}
