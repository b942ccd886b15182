//! Adapters of the [gate](crate::gate) for web frameworks. They make no decisions: they pass a
//! request's head to the gate, buffer a body if the gate asks for it, and convert the gate's
//! decision to the framework's response.
//!
//! The host describes the sender of a request by request extensions of the types below.

#[cfg(feature = "actix")]
pub mod actix;
#[cfg(feature = "tower")]
pub mod tower;

mod own_body;

/// Defines `known`, which returns the gate's header names as the framework's type, parsed once.
/// Parsing the names for each response would cost more than the gate's decision.
macro_rules! known_names {
    ($type:ty) => {
        $crate::adapters::known_names! {
            $type: RATELIMIT_LIMIT RATELIMIT_REMAINING RATELIMIT_RESET RATELIMIT_POLICY RATELIMIT
            RESPONSE RESULT ACCEPT PASS CHALLENGE RETRY_AFTER ACCEPTED JOULE_AWARD
        }
    };
    ($type:ty: $($name:ident)*) => {
        pub(super) fn known(name: &str) -> Option<&'static $type> {
            use $crate::protocol::header;
            $(static $name: $type = <$type>::from_static(header::$name);)*
            match name {
                $(header::$name => Some(&$name),)*
                _ => None,
            }
        }
    };
}
use known_names;

use std::net::SocketAddr;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::gate::{Decision, Headers, Pending, Refusal};
use crate::protocol::Reason;

/// The address of the other end of the connection, as a request extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// The user's name, as a request extension that the host adds after it has authenticated the
/// request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticatedUser(pub String);

/// An API key, as a request extension that the host adds after it has validated the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatedApiKey(pub String);

/// A refusal in the form that its client reads, since gRPC has its own. Responses are made of this
/// only.
struct Formed(Refusal);

impl Formed {
    /// Returns the refusal of a request with this `Content-Type`.
    fn new(refusal: Refusal, content_type: Option<&[u8]>) -> Self {
        Self(match content_type {
            Some(content_type) => refusal.for_content_type(content_type),
            None => refusal,
        })
    }
}

/// Returns names and values. All values are slices of one buffer, so they need one allocation
/// together.
fn names_and_values(headers: Headers) -> impl Iterator<Item = (&'static str, Bytes)> {
    let (text, spans) = headers.into_text();
    let text = Bytes::from(text);
    spans.map(move |(name, span)| (name, text.slice(span)))
}

/// Judges an answer on the gate's threads, even if the receiver is dropped.
fn judged(pending: Pending) -> oneshot::Receiver<Decision> {
    let (sender, verdict) = oneshot::channel();
    pending.then(move |decision| {
        // The receiver may be dropped.
        let _ = sender.send(decision);
    });
    verdict
}

/// Returns the decision for an answer without a verdict, because the gate was dropped while
/// judging.
fn unheard() -> Decision {
    let (headers, body) = (Headers::default(), Vec::new());
    Decision::Refuse(Refusal { status: 503, reason: Reason::Unavailable, headers, body, flight: None })
}
