//! A token that a request presents, opened: the checks that need no store.

use std::sync::Arc;

use crate::engine::{Inspected, SubmitError, whole_ms};
use crate::gate::request::answerable::opens_stream;
use crate::gate::request::cookies::{AnswerCookie, answers, may_have_answer};
use crate::gate::request::facts::Facts;
use crate::gate::request::head::Head;
use crate::gate::state::Gate;
use crate::protocol::{DifficultyTier, WorkId};

use super::challenge::{Credit, Replaces};

/// A valid token whose lease is not checked yet. Time may pass, so the engine checks its expiry
/// again.
#[derive(Debug)]
pub(in crate::gate) struct OpenedToken {
    pub(super) inspected: Inspected,
    pub(super) expires_ms: u64,
    /// The time at which the floor of its challenge ends.
    pub(super) not_before_ms: u64,
}

impl OpenedToken {
    /// Returns whether its challenge is known to be over.
    pub(super) fn is_over(&self, gate: &Gate) -> bool {
        gate.inner.engine.for_gate().is_over(&self.inspected)
    }

    /// Returns the id of its challenge.
    pub(super) fn id(&self) -> WorkId {
        self.inspected.id()
    }

    /// Returns whether it was issued to an address.
    pub(super) fn is_by_address(&self) -> bool {
        self.inspected.is_by_address()
    }

    /// Returns its challenge, which the server withdrew.
    pub(super) fn withdrawn(&self) -> Replaces {
        Replaces { id: self.id(), expires_ms: self.expires_ms, credit: Credit::UntilMs(self.not_before_ms) }
    }

    /// Returns its challenge, which was issued to another address, if the time since then counts
    /// for this client: it is not over, and had the whole floor of its tier. So no second address
    /// passes on what it did not wait for.
    pub(super) fn moved(&self, gate: &Gate) -> Option<Replaces> {
        let floor_ms = whole_ms(gate.inner.engine.config().floor(self.tier()));
        let issued_ms = self.id().unix_millis().0;
        let is_whole = self.not_before_ms.saturating_sub(issued_ms) >= floor_ms;
        let counts = self.is_by_address() && is_whole && !self.is_over(gate);
        counts.then(|| Replaces { id: self.id(), expires_ms: self.expires_ms, credit: Credit::SinceMs(issued_ms) })
    }

    /// Returns the tier of its challenge.
    pub(super) fn tier(&self) -> DifficultyTier {
        self.inspected.tier()
    }
}

/// A token that did not pass the checks.
#[derive(Debug)]
pub(super) struct NotOpened {
    pub(super) error: SubmitError,
    /// The token, if it is genuine and in time, but another client's.
    pub(super) foreign: Option<Box<OpenedToken>>,
}

impl Gate {
    /// Checks everything about a token that needs no store.
    pub(super) fn open_token(&self, facts: &Facts, text: &str) -> Result<Arc<OpenedToken>, NotOpened> {
        let policy = self.inner.limits.of(facts.policy).digest;
        let client = || facts.client_digest(&self.inner.engine);
        let now_ms = self.inner.engine.now().0;
        let timed = |inspected: Inspected| {
            let (expires_ms, not_before_ms) = (now_ms + inspected.ttl_ms(), now_ms + inspected.wait_ms());
            OpenedToken { inspected, expires_ms, not_before_ms }
        };
        match self.inner.engine.for_gate().inspect_for(client, text, policy) {
            Ok(inspected) => Ok(Arc::new(timed(inspected.from_network(facts.prefix.as_bytes())))),
            Err(not) => {
                Err(NotOpened { error: not.error, foreign: not.foreign.map(|foreign| Box::new(timed(*foreign))) })
            }
        }
    }

    /// Uses the first answer in a cookie of a navigation or stream whose token is valid for this
    /// client; returns that token.
    pub(in crate::gate) fn take_answer(&self, facts: &mut Facts, head: &dyn Head) -> Option<Arc<OpenedToken>> {
        if !may_have_answer(head) || !(facts.navigation.is_some() || opens_stream(head)) {
            return None;
        }
        let (cookie, answers) = answers(head);
        facts.cookie = cookie;
        for (answer, secure) in answers {
            match self.open_token(facts, &answer.token) {
                Ok(token) => {
                    facts.cookie = AnswerCookie { used: true, secure, ..cookie };
                    facts.answer = Some(answer);
                    return Some(token);
                }
                Err(not) => facts.cookie.of_other_policy |= matches!(not.error, SubmitError::PolicyMismatch),
            }
        }
        None
    }
}
