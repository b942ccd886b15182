//! How hard a client's next challenge is (paper, 5.3; component DifficultyAdjuster).
//!
//! * A violation is a round of challenges without a right answer, by a client that did not wait
//!   either: the gate counts it with the client's next challenge. Who pays or waits every time is
//!   no abuser. Two within the escalation window raise the tier one step and reset the count.
//! * A wrong result raises it at once.
//! * It steps down once for every full cool-down since the last violation or completion, when
//!   looked at.
//! * It never leaves the range from the default to the cap.

use crate::protocol::DifficultyTier;

/// Violations within the escalation window that raise the tier.
const VIOLATIONS: u8 = 2;

/// The rules, the same for all clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DifficultyRules {
    /// The tier of a new client, and the lowest tier stored.
    pub default: DifficultyTier,
    /// The highest tier stored; at least the default.
    pub cap: DifficultyTier,
    /// Time within which violations add up, milliseconds.
    pub escalation_window_ms: u64,
    /// Time without violation for each step down, milliseconds; positive.
    pub cool_down_ms: u64,
}

/// The standing of one client. The default value is that of a client never seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// The stored tier; reputation may lower the one handed out.
    pub tier: DifficultyTier,
    /// Violations since `first_violation_ms` that have not raised the tier yet.
    pub violations: u8,
    /// The first of them, Unix milliseconds of engine time.
    pub first_violation_ms: u64,
    /// The last violation, wrong result, completion, or step down.
    pub last_ms: u64,
}

impl Standing {
    /// Returns the client's present standing: after the cool-down, within the rules.
    pub fn look(&self, rules: &DifficultyRules, now_ms: u64) -> Self {
        let mut now = *self;
        now.tier = now.tier.clamp(rules.default, rules.cap.max(rules.default));
        let calm_ms = now_ms.saturating_sub(now.last_ms);
        let steps = calm_ms / rules.cool_down_ms.max(1);
        for _ in 0..steps.min(DifficultyTier::ALL.len() as u64) {
            now.tier = now.tier.softer().max(rules.default);
        }
        now.last_ms += steps * rules.cool_down_ms.max(1);
        if now_ms.saturating_sub(now.first_violation_ms) > rules.escalation_window_ms {
            now.violations = 0;
        }
        now
    }

    /// A violation.
    pub fn violated(&self, rules: &DifficultyRules, now_ms: u64) -> Self {
        let mut now = self.look(rules, now_ms);
        if now.violations == 0 {
            now.first_violation_ms = now_ms;
        }
        now.violations += 1;
        now.last_ms = now_ms;
        if now.violations >= VIOLATIONS { now.raised(rules) } else { now }
    }

    /// A wrong result.
    pub fn wrong(&self, rules: &DifficultyRules, now_ms: u64) -> Self {
        let mut now = self.look(rules, now_ms);
        now.last_ms = now_ms;
        now.raised(rules)
    }

    /// An answer was accepted.
    pub fn completed(&self, rules: &DifficultyRules, now_ms: u64) -> Self {
        let mut now = self.look(rules, now_ms);
        now.last_ms = now_ms;
        now
    }

    /// Nothing would be lost if this were forgotten.
    pub fn is_default(&self, rules: &DifficultyRules, now_ms: u64) -> bool {
        let now = self.look(rules, now_ms);
        let calm = now_ms.saturating_sub(now.last_ms.max(self.last_ms)) >= rules.escalation_window_ms;
        now.tier == rules.default && now.violations == 0 && (calm || self.last_ms == 0)
    }

    fn raised(mut self, rules: &DifficultyRules) -> Self {
        self.tier = self.tier.harder().min(rules.cap.max(rules.default));
        self.violations = 0;
        self
    }
}
