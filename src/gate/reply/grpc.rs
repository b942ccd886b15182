//! A refusal for gRPC clients: a response of headers only, whose status and details are those of
//! gRPC. The token and the unit of a challenge are in its metadata.

use std::fmt::Write;

use data_encoding::BASE64_NOPAD;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::gate::config::sizes::METADATA_BYTES_MAX;
use crate::protocol::grpc::{GRPC, is_grpc};
use crate::protocol::{Reason, header};

use super::decision::Refusal;
use super::problem::detail;
use super::rate_headers::Headers;

const GRPC_WEB: &[u8] = b"application/grpc-web";

/// The domain of the reasons in the details.
const DOMAIN: &str = "pouw";

impl Refusal {
    /// Returns this refusal for a request with this `Content-Type`: unchanged, unless it is one of
    /// gRPC. Then the refusal has the HTTP status 200, no body, the same headers about the limit
    /// and the challenge, `grpc-status`, `grpc-message` and `grpc-status-details-bin`: a
    /// `google.rpc.Status` with an `ErrorInfo`, whose reason is [`Refusal::reason`] in upper case,
    /// and a `RetryInfo` with the time of `Retry-After`. The unit is the metadata `x-pouw-unit`, as
    /// JSON, unless all metadata together would then be longer than 8 KiB.
    ///
    /// The codes: `RESOURCE_EXHAUSTED` (8) for 429 and 413, `PERMISSION_DENIED` (7) for 403,
    /// `INVALID_ARGUMENT` (3) for 400, `UNAVAILABLE` (14) for 503, `INTERNAL` (13) for 500.
    #[must_use]
    pub fn for_content_type(self, content_type: &[u8]) -> Self {
        if !is_grpc(content_type) {
            return self;
        }
        let code = code(self.status);
        let document: Document<'_> = serde_json::from_slice(&self.body).unwrap_or_default();
        let message = document.detail.unwrap_or_else(|| detail(self.reason).to_owned());
        let retry_seconds = self.headers.find(header::RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
        let mut headers = Headers::default();
        for (name, value) in self.headers.iter().filter(|(name, _)| *name != "content-type") {
            headers.add(name, value);
        }
        let web = content_type.to_ascii_lowercase().starts_with(GRPC_WEB);
        headers.add("content-type", if web { "application/grpc-web+proto" } else { GRPC });
        headers.add_number("grpc-status", code.into());
        headers.add("grpc-message", &escaped(&message));
        let details = status(code, &message, self.reason, retry_seconds);
        headers.add("grpc-status-details-bin", &BASE64_NOPAD.encode(&details));
        if let Some(unit) = document.unit.map(RawValue::get) {
            let others: usize = headers.iter().map(|(name, value)| listed(name, value)).sum();
            if STATUS_BYTES + others + listed(header::UNIT, unit) <= METADATA_BYTES_MAX {
                headers.add(header::UNIT, unit);
            }
        }
        Self { status: 200, headers, body: Vec::new(), flight: None, ..self }
    }
}

/// What is read of a problem document. A body that is none has neither.
#[derive(Default, Deserialize)]
struct Document<'b> {
    detail: Option<String>,
    #[serde(borrow, rename = "workUnit")]
    unit: Option<&'b RawValue>,
}

/// Bytes of the field `:status` as HTTP/2 counts them.
const STATUS_BYTES: usize = listed(":status", "200");

/// Returns the bytes of a header as HTTP/2 counts them (RFC 9113, 6.5.2).
const fn listed(name: &str, value: &str) -> usize {
    name.len() + value.len() + 32
}

/// Returns the gRPC code for the status of a refusal.
const fn code(status: u16) -> u8 {
    match status {
        400 => 3,
        403 => 7,
        413 | 429 => 8,
        503 => 14,
        _ => 13,
    }
}

/// Encodes a message as gRPC does: other bytes than visible ASCII and spaces, and `%`, by percent.
fn escaped(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b'%' | ..=0x1f | 0x7f.. => {
                // Writing to a string does not fail.
                let _ = write!(text, "%{byte:02X}");
            }
            _ => text.push(char::from(byte)),
        }
    }
    text
}

