//! The gate's decision: let the request through, or send the gate's own response.

use crate::gate::memory::flight::Flight;
use crate::gate::request::facts::PolicyId;
use crate::gate::state::Gate;
use crate::policy::window::Quota;
use crate::protocol::{MicroJoules, Reason, WorkId, header};

use super::bought::Bought;
use super::rate_headers::{Headers, rate_headers};

/// The gate's decision on a request.
///
/// Complete on purpose: a server has to act on both, so a third one is a breaking change.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// Let the request through, and add [`Pass::headers`] to the service's response.
    Pass(Pass),
    /// Send this response; the service does not see the request.
    Refuse(Refusal),
}

/// The decision to let a request through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pass {
    /// The policy it was judged by.
    pub(super) policy: PolicyId,
    /// The client's quota.
    pub quota: Quota,
    /// The work that it was admitted for, if any.
    pub accepted: Option<AcceptedWork>,
    /// The pass that the request was admitted by, or that its answer bought.
    pub(super) bought: Option<Bought>,
    /// Whether the response clears the cookie that held the answer.
    pub clears_cookie: bool,
}

impl Pass {
    /// Returns whether the request was admitted by a pass, and not by an answer or its window.
    pub fn is_by_pass(&self) -> bool {
        self.bought.is_some() && self.accepted.is_none()
    }

    /// Returns the headers for the response; `gate` is the gate that decided. They are formatted
    /// here, because formatting costs more than the decision.
    pub fn headers(&self, gate: &Gate) -> Headers {
        let mut headers = rate_headers(gate.inner.limits.of(self.policy), self.quota);
        if let Some(AcceptedWork { award: MicroJoules(award), .. }) = self.accepted {
            headers.add(header::ACCEPTED, "true");
            headers.add_number(header::JOULE_AWARD, award);
        }
        if self.clears_cookie {
            headers.clear_cookie();
        }
        if let Some(bought) = self.bought {
            bought.write(&mut headers);
        }
        headers
    }
}

/// Work for which a request was admitted. It is durable already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcceptedWork {
    /// Challenge id, which is also the receipt's.
    pub id: WorkId,
    /// Credit.
    pub award: MicroJoules,
}

/// The gate's own response.
#[derive(Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// Status code.
    pub status: u16,
    /// The reason.
    pub reason: Reason,
    /// Headers, including `Content-Type`.
    pub headers: Headers,
    /// The body: one problem document (RFC 9457).
    pub body: Vec<u8>,
    /// Keeps the bytes of a challenge in the budget of bytes in flight. Drop it when the body has
    /// been written or abandoned.
    pub flight: Option<Flight>,
}

impl Refusal {
    /// Returns the token of the challenge in it.
    pub fn token(&self) -> Option<&str> {
        self.headers.find(header::CHALLENGE)
    }
}
