//! The gate's decision: let the request through, or send the gate's own response.

use crate::policy::window::Quota;
use crate::protocol::{MicroJoules, Reason, WorkId, header};

use super::Gate;
use super::facts::PolicyId;
use super::flight::Flight;
use super::page;
use super::respond;

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
    /// Whether the response clears the cookie that held the answer.
    pub clears_cookie: bool,
}

impl Pass {
    /// Returns the headers for the response; `gate` is the gate that decided. They are formatted
    /// here, because formatting costs more than the decision.
    pub fn headers(&self, gate: &Gate) -> Headers {
        let mut headers = respond::rate_headers(gate.place(self.policy), self.quota);
        if let Some(AcceptedWork { award: MicroJoules(award), .. }) = self.accepted {
            headers.add(header::ACCEPTED, "true");
            headers.add_number(header::JOULE_AWARD, award);
        }
        if self.clears_cookie {
            headers.clear_cookie();
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

/// Header names and values, in one buffer. Names are lower case; values are visible ASCII.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    text: String,
    // Name, and the end of its value in `text`.
    ends: Vec<(&'static str, usize)>,
}

impl Headers {
    /// Returns an empty set with room for the headers of a usual response.
    pub(super) fn new() -> Self {
        Self { text: String::with_capacity(128), ends: Vec::with_capacity(10) }
    }

    /// Adds `name` with a value of visible ASCII.
    pub(super) fn add(&mut self, name: &'static str, value: &str) {
        self.text.push_str(value);
        self.end(name);
    }

    /// Adds headers that clear the cookie with an answer, under each of its names.
    pub(super) fn clear_cookie(&mut self) {
        page::CLEARED.iter().for_each(|cleared| self.add("set-cookie", cleared));
    }

    /// Replaces the value of `name`, which is present.
    pub(super) fn replace(&mut self, name: &str, value: &str) {
        let mut changed = Self::new();
        for (own, old) in self.iter() {
            changed.add(own, if own == name { value } else { old });
        }
        *self = changed;
    }

    /// Adds `name` with a whole number. Formatting by the standard library would cost more than the
    /// decision.
    pub(super) fn add_number(&mut self, name: &'static str, value: u64) {
        self.write_number(value);
        self.end(name);
    }

    /// Writes a piece of a value; [`Headers::end`] ends the value.
    pub(super) fn write(&mut self, piece: &str) {
        self.text.push_str(piece);
    }

    /// Writes a whole number in the same way.
    pub(super) fn write_number(&mut self, value: u64) {
        self.text.push_str(itoa::Buffer::new().format(value));
    }

    /// Ends the value of `name`.
    pub(super) fn end(&mut self, name: &'static str) {
        self.ends.push((name, self.text.len()));
    }

    /// Returns the text of all values, and the range of each name's value in it.
    pub fn into_text(self) -> (String, impl Iterator<Item = (&'static str, std::ops::Range<usize>)>) {
        let mut from = 0;
        let spans = self.ends.into_iter().map(move |(name, end)| (name, std::mem::replace(&mut from, end)..end));
        (self.text, spans)
    }

    /// Returns names and values in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let mut from = 0;
        self.ends.iter().map(move |(name, end)| {
            let value = self.text.get(from..*end).unwrap_or_default();
            from = *end;
            (*name, value)
        })
    }

    /// Returns the value of `name`.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
    }
}

impl Refusal {
    /// Returns the token of the challenge in it.
    pub fn token(&self) -> Option<&str> {
        self.headers.find(header::CHALLENGE)
    }
}
