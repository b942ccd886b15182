//! The gate's decision: let the request through, or send a response of the gate's own.

use crate::policy::window::Quota;
use crate::protocol::{MicroJoules, Reason, WorkId, header};

use super::Gate;
use super::facts::PolicyId;
use super::flight::Flight;
use super::page;
use super::respond;

/// The gate's decision on a request.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// Let the request through, and add [`Pass::headers`] to the service's response.
    Pass(Pass),
    /// Send this response; the service does not see the request.
    Refuse(Refusal),
}

/// A request that goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pass {
    /// The policy it was judged by.
    pub policy: PolicyId,
    /// Where its client stands.
    pub quota: Quota,
    /// How it got through, if by work.
    pub accepted: Option<AcceptedWork>,
    /// Whether its client is told to forget the cookie that held the answer.
    pub clears_cookie: bool,
}

impl Pass {
    /// Headers for the response; `gate` is the one that decided. They are written out here and not with the
    /// verdict, because that costs more than the verdict.
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

/// Work that let a request through. Durable when this is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcceptedWork {
    /// Challenge id, also the receipt's.
    pub id: WorkId,
    /// Credit.
    pub award: MicroJoules,
}

/// A response of the gate's own.
#[derive(Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// Status code.
    pub status: u16,
    /// Why.
    pub reason: Reason,
    /// Headers, `Content-Type` among them.
    pub headers: Headers,
    /// The body: one problem document (RFC 9457).
    pub body: Vec<u8>,
    /// Holds the bytes of a challenge in the budget of those in flight; drop it when the body has been
    /// written, or given up.
    pub flight: Option<Flight>,
}

/// Header names and values, in one buffer. Names are lower case; values are visible ASCII.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    text: String,
    // Name, and where its value ends in `text`.
    ends: Vec<(&'static str, usize)>,
}

impl Headers {
    /// Room for the headers of an ordinary response.
    pub(super) fn new() -> Self {
        Self { text: String::with_capacity(128), ends: Vec::with_capacity(10) }
    }

    /// Adds `name` with a value of visible ASCII.
    pub(super) fn add(&mut self, name: &'static str, value: &str) {
        self.text.push_str(value);
        self.end(name);
    }

    /// Has the cookie that held an answer forgotten, under each of its names.
    pub(super) fn clear_cookie(&mut self) {
        page::CLEARED.iter().for_each(|cleared| self.add("set-cookie", cleared));
    }

    /// Gives `name`, which is there, another value.
    pub(super) fn replace(&mut self, name: &str, value: &str) {
        let mut changed = Self::new();
        for (own, old) in self.iter() {
            changed.add(own, if own == name { value } else { old });
        }
        *self = changed;
    }

    /// Adds `name` with a whole number. The formatting of the standard library would cost more than the verdict.
    pub(super) fn add_number(&mut self, name: &'static str, value: u64) {
        self.write_number(value);
        self.end(name);
    }

    /// Writes a piece of the value that [`Headers::end`] ends.
    pub(super) fn write(&mut self, piece: &str) {
        self.text.push_str(piece);
    }

    /// The same with a whole number.
    pub(super) fn write_number(&mut self, value: u64) {
        self.text.push_str(itoa::Buffer::new().format(value));
    }

    /// Ends the value of `name`.
    pub(super) fn end(&mut self, name: &'static str) {
        self.ends.push((name, self.text.len()));
    }

    /// All values, one after the other, and where the value of each name stands.
    pub fn into_text(self) -> (String, impl Iterator<Item = (&'static str, std::ops::Range<usize>)>) {
        let mut from = 0;
        let spans = self.ends.into_iter().map(move |(name, end)| (name, std::mem::replace(&mut from, end)..end));
        (self.text, spans)
    }

    /// Names and values in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let mut from = 0;
        self.ends.iter().map(move |(name, end)| {
            let value = self.text.get(from..*end).unwrap_or_default();
            from = *end;
            (*name, value)
        })
    }

    /// The value of `name`.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
    }
}

impl Refusal {
    /// The token of the challenge it carries.
    pub fn token(&self) -> Option<&str> {
        self.headers.find(header::CHALLENGE)
    }
}
