//! The same challenge again: for an answer that is too early or cannot be accepted now, and for a
//! client that asks for its unit.

use crate::engine::{SubmitError, bump};
use crate::gate::config::sizes::{PAGE_BYTES, encoded};
use crate::gate::memory::flight::Flight;
use crate::gate::reply::decision::Decision;
use crate::gate::reply::problem::detail;
use crate::gate::reply::refusal::NewRefusal;
use crate::gate::request::facts::Facts;
use crate::gate::state::Gate;
use crate::protocol::{DifficultyTier, Reason};

use super::token::OpenedToken;

/// How long a client waits before it sends again an answer that could not be accepted.
const TRY_AGAIN_MS: u64 = 1_000;

impl Gate {
    /// Refuses an answer that could not be stored, or that there is no room for now: the client may
    /// send the same one again.
    pub(super) fn try_again(&self, facts: &Facts) -> Decision {
        self.with_token(facts, Reason::TryAgain, Some(TRY_AGAIN_MS), None)
    }

    /// Refuses an answer that is too early: it is not checked and costs nothing. At the low tier
    /// the unit is sent too, for clients that implement only the paper.
    pub(super) fn too_early(&self, facts: &Facts, token: Option<&OpenedToken>, wait_ms: u64) -> Decision {
        let low = token.filter(|token| token.tier() == DifficultyTier::Low);
        // The token is valid; if its data cannot be read now, the token alone is enough.
        let sent = low.and_then(|token| self.unit_again(facts, token).ok().flatten());
        self.with_token(facts, Reason::TooEarly, Some(wait_ms), sent)
    }

    /// Returns the unit of an open challenge, if its data may be sent again and there is room for
    /// it.
    pub(super) fn unit_again(
        &self,
        facts: &Facts,
        token: &OpenedToken,
    ) -> Result<Option<(String, Flight)>, SubmitError> {
        let inner = &*self.inner;
        let now_ms = self.inner.engine.now().0;
        let Some(presented) = facts.answer.as_ref().filter(|_| facts.can_answer) else {
            return Ok(None);
        };
        let Some(mut flight) = inner.in_flight.book(encoded(inner.unit_bytes[token.tier() as usize])) else {
            return Ok(None);
        };
        if !inner.challenges.may_resend(&facts.client, facts.prefix, token.id(), token.expires_ms, now_ms) {
            return Ok(None);
        }
        let unit = match self.inner.engine.for_gate().reissue_inspected(&token.inspected, &presented.token) {
            Ok(unit) => unit.to_json(),
            Err(error) => {
                inner.challenges.not_sent(&facts.client, token.id());
                return Err(error);
            }
        };
        let bytes = unit.len() as u64 + facts.navigation.map_or(0, |_| PAGE_BYTES);
        if !inner.challenges.send(&facts.client, facts.prefix, bytes, now_ms) {
            inner.challenges.not_sent(&facts.client, token.id());
            return Ok(None);
        }
        flight.shrink(bytes);
        bump(&inner.tallies.resent, 1);
        bump(&inner.tallies.bytes_sent, bytes);
        Ok(Some((unit, flight)))
    }

    /// Refuses with the same challenge again. `retry_ms` is when the same request is admitted; if
    /// that is not known, it is when a slot frees.
    pub(super) fn with_token(
        &self,
        facts: &Facts,
        reason: Reason,
        retry_ms: Option<u64>,
        sent: Option<(String, Flight)>,
    ) -> Decision {
        let limit = self.inner.limits.of(facts.policy);
        let (unit, flight) = sent.unzip();
        let quota = self.standing(limit, facts);
        self.inner.tallies.refused(reason);
        let refusal = NewRefusal {
            limit,
            quota,
            reason,
            detail: detail(reason),
            retry_ms: Some(retry_ms.unwrap_or(quota.reset_ms)),
            token: facts.answer.as_ref().map(|presented| presented.token.as_str()),
            unit: unit.as_deref(),
        };
        refusal.refuse(flight)
    }
}
