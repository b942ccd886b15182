//! A token that a request presents, opened: the checks that need no store.

use std::sync::Arc;

use crate::engine::{Inspected, SubmitError};
use crate::gate::request::facts::Facts;
use crate::gate::request::navigation::Navigation;
use crate::gate::request::presented::Presented;
use crate::gate::state::Gate;
use crate::protocol::{DifficultyTier, WorkId};

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

    /// Returns the tier of its challenge.
    pub(super) fn tier(&self) -> DifficultyTier {
        self.inspected.tier()
    }
}

impl Gate {
    /// Checks everything about a token that needs no store.
    pub(super) fn open_token(&self, facts: &Facts, text: &str) -> Result<Arc<OpenedToken>, SubmitError> {
        let policy = self.inner.limits.of(facts.policy).digest;
        let inspected =
            self.inner.engine.for_gate().inspect_for(|| facts.client_digest(&self.inner.engine), text, policy)?;
        let now_ms = self.inner.engine.now().0;
        let (expires_ms, not_before_ms) = (now_ms + inspected.ttl_ms(), now_ms + inspected.wait_ms());
        let inspected = inspected.from_network(facts.prefix.as_bytes());
        Ok(Arc::new(OpenedToken { inspected, expires_ms, not_before_ms }))
    }

    /// Uses the first answer of a navigation whose token is valid for this client; returns that
    /// token.
    pub(in crate::gate) fn take_answer(
        &self,
        facts: &mut Facts,
        navigation: Option<(Navigation, Vec<Presented>)>,
    ) -> Option<Arc<OpenedToken>> {
        let (navigation, answers) = navigation?;
        let mut opened = None;
        for answer in answers {
            if let Ok(token) = self.open_token(facts, &answer.token) {
                (opened, facts.answer) = (Some(token), Some(answer));
                break;
            }
        }
        facts.navigation = Some(Navigation { answered: opened.is_some(), ..navigation });
        opened
    }
}
