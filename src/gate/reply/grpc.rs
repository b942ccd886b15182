//! A refusal for gRPC clients: a response of headers only, whose status and details are those of
//! gRPC.
//!
//! A unit does not fit into metadata. Its token is in `x-pouw-challenge`, so a client gets the unit
//! with a request that has this token, no result, and another content type.

use std::fmt::Write;

use data_encoding::BASE64_NOPAD;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::protocol::{Reason, header};

use super::decision::Refusal;
use super::problem::detail;
use super::rate_headers::Headers;

/// Content type of gRPC, and how the content types of all its requests begin.
const GRPC: &[u8] = b"application/grpc";
const GRPC_WEB: &[u8] = b"application/grpc-web";

/// The domain of the reasons in the details.
const DOMAIN: &str = "pouw";

impl Refusal {
    /// Returns this refusal for a request with this `Content-Type`: unchanged, unless it is one of
    /// gRPC. Then the refusal has the HTTP status 200, no body, the same headers about the limit
    /// and the challenge, `grpc-status`, `grpc-message` and `grpc-status-details-bin`: a
    /// `google.rpc.Status` with an `ErrorInfo`, whose reason is [`Refusal::reason`] in upper case,
    /// and a `RetryInfo` with the time of `Retry-After`.
    ///
    /// The codes: `RESOURCE_EXHAUSTED` (8) for 429 and 413, `PERMISSION_DENIED` (7) for 403,
    /// `INVALID_ARGUMENT` (3) for 400, `UNAVAILABLE` (14) for 503.
    #[must_use]
    pub fn for_content_type(self, content_type: &[u8]) -> Self {
        if !is_grpc(content_type) {
            return self;
        }
        let code = code(self.status);
        let message = detail_of(&self.body).unwrap_or_else(|| detail(self.reason).to_owned());
        let retry_seconds = self.headers.find(header::RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
        let mut headers = Headers::default();
        for (name, value) in self.headers.iter().filter(|(name, _)| *name != "content-type") {
            headers.add(name, value);
        }
        let web = content_type.to_ascii_lowercase().starts_with(GRPC_WEB);
        headers.add("content-type", if web { "application/grpc-web+proto" } else { "application/grpc" });
        headers.add_number("grpc-status", code.into());
        headers.add("grpc-message", &escaped(&message));
        let details = status(code, &message, self.reason, retry_seconds);
        headers.add("grpc-status-details-bin", &BASE64_NOPAD.encode(&details));
        Self { status: 200, headers, body: Vec::new(), flight: None, ..self }
    }
}

/// Returns whether a content type is one of gRPC.
fn is_grpc(content_type: &[u8]) -> bool {
    content_type.get(..GRPC.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC))
}

const fn code(status: u16) -> u8 {
    match status {
        400 => 3,
        403 => 7,
        503 => 14,
        _ => 8,
    }
}

/// Returns the member `detail` of a problem document, without reading what follows it.
fn detail_of(problem: &[u8]) -> Option<String> {
    let mut found = None;
    let mut reader = serde_json::Deserializer::from_slice(problem);
    // An error, since the rest is not read.
    let _ = reader.deserialize_map(Search { found: &mut found });
    found
}

struct Search<'f> {
    found: &'f mut Option<String>,
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if name == "detail" {
                *self.found = Some(map.next_value()?);
                break;
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
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
    use crate::gate::reply::problem::Problem;

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
    fn each_status_has_its_code_and_other_clients_get_what_they_got() {
        for (status, code) in [(429, "8"), (413, "8"), (403, "7"), (400, "3"), (503, "14")] {
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
