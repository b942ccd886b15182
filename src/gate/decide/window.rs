//! Requests without a token, and those judged as if they had none: the window, then a challenge or
//! a plain 429.

use std::time::Duration;

use crate::engine::bump;
use crate::gate::config::choices::FallbackBehavior;
use crate::gate::event::GateEvent;
use crate::gate::memory::limit::Limit;
use crate::gate::memory::shared_window::Admission;
use crate::gate::reply::decision::Decision;
use crate::gate::reply::problem::detail;
use crate::gate::reply::refusal::{NewRefusal, pass};
use crate::gate::request::facts::Facts;
use crate::gate::request::head::Head;
use crate::gate::state::Gate;
use crate::policy::window::Quota;
use crate::protocol::Reason;

use super::challenge::Because;

impl Gate {
    /// Decides on a request without a token. What matters only over the limit is read from the head
    /// there.
    #[inline(always)]
    pub(in crate::gate) fn without_token(&self, facts: &mut Facts, head: &dyn Head) -> Decision {
        let limit = self.inner.limits.of(facts.policy);
        let admission = self.admission(limit, facts);
        if !matches!(admission, Some(Admission::Admitted(_))) {
            facts.read_over_limit(head);
        }
        if facts.navigation.is_none() && !facts.cookie.came {
            // Made in place: moving it would be a large part of the cost of a decision.
            return self.by_admission(limit, facts, admission, None);
        }
        self.dressed(facts, self.by_admission(limit, facts, admission, None))
    }

    /// Decides by the window on the facts alone.
    #[inline(always)]
    pub(in crate::gate) fn by_window(&self, facts: &Facts) -> Decision {
        if facts.navigation.is_none() {
            return self.plain(facts, None);
        }
        self.dressed(facts, self.plain(facts, None))
    }

    /// Decides by the window. `because` is the reason why a presented token does not count.
    // Inlined: a pass is made where it is used, not copied there.
    #[inline(always)]
    pub(super) fn plain(&self, facts: &Facts, because: Option<Because>) -> Decision {
        let limit = self.inner.limits.of(facts.policy);
        self.by_admission(limit, facts, self.admission(limit, facts), because)
    }

    /// Decides by the window's result.
    #[inline(always)]
    pub(super) fn by_admission(
        &self,
        limit: &Limit,
        facts: &Facts,
        admission: Option<Admission>,
        because: Option<Because>,
    ) -> Decision {
        match admission {
            None => self.short(limit, facts, Quota { remaining: 0, ..unknown(limit) }, Reason::Unavailable),
            Some(Admission::Admitted(quota)) => pass(limit, quota, None, None),
            Some(Admission::Over(quota)) => self.over(limit, facts, quota, because),
            Some(Admission::Crowded(quota)) => {
                let passed = self.passed_over(limit, facts, quota);
                passed.unwrap_or_else(|| self.short(limit, facts, quota, Reason::Crowded))
            }
        }
    }

    /// Asks the window; `None` if it cannot be reached and the fallback is to deny.
    pub(super) fn admission(&self, limit: &Limit, facts: &Facts) -> Option<Admission> {
        let now_ms = self.inner.engine.for_gate().window_ms();
        let (client, prefix) = (&facts.client, facts.prefix);
        if let Some(outcome) = self.inner.window.check(&limit.policy, client, prefix, now_ms) {
            match (outcome, self.inner.settings.fallback_behavior) {
                (Ok(admission), _) => return Some(admission),
                (Err(_), FallbackBehavior::InMemory) => self.fell_back(facts, Reason::Unavailable),
                (Err(_), FallbackBehavior::Allow) => {
                    self.fell_back(facts, Reason::Unavailable);
                    return Some(Admission::Admitted(unknown(limit)));
                }
                (Err(_), FallbackBehavior::Deny) => return None,
            }
        }
        Some(limit.limiter.check(client, prefix, now_ms))
    }

