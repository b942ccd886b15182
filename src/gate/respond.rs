//! Turns decisions into status codes, headers and bodies. This is the only place that does.

use crate::policy::window::Quota;
use crate::protocol::{Reason, header};
use std::time::Duration;

use super::Place;
use super::choices::RateLimitDraft;
use super::decision::{AcceptedWork, Decision, Headers, Pass, Refusal};
use super::flight::Flight;

/// The content of a refusal, before it is written as a response.
pub(super) struct NewRefusal<'a> {
    pub(super) place: &'a Place,
    pub(super) quota: Quota,
    pub(super) reason: Reason,
    /// The cause and what the client can do, as text for a person.
    pub(super) detail: &'a str,
    /// Whole seconds, for `Retry-After`; rounded up.
    pub(super) retry_ms: Option<u64>,
    pub(super) token: Option<&'a str>,
    /// A unit as JSON.
    pub(super) unit: Option<&'a str>,
}

impl NewRefusal<'_> {
    pub(super) fn refuse(self, flight: Option<Flight>) -> Decision {
        let status = status(self.reason);
        let mut headers = rate_headers(self.place, self.quota);
        if let Some(token) = self.token {
            headers.add(header::CHALLENGE, token);
        }
        if let Some(retry_ms) = self.retry_ms {
            headers.add_number(header::RETRY_AFTER, seconds(retry_ms));
        }
        headers.add("content-type", "application/problem+json");
        headers.add("cache-control", "no-store");
        let body = problem(status, self.reason, self.detail, self.unit);
        Decision::Refuse(Refusal { status, reason: self.reason, headers, body, flight })
    }
}

pub(super) fn pass(place: &Place, quota: Quota, accepted: Option<AcceptedWork>) -> Decision {
    Decision::Pass(Pass { policy: place.id, quota, accepted, clears_cookie: false })
}

/// Converts to whole seconds, rounded up, so that no client retries too early.
fn seconds(ms: u64) -> u64 {
    ms.div_ceil(1000)
}

/// Returns whole seconds, rounded up.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

pub(super) fn rate_headers(place: &Place, quota: Quota) -> Headers {
    let policy = &place.policy;
    let (reset, window) = (seconds(quota.reset_ms), whole_seconds(policy.window));
    let mut headers = Headers::new();
    headers.add_number(header::RATELIMIT_LIMIT, quota.limit.into());
    headers.add_number(header::RATELIMIT_REMAINING, quota.remaining.into());
    headers.add_number(header::RATELIMIT_RESET, reset);
    // Writes pieces of text, each followed by a number.
    let mut field = |name, quoted: Option<&str>, pieces: &[(&str, u64)]| {
        for piece in quoted.iter().flat_map(|name| ["\"", name, "\""]) {
            headers.write(piece);
        }
        for (text, number) in pieces {
            headers.write(text);
            headers.write_number(*number);
        }
        headers.end(name);
    };
    let (limit, remaining) = (u64::from(quota.limit), u64::from(quota.remaining));
    match place.draft {
        RateLimitDraft::None => {}
        RateLimitDraft::Draft7 => {
            field(header::RATELIMIT_POLICY, None, &[("", limit), (";w=", window)]);
            let standing = [("limit=", limit), (", remaining=", remaining), (", reset=", reset)];
            field(header::RATELIMIT, None, &standing);
        }
        RateLimitDraft::Draft8 => {
            let name = Some(&*policy.name);
            field(header::RATELIMIT_POLICY, name, &[(";q=", limit), (";w=", window)]);
            field(header::RATELIMIT, name, &[(";r=", remaining), (";t=", reset)]);
        }
    }
    headers
}

const fn status(reason: Reason) -> u16 {
    match reason {
        Reason::TokenInvalid | Reason::ClientMismatch | Reason::PolicyMismatch | Reason::TokenReplayed => 403,
        Reason::Malformed => 400,
        Reason::TooLarge => 413,
        Reason::Unavailable => 503,
        _ => 429,
    }
}

const fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        403 => "Forbidden",
        413 => "Content Too Large",
        503 => "Service Unavailable",
        _ => "Too Many Requests",
    }
}

/// Returns a problem document (RFC 9457) that also has the members of the paper's middleware.
fn problem(status: u16, reason: Reason, detail: &str, unit: Option<&str>) -> Vec<u8> {
    let title = phrase(status);
    let detail = serde_json::Value::from(detail).to_string();
    let mut body = String::with_capacity(detail.len() * 2 + unit.map_or(0, str::len) + 256);
    body.push_str("{\"type\":\"about:blank\",\"title\":\"");
    body.push_str(title);
    body.push_str("\",\"status\":");
    body.push_str(&status.to_string());
    body.push_str(",\"detail\":");
    body.push_str(&detail);
    body.push_str(",\"reason\":\"");
    body.push_str(reason.as_str());
    body.push_str("\",\"statusCode\":");
    body.push_str(&status.to_string());
    body.push_str(",\"error\":\"");
    body.push_str(title);
    body.push_str("\",\"message\":");
    body.push_str(&detail);
    if let Some(unit) = unit {
        body.push_str(",\"workUnit\":");
        body.push_str(unit);
    }
    body.push('}');
    body.into_bytes()
}

/// Returns the text for a person. `Malformed` has a more detailed one, from the error itself.
pub(super) const fn detail(reason: Reason) -> &'static str {
    match reason {
        Reason::WorkRequired => {
            "Over the limit. Compute workUnit, wait waitMs and send the request again with the result, or wait."
        }
        Reason::NoWork => "Over the limit, and there is no work to issue. Wait for the time in Retry-After.",
        Reason::Degraded => "Over the limit, and no work is issued for now. Wait for the time in Retry-After.",
        Reason::Exempt => "Over the limit. This client is exempt from work. Wait for the time in Retry-After.",
        Reason::Budget => {
            "Over the limit, and no more challenges can be sent to this client or its network now. Answer an open challenge, or wait for the time in Retry-After."
        }
        Reason::Ceiling => {
            "Over the limit, and no more requests can be admitted by work in this window. Wait for the time in Retry-After."
        }
        Reason::Crowded => {
            "Over the limit that this network shares, because too many clients are tracked. Wait for the time in Retry-After."
        }
        Reason::TooEarly => {
            "The answer was too early and was not checked. Send it again after the time in Retry-After."
        }
        Reason::WrongResult => {
            "The result is wrong. Compute the new workUnit if there is one, or wait for the time in Retry-After."
        }
        Reason::TokenExpired => "Over the limit, and the token has expired or is unknown. Compute the new workUnit.",
        Reason::Withdrawn => {
            "Over the limit, and the challenge was withdrawn. Compute the new workUnit; there is no second wait."
        }
        Reason::TryAgain => {
            "The answer could not be accepted now. Send the same request again after the time in Retry-After."
        }
        Reason::TokenInvalid => "The token is not valid. Send it unchanged, exactly as it was issued.",
        Reason::ClientMismatch => "The token was issued to another client. Request a new challenge.",
        Reason::PolicyMismatch => "The token was issued under another policy. Request a challenge on this route.",
        Reason::TokenReplayed => {
            "The token has been used already; its receipt has the outcome. Request a new challenge."
        }
        Reason::Malformed => "The token or the result is malformed.",
        Reason::TooLarge => "The body is too large to contain a result. Send the result in the header X-PoUW-Result.",
        Reason::Unavailable => "The limit cannot be checked now. Try again after the time in Retry-After.",
    }
}
