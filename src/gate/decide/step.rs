//! The next step of an adapter for a request.

use crate::gate::reply::decision::Decision;
use crate::gate::reply::problem::detail;
use crate::gate::request::facts::Facts;
use crate::gate::request::head::{Head, content_length};
use crate::gate::state::Gate;
use crate::protocol::Reason;

use super::body::NeedsBody;
use super::pending::Pending;

/// The next step for a request whose head has been read.
///
/// Complete on purpose: a server has to act on every step, so a new one is a breaking change.
#[derive(Debug)]
#[must_use]
pub enum Step {
    /// The route is exempt, or the request is a CORS preflight: let it through and add nothing.
    Exempt,
    /// The decision is made.
    Decided(Decision),
    /// The request presents a token, so the decision needs the store: wait for it, or have it
    /// called back.
    Judge(Pending),
    /// The body may hold a result: buffer it as [`NeedsBody`] asks. If the request is let through,
    /// the body goes on to the service byte for byte.
    Body(NeedsBody),
}

impl Gate {
    /// Decides whether to read a body. It is read only if the token is valid so far and its
    /// challenge is not known to be over, one body at a time for each challenge, and only while
    /// there is room.
    pub(in crate::gate) fn ask_for_body(&self, head: &dyn Head, facts: Facts) -> Step {
        let inner = &*self.inner;
        let limit_bytes = inner.settings.body_limit_bytes;
        let form = (facts.navigation, facts.cookie, facts.policy);
        let decided = |decision| {
            inner.tallies.requests.bump();
            Step::Decided(self.dressed_as(form, decision))
        };
        if content_length(head).is_some_and(|length| length > limit_bytes as u64) {
            return decided(self.refused(&facts, Reason::TooLarge, detail(Reason::TooLarge)));
        }
        let opened = facts.answer.as_ref().map(|presented| self.open_token(&facts, &presented.token));
        let token = match opened {
            Some(Ok(token)) => token,
            Some(Err(not)) => return decided(self.not_opened(&facts, &not)),
            None => return decided(self.plain(&facts, None)),
        };
        if token.is_over(self) {
            // It is too late for any body. The store knows whether the token was used or withdrawn.
            return Step::Judge(Pending::new(self, facts, Some(token), None));
        }
        match inner.buffers.begin(token.id()) {
            Some(buffered) => {
                let timeout = inner.settings.body_timeout;
                Step::Body(NeedsBody { limit_bytes, timeout, gate: self.clone(), facts, token, buffered })
            }
            None => decided(self.try_again(&facts)),
        }
    }
}
