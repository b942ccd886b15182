//! A challenge for a request over its limit: at which tier, with how many bytes, and why there is
//! none.

use std::time::Duration;

use crate::engine::{Asked, IssueError, Issued, bump};
use crate::gate::config::sizes::{DATA_BYTES_MIN, PAGE_BYTES, data_bytes, decoded, encoded};
use crate::gate::event::GateEvent;
use crate::gate::memory::limit::Limit;
use crate::gate::reply::decision::Decision;
use crate::gate::reply::problem::detail;
use crate::gate::reply::refusal::NewRefusal;
use crate::gate::request::facts::Facts;
use crate::gate::state::Gate;
use crate::guard::contained;
use crate::policy::reputation::{Effective, effective};
use crate::policy::window::Quota;
use crate::protocol::{ClientDigest, DifficultyTier, Reason, WorkId, WorkUnit};

/// The reason why a presented token does not count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Because {
    pub(super) reason: Reason,
    /// The challenge that a new one replaces through no fault of its client, which then waits for
    /// the rest of the first floor only.
    pub(super) replaces: Option<Replaces>,
}

/// A challenge that is replaced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replaces {
    pub(super) id: WorkId,
    pub(super) expires_ms: u64,
    pub(super) credit: Credit,
}

/// What the client of a replaced challenge has waited already.
#[derive(Debug, Clone, Copy)]
pub(super) enum Credit {
    /// The whole floor of the new one, but for the time until then: the server withdrew it.
    UntilMs(u64),
    /// The time since then, which is that of its issue.
    SinceMs(u64),
}

impl From<Reason> for Because {
    fn from(reason: Reason) -> Self {
        Self { reason, replaces: None }
    }
}

impl Gate {
    /// Returns a new challenge, or the reason why there is none.
    pub(super) fn challenge(
        &self,
        limit: &Limit,
        facts: &Facts,
        quota: Quota,
        because: Option<Because>,
    ) -> Result<Decision, Reason> {
        let inner = &*self.inner;
        if !facts.can_answer {
            return Err(Reason::CannotAnswer);
        }
        let now_ms = self.inner.engine.now().0;
        let client = facts.client_digest(&inner.engine);
        let tier = self.tier(facts, client, now_ms)?;
        let size = if facts.takes_subtrees { tier } else { DifficultyTier::Low };
        let is_probe = self.ask_breaker(now_ms)?;
        let wanted = encoded(data_bytes(inner.unit_bytes[size as usize], facts.by_metadata));
        let reservation =
            inner.challenges.reserve(&facts.client, facts.prefix, wanted, encoded(DATA_BYTES_MIN), now_ms)?;
        let mut flight = inner.in_flight.book(reservation.bytes).ok_or(Reason::Budget)?;
        let replaces = because.and_then(|because| because.replaces);
        let replaced = replaces.filter(|old| inner.replaced.insert(old.id, old.expires_ms, now_ms));
        let request = Asked {
            client,
            by_address: facts.client.is_address(),
            network: facts.prefix.as_bytes(),
            tier,
            size,
            policy: limit.digest,
            floor: replaced.map(|replaced| self.rest_of_floor(replaced, tier, now_ms)),
            synthetic: inner.settings.synthetic,
            bytes_max: usize::try_from(decoded(reservation.bytes)).ok(),
        };
        let Issued { unit, .. } = self.inner.engine.for_gate().issue(&request).map_err(|error| {
            if let Some(old) = replaced {
                inner.replaced.remove(old.id, old.expires_ms);
            }
            if matches!(error, IssueError::Closed) {
                self.store_failed(now_ms);
            }
            // The budget had room for all that metadata may have.
            let no_room = facts.by_metadata && reservation.bytes >= wanted;
            if no_room && matches!(error, IssueError::TooBig { .. }) { Reason::CannotAnswer } else { error.reason() }
        })?;
        let reason = because.map_or(Reason::WorkRequired, |because| because.reason);
        let refusal = NewRefusal {
            limit,
            quota,
            reason,
            detail: detail(reason),
            // After a wrong answer a slot may be free already.
            retry_ms: Some(if quota.remaining > 0 { 1 } else { quota.reset_ms.max(1) }),
            token: Some(&unit.challenge_token),
            unit: Some(&unit.to_json()),
        };
        let decision = refusal.refuse(None);
        let Decision::Refuse(mut refusal) = decision else {
            return Ok(decision);
        };
        let page_bytes = facts.navigation.map_or(0, |_| PAGE_BYTES);
        let bytes = refusal.body.len() as u64 + unit.challenge_token.len() as u64 + page_bytes;
        if reservation.opened(unit.id, unit.expires_at.0, bytes) {
            inner.engine.for_gate().violated(client);
        }
        flight.shrink(bytes);
        refusal.flight = Some(flight);
        self.note_issued(facts, &unit, (reason, bytes, is_probe));
        Ok(Decision::Refuse(refusal))
    }

    /// Counts and reports a challenge, with its reason and its size in bytes.
    fn note_issued(&self, facts: &Facts, unit: &WorkUnit, (reason, bytes, is_probe): (Reason, u64, bool)) {
        let tallies = &self.inner.tallies;
        bump(&tallies.issued[unit.difficulty as usize], 1);
        bump(&tallies.bytes_sent, bytes);
        tallies.refused(reason);
        self.inner.events.emit(&GateEvent::WorkIssued {
            client: facts.client.clone(),
            work_unit_id: unit.id,
            difficulty: unit.difficulty,
            is_probe,
        });
    }

    /// Returns what is left of the floor, for a challenge of `tier` in place of another one. It
    /// applies to one new challenge, no matter how often the token of the old one is presented.
    fn rest_of_floor(&self, replaced: Replaces, tier: DifficultyTier, now_ms: u64) -> Duration {
        match replaced.credit {
            Credit::UntilMs(end_ms) => Duration::from_millis(end_ms.saturating_sub(now_ms)),
            Credit::SinceMs(start_ms) => {
                let waited = Duration::from_millis(now_ms.saturating_sub(start_ms));
                self.inner.engine.config().floor(tier).saturating_sub(waited)
            }
        }
    }

    /// Returns the tier to issue: the stored one, reduced by reputation.
    fn tier(&self, facts: &Facts, client: ClientDigest, now_ms: u64) -> Result<DifficultyTier, Reason> {
        let settings = &self.inner.settings;
        let violating = self.inner.challenges.is_violation(&facts.client, now_ms);
        let stored = self.inner.engine.for_gate().tier_for(client, violating);
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
