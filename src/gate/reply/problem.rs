//! The body of a refusal: a problem document, and the text for a person in it.

use crate::protocol::Reason;

/// Returns the status code of a refusal.
pub(super) const fn status(reason: Reason) -> u16 {
    match reason {
        Reason::TokenInvalid | Reason::PolicyMismatch | Reason::TokenReplayed => 403,
        Reason::Malformed => 400,
        Reason::TooLarge => 413,
        Reason::Misconfigured => 500,
        Reason::Unavailable => 503,
        _ => 429,
    }
}

const fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        403 => "Forbidden",
        413 => "Content Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Too Many Requests",
    }
}

/// A problem type: its address and its title. The first two are those of the IETF's draft on rate
/// limits (draft-ietf-httpapi-ratelimit-headers).
struct ProblemType {
    address: &'static str,
    /// `None` for the phrase of the status code.
    title: Option<&'static str>,
    /// Whether the document names the policy whose quota is used up.
    has_policy: bool,
}

const QUOTA_EXCEEDED: ProblemType = ProblemType {
    address: "https://iana.org/assignments/http-problem-types#quota-exceeded",
    title: Some("Request cannot be satisfied as assigned quota has been exceeded"),
    has_policy: true,
};
const REDUCED_CAPACITY: ProblemType = ProblemType {
    address: "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
    title: Some("Request cannot be satisfied due to temporary server capacity constraints"),
    has_policy: false,
};
const BLANK: ProblemType = ProblemType { address: "about:blank", title: None, has_policy: false };

/// Returns the problem type of a reason.
///
/// A client over its limit has exceeded its quota, whatever the reason why it gets no work: waiting
/// for `Retry-After` is enough. The server lacks capacity if a request might pass but cannot be
/// judged, or if its client has to share a limit for lack of room. What is wrong with an answer has
/// no type of its own.
const fn problem_type(reason: Reason) -> ProblemType {
    match reason {
        Reason::WorkRequired
        | Reason::NoWork
        | Reason::Degraded
        | Reason::Exempt
        | Reason::CannotAnswer
        | Reason::ClientMismatch
        | Reason::Budget
        | Reason::Ceiling
        | Reason::TokenExpired
        | Reason::Withdrawn => QUOTA_EXCEEDED,
        Reason::Crowded => ProblemType { has_policy: true, ..REDUCED_CAPACITY },
        Reason::TryAgain | Reason::Unavailable => REDUCED_CAPACITY,
        _ => BLANK,
    }
}

/// What a problem document is made of.
pub(super) struct Problem<'a> {
    pub(super) status: u16,
    pub(super) reason: Reason,
    pub(super) detail: &'a str,
    /// Name of the policy that the request was judged by: a-z, 0-9, _ and -.
    pub(super) policy: &'a str,
    /// A unit as JSON.
    pub(super) unit: Option<&'a str>,
}

impl Problem<'_> {
    /// Returns the document (RFC 9457), which also has the members of the paper's middleware.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let Self { reason, policy, unit, .. } = self;
        let phrase = phrase(self.status);
        let ProblemType { address, title, has_policy } = problem_type(*reason);
        let detail = serde_json::Value::from(self.detail).to_string();
        let mut digits = itoa::Buffer::new();
        let status = digits.format(self.status);
        let mut body = String::with_capacity(detail.len() * 2 + unit.map_or(0, str::len) + 512);
        for piece in [
            "{\"type\":\"",
            address,
            "\",\"title\":\"",
            title.unwrap_or(phrase),
            "\",\"status\":",
            status,
            ",\"detail\":",
            &detail,
            ",\"reason\":\"",
            reason.as_str(),
            "\",\"statusCode\":",
            status,
            ",\"error\":\"",
            phrase,
            "\",\"message\":",
            &detail,
        ] {
            body.push_str(piece);
        }
        if has_policy {
            [",\"violated-policies\":[\"", policy, "\"]"].iter().for_each(|piece| body.push_str(piece));
        }
        if let Some(unit) = unit {
            body.push_str(",\"workUnit\":");
            body.push_str(unit);
        }
        body.push('}');
        body.into_bytes()
    }
}

/// Returns the text for a person. `Malformed` has a more detailed one, from the error itself.
pub(in crate::gate) const fn detail(reason: Reason) -> &'static str {
    match reason {
        Reason::WorkRequired => {
            "Over the limit. Compute workUnit, wait waitMs and send the request again with the result, or wait."
        }
        Reason::NoWork => "Over the limit, and there is no work to issue. Wait for the time in Retry-After.",
        Reason::Degraded => "Over the limit, and no work is issued for now. Wait for the time in Retry-After.",
        Reason::Exempt => "Over the limit. This client is exempt from work. Wait for the time in Retry-After.",
        Reason::CannotAnswer => {
            "Over the limit, and a request of this kind brings no result of work, unless X-PoUW-Accept names what its client computes. Wait for the time in Retry-After."
        }
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
        Reason::ClientMismatch => {
            "Over the limit, and the token was issued to another client. Compute the new workUnit."
        }
        Reason::PolicyMismatch => "The token was issued under another policy. Request a challenge on this route.",
        Reason::TokenReplayed => {
            "The token has been used already; its receipt has the outcome. Request a new challenge."
        }
        Reason::Malformed => "The token or the result is malformed.",
        Reason::TooLarge => "The body is too large to contain a result. Send the result in the header X-PoUW-Result.",
        Reason::Unavailable => "The limit cannot be checked now. Try again after the time in Retry-After.",
        Reason::Misconfigured => "The server is not set up correctly.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_the_type_that_says_what_a_client_can_do() {
        for reason in Reason::ALL {
            let status = status(reason);
            let problem = Problem { status, reason, detail: "a \"detail\"", policy: "up-load_1", unit: None };
            let document: serde_json::Value = serde_json::from_slice(&problem.to_json()).unwrap();
            let address = document["type"].as_str().unwrap();
            let kind = address.strip_prefix("https://iana.org/assignments/http-problem-types#");
            let (expected, names_policy) = match reason.as_str() {
                "work_required" | "no_work" | "degraded" | "exempt" | "cannot_answer" | "budget" | "ceiling"
                | "token_expired" | "withdrawn" | "client_mismatch" => (Some("quota-exceeded"), true),
                "crowded" => (Some("temporary-reduced-capacity"), true),
                "try_again" | "unavailable" => (Some("temporary-reduced-capacity"), false),
                _ => (None, false),
            };
            assert_eq!(kind, expected, "{reason}");
            assert_eq!(address == "about:blank", kind.is_none(), "{reason}");
            let named = document.get("violated-policies").map(|names| names == &serde_json::json!(["up-load_1"]));
            assert_eq!(named, names_policy.then_some(true), "{reason}");
            // RFC 9457, 4.2.1: without a type, the title is the phrase of the status code.
            assert_eq!(document["title"] == document["error"], kind.is_none(), "{reason}");
            assert_eq!((&document["detail"], &document["message"]), (&"a \"detail\"".into(), &"a \"detail\"".into()));
        }
    }
}
