//! How long answers take, as the server observes it, and the size of units that follows from it.
//!
//! An observation is the time from the issue of a unit to the moment its right answer was held
//! against its floor. Both are the server's own, so that it contains the network, the wait for the
//! floor, and the computing. What a client says of its computing does not occur here.
//!
//! * **The record** of a tier is two histograms, of the whole time and of what is beyond the floor,
//!   and follows changes: it holds the last 1 024 to 2 048 answers of the last one to two hours in
//!   which there were any. A client counts once a minute.
//! * **The size**, only under [`SizeRules`], is the cap of the tier, or a half, a quarter or an
//!   eighth of it. It is judged by windows: a minute or more, in which 64 clients or more have
//!   answered, each counted once. If the median beyond the floor is over the target it goes one
//!   step down, if it is at most half the target one step up. An hour without a full window is one
//!   step up too: what is not confirmed does not last.
//! * After a step, the tokens issued before it are waited out. So a window holds units of one size,
//!   and slow answers as well as fast ones.
//! * A unit of twice the size takes at most twice as long, so a step up because of half the target
//!   leads to no step down, unless the floor hid how long it took. If one does, the next step up
//!   needs twice as many windows that ask for it in a row, up to 32.
//!
//! **Who can steer it.** An answer can be delayed, up to the lifetime of its token, but not be
//! early: the floor is signed. Fewer than 64 clients change nothing, and a median follows a party
//! with more than half of the clients in a window. A party with this majority can make units small
//! or keep them large, and gets nothing else by it: the size stays between the operator's cap and
//! its eighth, price and floor are as they were. A client whose answers all come too late is not
//! observed.

mod histogram;

use std::ops::RangeInclusive;

use crate::protocol::{ChallengeToken, DifficultyTier, TokenPurpose};

use histogram::{Histogram, Record};

/// What the size of units follows, the same for all clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeRules {
    /// Wanted median time beyond the floor, milliseconds: low, medium, high. Units of a tier
    /// without one are not cut.
    pub target_ms: [Option<u64>; 3],
    /// Largest size of a unit, bytes, by tier.
    pub bytes_max: [usize; 3],
    /// Smallest size it is cut to, bytes; the largest one if that is less.
    pub bytes_min: usize,
    /// Time in which every token issued before a step is answered or expired, milliseconds.
    pub settle_ms: u64,
}

impl SizeRules {
    /// Bytes a unit may carry at each step below the cap.
    fn bytes(&self, tier: DifficultyTier, step: u8) -> usize {
        let cap = self.bytes_max[tier as usize];
        (cap >> step.min(STEPS_MAX)).max(self.bytes_min).min(cap)
    }

    /// Steps that make a unit smaller.
    fn deepest(&self, tier: DifficultyTier) -> u8 {
        let smaller = |step: &u8| self.bytes(tier, *step) < self.bytes(tier, *step - 1);
        (1..=STEPS_MAX).take_while(smaller).count() as u8
    }
}

/// A right answer, by the server's clock: Unix milliseconds of engine time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// The tier the unit was issued for.
    pub tier: DifficultyTier,
    /// Who answered: a number its client cannot choose.
    pub client: u64,
    /// When the unit was issued, from its token.
    pub issued_ms: u64,
    /// The floor, from its token.
    pub not_before_ms: u64,
    /// When the answer was held against the floor.
    pub answered_ms: u64,
}

impl Observation {
    /// The answer to a token. Made-up units and interior nodes have sizes of their own, and are not
    /// observed.
    pub fn of(token: &ChallengeToken, answered_ms: u64) -> Option<Self> {
        // The digest is keyed: no client can choose it.
        let [a, b, c, d, e, f, g, h, ..] = *token.client.as_bytes();
        (token.purpose == TokenPurpose::Work).then(|| Self {
            tier: token.tier,
            client: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            issued_ms: token.issued_at.0,
            not_before_ms: token.not_before.0,
            answered_ms,
        })
    }
}

