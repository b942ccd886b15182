//! The status, headers and body of a refusal. `challenge_page` makes a page of them for browsers,
//! and the headers of a request that passes are those of [`Pass`].

use crate::gate::memory::flight::Flight;
use crate::gate::memory::limit::Limit;
use crate::gate::self_check::SelfCheck;
use crate::policy::window::Quota;
use crate::protocol::{Reason, header};

use super::bought::Bought;
use super::decision::{AcceptedWork, Decision, Pass, Refusal};
use super::problem::{Problem, status};
use super::rate_headers::{Headers, rate_headers, seconds};

/// The content of a refusal, before it is written as a response.
pub(in crate::gate) struct NewRefusal<'a> {
    pub(in crate::gate) limit: &'a Limit,
    pub(in crate::gate) quota: Quota,
    pub(in crate::gate) reason: Reason,
    /// The cause and what the client can do, as text for a person.
    pub(in crate::gate) detail: &'a str,
    /// Whole seconds, for `Retry-After`; rounded up.
    pub(in crate::gate) retry_ms: Option<u64>,
    pub(in crate::gate) token: Option<&'a str>,
    /// A unit as JSON.
    pub(in crate::gate) unit: Option<&'a str>,
}

impl NewRefusal<'_> {
    pub(in crate::gate) fn refuse(self, flight: Option<Flight>) -> Decision {
        let status = status(self.reason);
        let mut headers = rate_headers(self.limit, self.quota);
        if let Some(token) = self.token {
            headers.add(header::CHALLENGE, token);
        }
        if let Some(retry_ms) = self.retry_ms {
            headers.add_number(header::RETRY_AFTER, seconds(retry_ms));
        }
        headers.add("content-type", "application/problem+json");
        headers.add("cache-control", "no-store");
        let Self { limit, reason, detail, unit, .. } = self;
        let body = Problem { status, reason, detail, policy: &limit.policy.name, unit }.to_json();
        Decision::Refuse(Refusal { status, reason, headers, body, flight })
    }
}

/// Returns the refusal of strict mode for a gate that is not set up correctly. It is about no
/// limit, so it has no headers of one.
pub(in crate::gate) fn misconfigured(check: SelfCheck) -> Refusal {
    let reason = Reason::Misconfigured;
    let status = status(reason);
    let detail = format!("strict_checks, {check}: {}.", check.advice());
    let body = Problem { status, reason, detail: &detail, policy: "", unit: None }.to_json();
    let mut headers = Headers::new();
    headers.add("content-type", "application/problem+json");
    headers.add("cache-control", "no-store");
    Refusal { status, reason, headers, body, flight: None }
}

pub(in crate::gate) fn pass(
    limit: &Limit,
    quota: Quota,
    accepted: Option<AcceptedWork>,
    bought: Option<Bought>,
) -> Decision {
    Decision::Pass(Pass { policy: limit.id, quota, accepted, bought, clears_cookie: false })
}
