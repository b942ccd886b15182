//! Requests without a token, and those judged as if they had none: the window, then a challenge or
//! a plain 429.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::engine::{IssueError, IssueRequest, Issued, bump};
use crate::guard::contained;
use crate::policy::reputation::{Effective, effective};
use crate::policy::window::Quota;
use crate::protocol::{DifficultyTier, Reason};

use super::choices::FallbackBehavior;
use super::decision::Decision;
use super::event::GateEvent;
use super::facts::Facts;
use super::page;
use super::respond::{NewRefusal, detail, pass};
use super::window::{Admission, Window, WindowError};
use super::{Gate, Place};

/// Bytes of an encoded challenge without the unit's data: other members, problem document, headers.
const FRAME_BYTES: u64 = 3_072;
/// The least data worth a challenge.
pub(super) const DATA_BYTES_MIN: u64 = 512;

/// The reason why a presented token does not count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Because {
    pub(super) reason: Reason,
    /// The floor of the new challenge in its place; `None` for the floor of its tier.
    pub(super) floor_ms: Option<u64>,
}

impl From<Reason> for Because {
    fn from(reason: Reason) -> Self {
        Self { reason, floor_ms: None }
    }
}

impl Gate {
    /// Decides by the window. `because` is the reason why a presented token does not count.
    // Inlined: a pass is made where it is used, not copied there.
    #[inline(always)]
    pub(super) fn plain(&self, facts: &Facts, because: Option<Because>) -> Decision {
        let place = self.place(facts.policy);
        self.by_admission(place, facts, self.admission(place, facts), because)
    }

    /// Decides by the window's result.
    #[inline(always)]
    pub(super) fn by_admission(
        &self,
        place: &Place,
        facts: &Facts,
        admission: Option<Admission>,
        because: Option<Because>,
    ) -> Decision {
        match admission {
            None => self.short(place, facts, Quota { remaining: 0, ..unknown(place) }, Reason::Unavailable),
            Some(Admission::Admitted(quota)) => pass(place, quota, None),
            Some(Admission::Over(quota)) => self.over(place, facts, quota, because),
            Some(Admission::Crowded(quota)) => {
                self.limited(facts, quota);
                if self.inner.settings.shadow {
                    return self.shadowed(place, quota);
                }
                self.short(place, facts, quota, Reason::Crowded)
            }
        }
    }

    /// Asks the window; `None` if it cannot be reached and the fallback is to deny.
    pub(super) fn admission(&self, place: &Place, facts: &Facts) -> Option<Admission> {
        let now_ms = self.engine().for_gate().window_ms();
        let (client, prefix) = (&facts.client, facts.prefix);
        if let Some(window) = &self.inner.window {
            let now = Duration::from_millis(now_ms);
            let outcome = consulted(|| window.check(&place.policy, client, prefix, now));
            self.inner.window_failing.store(outcome.is_err(), Ordering::Relaxed);
            match (outcome, self.inner.settings.fallback_behavior) {
                (Ok(admission), _) => return Some(admission),
                (Err(_), FallbackBehavior::InMemory) => self.fell_back(facts, Reason::Unavailable),
                (Err(_), FallbackBehavior::Allow) => {
                    self.fell_back(facts, Reason::Unavailable);
                    return Some(Admission::Admitted(unknown(place)));
                }
                (Err(_), FallbackBehavior::Deny) => return None,
            }
        }
        Some(place.limiter.check(client, prefix, now_ms))
    }

    /// Returns the client's quota, without taking a slot.
    pub(super) fn standing(&self, place: &Place, facts: &Facts) -> Quota {
        let now_ms = self.engine().for_gate().window_ms();
        let (client, prefix) = (&facts.client, facts.prefix);
        let now = Duration::from_millis(now_ms);
        let look = |window: &dyn Window| consulted(|| window.look(&place.policy, client, prefix, now)).ok();
        let outside = self.inner.window.as_deref().and_then(look);
        outside.unwrap_or_else(|| place.limiter.look(client, prefix, now_ms))
    }

    /// Counts a refused answer as a request: it takes a slot if there is one.
    pub(super) fn counted(&self, place: &Place, facts: &Facts) -> Quota {
        match self.admission(place, facts) {
            Some(Admission::Admitted(quota) | Admission::Over(quota) | Admission::Crowded(quota)) => quota,
            None => unknown(place),
        }
    }

    #[cold]
    fn over(&self, place: &Place, facts: &Facts, quota: Quota, because: Option<Because>) -> Decision {
        self.limited(facts, quota);
        if self.inner.settings.shadow {
            return self.shadowed(place, quota);
        }
        self.challenge_or_short(place, facts, quota, because)
    }

    /// Returns a challenge if one can be made, else a plain 429 with the reason.
    pub(super) fn challenge_or_short(
        &self,
        place: &Place,
        facts: &Facts,
        quota: Quota,
        because: Option<Because>,
    ) -> Decision {
        match self.challenge(place, facts, quota, because) {
            Ok(decision) => decision,
            Err(reason) => self.short(place, facts, quota, reason),
        }
    }

    /// Counts and reports a request over its limit, with or without a token.
    pub(super) fn limited(&self, facts: &Facts, Quota { limit, remaining, reset_ms, .. }: Quota) {
        bump(&self.inner.counters.limited, 1);
        self.emit(&GateEvent::RateLimited { client: facts.client.clone(), limit, remaining, reset_ms });
    }

