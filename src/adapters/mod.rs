//! Thin shells around the [gate](crate::gate) for web frameworks. They decide nothing: they hand the gate a request's
//! head, buffer a body when it asks for one, and turn its decision into the framework's response.
//!
//! What the host knows of a request's sender travels as request extensions of the types below.

#[cfg(feature = "actix")]
pub mod actix;
#[cfg(feature = "tower")]
pub mod tower;

mod own_body;

/// Defines `known`: the header names that the gate reads and writes as the framework's type, parsed once. Parsing one
/// for each header of each response would cost more than the gate's verdict.
macro_rules! known_names {
    ($type:ty) => {
        $crate::adapters::known_names! {
            $type: RATELIMIT_LIMIT RATELIMIT_REMAINING RATELIMIT_RESET RATELIMIT_POLICY RATELIMIT
            RESPONSE RESULT CHALLENGE RETRY_AFTER ACCEPTED JOULE_AWARD
        }
    };
    ($type:ty: $($name:ident)*) => {
        fn known(name: &str) -> Option<&'static $type> {
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

pub use own_body::SlowReader;

/// Address of the other end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// Name of the user, put there by the host after it authenticated the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticatedUser(pub String);

/// API key, put there by the host after it validated it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatedApiKey(pub String);

/// Names and values, all cut from one buffer, so that they cost one allocation together.
fn names_and_values(headers: Headers) -> impl Iterator<Item = (&'static str, Bytes)> {
    let (text, spans) = headers.into_text();
    let text = Bytes::from(text);
    spans.map(move |(name, span)| (name, text.slice(span)))
}

/// Judges an answer on the gate's threads. It is judged even if the receiver is dropped.
fn judged(pending: Pending) -> oneshot::Receiver<Decision> {
    let (sender, verdict) = oneshot::channel();
    pending.then(move |decision| {
        // Whoever asked may have hung up.
        let _ = sender.send(decision);
    });
    verdict
}

/// What to say when no verdict comes any more, because the gate went away while it was judging.
fn unheard() -> Decision {
    let (headers, body) = (Headers::default(), Vec::new());
    Decision::Refuse(Refusal { status: 503, reason: Reason::Unavailable, headers, body, flight: None })
}
