//! The body of a refusal: a problem document, and the text for a person in it.

use crate::protocol::Reason;

/// Returns the status code of a refusal.
pub(super) const fn status(reason: Reason) -> u16 {
    match reason {
        Reason::TokenInvalid | Reason::PolicyMismatch | Reason::TokenReplayed => 403,
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
pub(super) fn problem(status: u16, reason: Reason, detail: &str, unit: Option<&str>) -> Vec<u8> {
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
pub(in crate::gate) const fn detail(reason: Reason) -> &'static str {
    match reason {
        Reason::WorkRequired => {
            "Over the limit. Compute workUnit, wait waitMs and send the request again with the result, or wait."
        }
        Reason::NoWork => "Over the limit, and there is no work to issue. Wait for the time in Retry-After.",
        Reason::Degraded => "Over the limit, and no work is issued for now. Wait for the time in Retry-After.",
        Reason::Exempt => "Over the limit. This client is exempt from work. Wait for the time in Retry-After.",
        Reason::CannotAnswer => {
            "Over the limit, and a request of this kind cannot bring the result of work. Wait for the time in Retry-After."
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
    }
}