    /// Returns the client's quota, without taking a slot.
    pub(super) fn standing(&self, limit: &Limit, facts: &Facts) -> Quota {
        let now_ms = self.inner.engine.for_gate().window_ms();
        let (client, prefix) = (&facts.client, facts.prefix);
        let outside = self.inner.window.look(&limit.policy, client, prefix, now_ms);
        outside.unwrap_or_else(|| limit.limiter.look(client, prefix, now_ms))
    }

    /// Counts a refused answer as a request: it takes a slot if there is one.
    pub(super) fn counted(&self, limit: &Limit, facts: &Facts) -> Quota {
        match self.admission(limit, facts) {
            Some(Admission::Admitted(quota) | Admission::Over(quota) | Admission::Crowded(quota)) => quota,
            None => unknown(limit),
        }
    }

    #[cold]
    fn over(&self, limit: &Limit, facts: &Facts, quota: Quota, because: Option<Because>) -> Decision {
        if let Some(passed) = self.passed_over(limit, facts, quota) {
            return passed;
        }
        if facts.can_answer {
            self.note_refused(facts, quota);
        }
        self.challenge_or_short(limit, facts, quota, because)
    }

    /// Lets a request over its limit through by a pass or in shadow mode. Without a pass it is
    /// counted as limited.
    pub(super) fn passed_over(&self, limit: &Limit, facts: &Facts, quota: Quota) -> Option<Decision> {
        self.by_pass(limit, facts, quota).or_else(|| {
            self.limited(facts, quota);
            self.inner.settings.shadow.then(|| self.shadowed(limit, quota))
        })
    }

    /// Notes that a request was refused, and until when its client has to wait.
    pub(super) fn note_refused(&self, facts: &Facts, quota: Quota) {
        let inner = &*self.inner;
        let (now_ms, engine_ms) = (inner.engine.for_gate().window_ms(), inner.engine.now().0);
        let until_ms = now_ms.saturating_add(quota.reset_ms);
        inner.challenges.refused((&facts.client, facts.policy), now_ms, until_ms, engine_ms);
    }

    /// Returns a challenge if one can be made, else a plain 429 with the reason.
    pub(super) fn challenge_or_short(
        &self,
        limit: &Limit,
        facts: &Facts,
        quota: Quota,
        because: Option<Because>,
    ) -> Decision {
        match self.challenge(limit, facts, quota, because) {
            Ok(decision) => decision,
            Err(reason) => self.short(limit, facts, quota, reason),
        }
    }

    /// Counts and reports a request over its limit, with or without a token.
    fn limited(&self, facts: &Facts, Quota { limit, remaining, reset_ms, .. }: Quota) {
        bump(&self.inner.tallies.limited, 1);
        self.inner.events.emit(&GateEvent::RateLimited { client: facts.client.clone(), limit, remaining, reset_ms });
    }

    fn shadowed(&self, limit: &Limit, quota: Quota) -> Decision {
        bump(&self.inner.tallies.shadowed, 1);
        pass(limit, quota, None, None)
    }

    fn fell_back(&self, facts: &Facts, reason: Reason) {
        self.inner.events.emit(&GateEvent::FallbackActivated { client: facts.client.clone(), reason });
    }

    /// Returns a plain refusal: the client can only wait.
    #[cold]
    fn short(&self, limit: &Limit, facts: &Facts, quota: Quota, reason: Reason) -> Decision {
        if reason != Reason::CannotAnswer {
            self.fell_back(facts, reason);
        }
        self.inner.tallies.refused(reason);
        let retry_ms = Some(quota.reset_ms.max(1));
        let refusal = NewRefusal { limit, quota, reason, detail: detail(reason), retry_ms, token: None, unit: None };
        refusal.refuse(None)
    }
}

/// Returns the quota to report when the shared window cannot be read: all of the limit.
fn unknown(limit: &Limit) -> Quota {
    Quota::new(limit.policy.rate_limit, limit.policy.rate_limit, Duration::ZERO)
}