/// A message of protocol buffers being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// Adds a number, under a field number below 16.
    fn number(mut self, field: u8, number: u64) -> Self {
        self.0.push(field << 3);
        self.varint(number);
        self
    }

    /// Adds text or a message, under a field number below 16.
    fn bytes(mut self, field: u8, bytes: &[u8]) -> Self {
        self.0.push(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds a `google.protobuf.Any` with this message.
    fn any(self, field: u8, name: &str, message: Self) -> Self {
        let address = format!("type.googleapis.com/google.rpc.{name}");
        self.bytes(field, &Self::default().bytes(1, address.as_bytes()).bytes(2, &message.0).0)
    }
}

/// Returns an encoded `google.rpc.Status`.
fn status(code: u8, message: &str, reason: Reason, retry_seconds: Option<u64>) -> Vec<u8> {
    let reason = reason.as_str().to_ascii_uppercase();
    let info = Message::default().bytes(1, reason.as_bytes()).bytes(2, DOMAIN.as_bytes());
    let status = Message::default().number(1, code.into()).bytes(2, message.as_bytes()).any(3, "ErrorInfo", info);
    let Some(seconds) = retry_seconds else {
        return status.0;
    };
    let delay = Message::default().number(1, seconds);
    status.any(3, "RetryInfo", Message::default().bytes(1, &delay.0)).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::reply::problem::{self, Problem};

    fn refusal(status: u16, reason: Reason, detail: &str) -> Refusal {
        let mut headers = Headers::default();
        headers.add("x-ratelimit-limit", "1");
        headers.add(header::CHALLENGE, "token");
        headers.add(header::RETRY_AFTER, "300");
        headers.add("content-type", "application/problem+json");
        let unit = Some("{\"detail\":\"of the unit\"}");
        let body = Problem { status, reason, detail, policy: "default", unit }.to_json();
        Refusal { status, reason, headers, body, flight: None }
    }

    #[test]
    fn a_refusal_becomes_headers_of_grpc_with_its_text_its_reason_and_its_wait() {
        let given = refusal(429, Reason::WorkRequired, "wait 100 % \u{e4}");
        let found = given.for_content_type(b"application/grpc+proto");
        assert_eq!((found.status, found.body.len(), found.token()), (200, 0, Some("token")));
        let header = |name| found.headers.find(name).unwrap();
        assert_eq!((header("content-type"), header("grpc-status")), ("application/grpc", "8"));
        assert_eq!(header("x-pouw-unit"), "{\"detail\":\"of the unit\"}");
        assert_eq!((header("grpc-message"), header("x-ratelimit-limit")), ("wait 100 %25 %C3%A4", "1"));
        assert_eq!(found.headers.iter().filter(|(name, _)| *name == "content-type").count(), 1);
        let details = BASE64_NOPAD.decode(header("grpc-status-details-bin").as_bytes()).unwrap();
        // Written by hand from the wire format: code, message, then the two details.
        let info = [&b"\x0a\x0dWORK_REQUIRED"[..], b"\x12\x04pouw"].concat();
        let retry = b"\x0a\x03\x08\xac\x02";
        let mut expected = b"\x08\x08\x12\x0dwait 100 % \xc3\xa4".to_vec();
        for (name, value) in [("ErrorInfo", &info[..]), ("RetryInfo", retry)] {
            let address = format!("type.googleapis.com/google.rpc.{name}");
            expected.extend([0x1a, (4 + address.len() + value.len()) as u8, 0x0a, address.len() as u8]);
            expected.extend([address.as_bytes(), &[0x12, value.len() as u8], value].concat());
        }
        assert_eq!(details, expected);
    }

    #[test]
    fn each_reason_has_the_code_that_says_what_a_client_can_do() {
        for reason in Reason::ALL {
            let expected = match reason.as_str() {
                "token_invalid" | "policy_mismatch" | "token_replayed" => "7",
                "malformed" => "3",
                "misconfigured" => "13",
                "unavailable" => "14",
                _ => "8",
            };
            let found = refusal(problem::status(reason), reason, "x").for_content_type(b"application/grpc");
            assert_eq!((found.status, found.headers.find("grpc-status")), (200, Some(expected)), "{reason}");
        }
    }

    #[test]
    fn a_unit_is_in_the_metadata_up_to_8_kib_of_all() {
        let sent = |unit: &str| {
            let problem =
                Problem { status: 429, reason: Reason::WorkRequired, detail: "x", policy: "default", unit: Some(unit) };
            let found = Refusal { body: problem.to_json(), ..refusal(429, Reason::WorkRequired, "x") };
            found.for_content_type(b"application/grpc").headers
        };
        let list = |headers: &Headers| headers.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>();
        let others = list(&sent("7")) - 1;
        let room = 8_192 - (":status".len() + "200".len() + 32) - others;
        let unit = |length: usize| format!("\"{}\"", "x".repeat(length - 2));
        assert_eq!(sent(&unit(room)).find(header::UNIT), Some(&*unit(room)));
        let longer = sent(&unit(room + 1));
        assert_eq!((longer.find(header::UNIT), longer.find(header::CHALLENGE)), (None, Some("token")));
    }

    #[test]
    fn each_status_has_its_code_and_other_clients_get_what_they_got() {
        for (status, code) in [(429, "8"), (413, "8"), (403, "7"), (400, "3"), (503, "14"), (500, "13")] {
            let found = refusal(status, Reason::Malformed, "x").for_content_type(b"Application/gRPC");
            assert_eq!(found.headers.find("grpc-status"), Some(code));
            let plain = refusal(status, Reason::Malformed, "x").for_content_type(b"application/json");
            assert_eq!((plain.status, plain.headers.find("grpc-status")), (status, None));
            assert!(!plain.body.is_empty());
        }
        let empty = Refusal { body: Vec::new(), ..refusal(503, Reason::Unavailable, "") };
        let web = empty.for_content_type(b"application/grpc-web-text");
        assert_eq!(web.headers.find("content-type"), Some("application/grpc-web+proto"));
        assert!(web.headers.find("grpc-message").unwrap().contains("cannot be checked"));
    }
}