/// The state of a tier. Times are to 3 in 100, of recent answers, and 0 if there was none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Observed {
    /// Answers counted, ever.
    pub answers: u64,
    /// Median time from issue to answer, milliseconds.
    pub median_ms: u64,
    /// Nine of ten took no longer.
    pub p90_ms: u64,
    /// Median time beyond the floor.
    pub beyond_median_ms: u64,
    /// Nine of ten were no longer beyond the floor.
    pub beyond_p90_ms: u64,
    /// Steps below the cap: 0 to 3.
    pub step: u8,
}

/// All tiers.
#[derive(Debug)]
pub struct Calibration {
    rules: Option<SizeRules>,
    tiers: [Tier; 3],
}

#[derive(Debug)]
struct Tier {
    answers: u64,
    clients: Places,
    whole: Record,
    beyond: Record,
    size: Option<Size>,
}

impl Calibration {
    /// Nothing observed yet. Without rules nothing is ever cut.
    pub fn new(rules: Option<SizeRules>, now_ms: u64) -> Self {
        let tier = |tier: DifficultyTier| Tier {
            answers: 0,
            clients: Places::new(),
            whole: Record::new(now_ms),
            beyond: Record::new(now_ms),
            size: rules.and_then(|rules| Size::new(&rules, tier, now_ms)),
        };
        Self { rules, tiers: DifficultyTier::ALL.map(tier) }
    }

    /// Counts a right answer. The caller makes sure that each token counts once.
    pub fn observe(&mut self, observation: &Observation) {
        let Observation { tier, client, issued_ms, not_before_ms, answered_ms } = *observation;
        let beyond_ms = answered_ms.saturating_sub(issued_ms.max(not_before_ms));
        let seen = &mut self.tiers[tier as usize];
        if seen.clients.first(client, answered_ms / MINUTE_MS + 1) {
            seen.answers += 1;
            seen.whole.add(answered_ms.saturating_sub(issued_ms), answered_ms);
            seen.beyond.add(beyond_ms, answered_ms);
        }
        if let (Some(rules), Some(size)) = (&self.rules, &mut seen.size) {
            size.observe(rules, client, beyond_ms, answered_ms);
        }
    }

    /// Bytes a unit may carry now, unless it is a single leaf; `None` without rules.
    pub fn unit_bytes(&self, tier: DifficultyTier, now_ms: u64) -> Option<usize> {
        self.rules.map(|rules| rules.bytes(tier, self.step(tier, now_ms)))
    }

    /// The state of a tier.
    pub fn look(&self, tier: DifficultyTier, now_ms: u64) -> Observed {
        let seen = &self.tiers[tier as usize];
        Observed {
            answers: seen.answers,
            median_ms: seen.whole.middle(MEDIAN),
            p90_ms: seen.whole.middle(P90),
            beyond_median_ms: seen.beyond.middle(MEDIAN),
            beyond_p90_ms: seen.beyond.middle(P90),
            step: self.step(tier, now_ms),
        }
    }

    fn step(&self, tier: DifficultyTier, now_ms: u64) -> u8 {
        self.tiers[tier as usize].size.as_ref().map_or(0, |size| size.step_at(now_ms))
    }
}

/// The size of one tier, and the window it is judged by next.
#[derive(Debug)]
struct Size {
    tier: DifficultyTier,
    target_ms: u64,
    deepest: u8,
    step: u8,
    /// When the window begins: in the future while tokens issued before a step are waited out.
    since_ms: u64,
    /// Numbers the windows, from 1.
    window: u64,
    clients: Places,
    beyond: Histogram,
    /// Windows in a row that called for a step up, and the number needed.
    asked: u8,
    asks_needed: u8,
    /// The last step was one up, and no window has been judged since.
    on_trial: bool,
}