    pub(super) fn shadowed(&self, place: &Place, quota: Quota) -> Decision {
        bump(&self.inner.counters.shadowed, 1);
        pass(place, quota, None)
    }

    fn fell_back(&self, facts: &Facts, reason: Reason) {
        self.emit(&GateEvent::FallbackActivated { client: facts.client.clone(), reason });
    }

    /// Returns a plain refusal: the client can only wait.
    #[cold]
    fn short(&self, place: &Place, facts: &Facts, quota: Quota, reason: Reason) -> Decision {
        self.fell_back(facts, reason);
        self.inner.counters.refused(reason);
        let retry_ms = Some(quota.reset_ms.max(1));
        let refusal = NewRefusal { place, quota, reason, detail: detail(reason), retry_ms, token: None, unit: None };
        refusal.refuse(None)
    }

    /// Returns a new challenge, or the reason why there is none.
    fn challenge(
        &self,
        place: &Place,
        facts: &Facts,
        quota: Quota,
        because: Option<Because>,
    ) -> Result<Decision, Reason> {
        let inner = &*self.inner;
        let now_ms = self.engine().now().0;
        let client = facts.client.to_bytes();
        let tier = self.tier(facts, &client)?;
        let is_probe = self.ask_breaker(now_ms)?;
        let wanted = encoded(inner.unit_bytes[tier as usize]);
        let reservation =
            inner.accounts.reserve(&facts.client, facts.prefix, wanted, encoded(DATA_BYTES_MIN), now_ms)?;
        let mut flight = inner.in_flight.book(reservation.bytes).ok_or(Reason::Budget)?;
        let request = IssueRequest {
            client: &client,
            network: facts.prefix.as_bytes(),
            tier,
            policy: place.digest,
            floor: because.and_then(|because| because.floor_ms).map(Duration::from_millis),
            synthetic: inner.settings.synthetic,
            bytes_max: usize::try_from(decoded(reservation.bytes)).ok(),
        };
        let Issued { unit, .. } = self.engine().issue(&request).map_err(|error| {
            if matches!(error, IssueError::Closed) {
                self.store_failed(now_ms);
            }
            error.reason()
        })?;
        self.engine().for_gate().note_issued(&client);
        let reason = because.map_or(Reason::WorkRequired, |because| because.reason);
        let refusal = NewRefusal {
            place,
            quota,
            reason,
            detail: detail(reason),
            retry_ms: Some(unit.ttl_ms),
            token: Some(&unit.challenge_token),
            unit: Some(&unit.to_json()),
        };
        let decision = refusal.refuse(None);
        let Decision::Refuse(mut refusal) = decision else {
            return Ok(decision);
        };
        let page_bytes = facts.navigation.map_or(0, |_| page::FRAME_BYTES);
        let bytes = refusal.body.len() as u64 + unit.challenge_token.len() as u64 + page_bytes;
        reservation.opened(unit.id, unit.expires_at.0, bytes);
        flight.shrink(bytes);
        refusal.flight = Some(flight);
        bump(&inner.counters.issued[tier as usize], 1);
        bump(&inner.counters.bytes_sent, bytes);
        inner.counters.refused(reason);
        self.emit(&GateEvent::WorkIssued {
            client: facts.client.clone(),
            work_unit_id: unit.id,
            difficulty: tier,
            is_probe,
        });
        Ok(Decision::Refuse(refusal))
    }

    /// Returns the tier to issue: the stored one, reduced by reputation.
    fn tier(&self, facts: &Facts, client: &[u8]) -> Result<DifficultyTier, Reason> {
        let settings = &self.inner.settings;
        let stored = self.engine().for_gate().next_tier(client);
        let thresholds = (settings.reputation_difficulty_threshold, settings.reputation_exemption_threshold);
        match effective(stored, self.reputation(facts), thresholds.0, thresholds.1) {
            Effective::Tier(tier) => Ok(tier),
            Effective::Exempt => Err(Reason::Exempt),
        }
    }

    /// Returns the client's reputation, from the facts or the provider; `None` if the provider
    /// panics.
    fn reputation(&self, facts: &Facts) -> Option<f64> {
        facts.reputation.or_else(|| {
            let provider = self.inner.reputation.as_ref()?;
            contained(|| provider(&facts.client)).ok().flatten()
        })
    }
}

/// Returns the bytes of an encoded challenge with `data` bytes of block data.
pub(super) const fn encoded(data: u64) -> u64 {
    data.div_ceil(3) * 4 + FRAME_BYTES
}

/// Returns the bytes of block data in an encoded challenge of `bytes` bytes.
const fn decoded(bytes: u64) -> u64 {
    bytes.saturating_sub(FRAME_BYTES) / 4 * 3
}

/// Asks the host's window. A panic counts as an error.
fn consulted<T>(ask: impl FnOnce() -> Result<T, WindowError>) -> Result<T, WindowError> {
    contained(ask).unwrap_or_else(|_| Err(WindowError::new("it panicked")))
}

/// Returns the quota to report when the shared window cannot be read: all of the limit.
fn unknown(place: &Place) -> Quota {
    Quota::new(place.policy.rate_limit, place.policy.rate_limit, Duration::ZERO)
}
