//! Decisions as status codes, headers and bodies: the one place where they are made.

use crate::engine::whole_ms;
use crate::policy::window::Quota;
use crate::protocol::{Reason, header};

use super::Place;
use super::choices::RateLimitDraft;
use super::decision::{AcceptedWork, Decision, Headers, Pass, Refusal};
use super::flight::Flight;

/// The content of a refusal that is not written out yet.
pub(super) struct NewRefusal<'a> {
    pub(super) place: &'a Place,
    pub(super) quota: Quota,
    pub(super) reason: Reason,
    /// What the client can do about it, as text for a person.
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

/// Whole seconds, rounded up, so that nobody is told to come too early.
fn seconds(ms: u64) -> u64 {
    ms.div_ceil(1000)
}

pub(super) fn rate_headers(place: &Place, quota: Quota) -> Headers {
    let policy = &place.policy;
    let (reset, window) = (seconds(quota.reset_ms), seconds(whole_ms(policy.window)));
    let mut headers = Headers::new();
    headers.add_number(header::RATELIMIT_LIMIT, quota.limit.into());
    headers.add_number(header::RATELIMIT_REMAINING, quota.remaining.into());
    headers.add_number(header::RATELIMIT_RESET, reset);
    // Pieces of text, each with the number after it.
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

/// A problem document (RFC 9457) with the members of the paper's middleware beside it.
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

/// What a person reads. `Malformed` and `WrongResult` say more, from the error itself.
pub(super) const fn detail(reason: Reason) -> &'static str {
    match reason {
        Reason::WorkRequired => {
            "Over the limit. Compute workUnit, wait waitMs and send the request again with the result, or wait."
        }
        Reason::NoWork => "Over the limit, and there is no work to hand out. Wait as Retry-After says.",
        Reason::Degraded => "Over the limit, and no work is handed out for now. Wait as Retry-After says.",
        Reason::Exempt => "Over the limit. No work is asked of this client. Wait as Retry-After says.",
        Reason::Budget => {
            "Over the limit, and enough challenges or bytes have been sent to this client or its network. Answer an open challenge, or wait as Retry-After says."
        }
        Reason::Ceiling => {
            "Over the limit, and no more requests can be paid for with work in this window. Wait as Retry-After says."
        }
        Reason::Crowded => "Over the limit of this network, or too many clients at once. Wait as Retry-After says.",
        Reason::TooEarly => "The answer came too early and was not looked at. Send it again after Retry-After.",
        Reason::WrongResult => "The result is wrong.",
        Reason::TokenExpired => "Over the limit, and the token is expired or unknown here. Compute the new workUnit.",
        Reason::Withdrawn => {
            "Over the limit, and the challenge was taken back. Compute the new workUnit; there is no second wait."
        }
        Reason::TryAgain => "The answer could not be taken right now. Send the same request again after Retry-After.",
        Reason::TokenInvalid => "The token is not genuine. Send it byte for byte as it was issued.",
        Reason::ClientMismatch => "The token was issued to another client. Ask for a challenge of your own.",
        Reason::PolicyMismatch => "The token was issued under another policy. Ask for a challenge on this route.",
        Reason::TokenReplayed => "The token has been used. Its receipt tells what happened; ask for a new challenge.",
        Reason::Malformed => "The token or the result is not well formed.",
        Reason::TooLarge => {
            "The body is too large to look for a result in it. Send the result in the header X-PoUW-Result."
        }
        Reason::Unavailable => "The limit cannot be consulted. Try again after Retry-After.",
    }
}