impl Size {
    fn new(rules: &SizeRules, tier: DifficultyTier, now_ms: u64) -> Option<Self> {
        Some(Self {
            tier,
            target_ms: rules.target_ms[tier as usize]?,
            deepest: rules.deepest(tier),
            step: 0,
            // Tokens issued before a restart may differ in size, and their response time includes
            // the downtime.
            since_ms: now_ms.saturating_add(rules.settle_ms),
            window: 1,
            clients: Places::new(),
            beyond: Histogram::new(),
            asked: 0,
            asks_needed: 1,
            on_trial: false,
        })
    }

    fn step_at(&self, now_ms: u64) -> u8 {
        self.step.saturating_sub(u8::try_from(self.hours_at(now_ms)).unwrap_or(u8::MAX))
    }

    /// Whole hours since the window began.
    fn hours_at(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.since_ms) / HOUR_MS
    }

    fn observe(&mut self, rules: &SizeRules, client: u64, beyond_ms: u64, now_ms: u64) {
        let hours = self.hours_at(now_ms);
        if hours > 0 {
            let (step, at_ms) = (self.step_at(now_ms), self.since_ms + hours * HOUR_MS);
            (self.asked, self.on_trial) = (0, false);
            self.begin(rules, step, at_ms);
        }
        if now_ms < self.since_ms {
            return;
        }
        if self.clients.first(client, self.window) {
            self.beyond.add(beyond_ms);
        }
        // Every answer, counted or not, lets time pass.
        if self.beyond.total() >= CLIENTS_MIN
            && now_ms - self.since_ms >= MINUTE_MS
            && let Some(median) = self.beyond.quantile(MEDIAN)
        {
            let step = self.judge(&median);
            self.begin(rules, step, now_ms);
        }
    }

    /// The step that follows from a full window. The median is known as a range; what is not sure
    /// of it is not held against the size.
    fn judge(&mut self, median: &RangeInclusive<u64>) -> u8 {
        let was_on_trial = std::mem::take(&mut self.on_trial);
        if *median.start() > self.target_ms {
            self.asked = 0;
            if was_on_trial {
                self.asks_needed = (self.asks_needed * 2).min(ASKS_MAX);
            }
            return (self.step + 1).min(self.deepest);
        }
        if was_on_trial {
            self.asks_needed = 1;
        }
        let asks = self.step > 0 && median.end().saturating_mul(2) <= self.target_ms;
        self.asked = if asks { self.asked + 1 } else { 0 };
        if self.asked < self.asks_needed {
            return self.step;
        }
        (self.asked, self.on_trial) = (0, true);
        self.step - 1
    }

    /// A new window; if the size is another, only once all tokens of the size before are over.
    fn begin(&mut self, rules: &SizeRules, step: u8, now_ms: u64) {
        let settle_ms =
            if rules.bytes(self.tier, step) == rules.bytes(self.tier, self.step) { 0 } else { rules.settle_ms };
        self.since_ms = now_ms.saturating_add(settle_ms);
        self.step = step;
        self.window += 1;
        self.beyond.clear();
    }
}

/// Who has been counted in a period, by place: two clients that share one count as one. Its size is
/// fixed for any number of clients.
#[derive(Debug)]
struct Places(Vec<u32>);

impl Places {
    fn new() -> Self {
        Self(vec![0; PLACES])
    }

    /// Whether this is the client's first time in that period; periods are counted upwards, from 1.
    fn first(&mut self, client: u64, period: u64) -> bool {
        let period = u32::try_from(period).unwrap_or(u32::MAX);
        let place = &mut self.0[(client % PLACES as u64) as usize];
        let first = *place < period;
        *place = period.max(*place);
        first
    }
}

/// An eighth of the cap at least.
const STEPS_MAX: u8 = 3;
/// Clients in a full window.
const CLIENTS_MIN: u64 = 64;
/// Windows in a row that ask for a step up, at most, before it is tried.
const ASKS_MAX: u8 = 32;
/// Places for clients, 16 KiB.
const PLACES: usize = 4_096;
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// Per thousand.
const MEDIAN: u64 = 500;
const P90: u64 = 900;
