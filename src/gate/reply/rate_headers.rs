//! Headers of responses, as names and values.

use std::time::Duration;

use crate::gate::config::choices::RateLimitDraft;
use crate::gate::memory::limit::Limit;
use crate::policy::window::Quota;
use crate::protocol::header;

/// Values of `Set-Cookie` that clear the cookies with an answer.
const CLEARED: [&str; 2] = [
    "__Host-pouw-answer=; Path=/; Max-Age=0; Secure; SameSite=Strict",
    "pouw-answer=; Path=/; Max-Age=0; SameSite=Strict",
];

/// Header names and values, in one buffer. Names are lower case; values are visible ASCII.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    text: String,
    // Name, and the end of its value in `text`.
    ends: Vec<(&'static str, usize)>,
}

impl Headers {
    /// Returns an empty set with room for the headers of a usual response.
    pub(in crate::gate) fn new() -> Self {
        Self { text: String::with_capacity(128), ends: Vec::with_capacity(10) }
    }

    /// Adds `name` with a value of visible ASCII.
    pub(in crate::gate) fn add(&mut self, name: &'static str, value: &str) {
        self.text.push_str(value);
        self.end(name);
    }

    /// Adds headers that clear the cookie with an answer, under each of its names.
    pub(in crate::gate) fn clear_cookie(&mut self) {
        CLEARED.iter().for_each(|cleared| self.add("set-cookie", cleared));
    }

    /// Replaces the value of `name`, which is present.
    pub(in crate::gate) fn replace(&mut self, name: &str, value: &str) {
        let mut changed = Self::new();
        for (own, old) in self.iter() {
            changed.add(own, if own == name { value } else { old });
        }
        *self = changed;
    }

    /// Adds `name` with a whole number. Formatting by the standard library would cost more than the
    /// decision.
    pub(in crate::gate) fn add_number(&mut self, name: &'static str, value: u64) {
        self.write_number(value);
        self.end(name);
    }

    /// Writes a piece of a value; [`Headers::end`] ends the value.
    pub(in crate::gate) fn write(&mut self, piece: &str) {
        self.text.push_str(piece);
    }

    /// Writes a whole number in the same way.
    pub(in crate::gate) fn write_number(&mut self, value: u64) {
        self.text.push_str(itoa::Buffer::new().format(value));
    }

    /// Ends the value of `name`.
    pub(in crate::gate) fn end(&mut self, name: &'static str) {
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

/// Converts to whole seconds, rounded up, so that no client retries too early.
pub(super) fn seconds(ms: u64) -> u64 {
    ms.div_ceil(1000)
}

/// Returns whole seconds, rounded up.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Returns the headers about the limit and what is left of it.
pub(in crate::gate) fn rate_headers(limit: &Limit, quota: Quota) -> Headers {
    let policy = &limit.policy;
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
    let (most, remaining) = (u64::from(quota.limit), u64::from(quota.remaining));
    match limit.draft {
        RateLimitDraft::None => {}
        RateLimitDraft::Draft7 => {
            field(header::RATELIMIT_POLICY, None, &[("", most), (";w=", window)]);
            let standing = [("limit=", most), (", remaining=", remaining), (", reset=", reset)];
            field(header::RATELIMIT, None, &standing);
        }
        named => {
            let name = Some(&*policy.name);
            field(header::RATELIMIT_POLICY, name, &[(";q=", most), (";w=", window)]);
            let (r, t, a, w) = ((";r=", remaining), (";t=", reset), (";a=", remaining), (";w=", reset));
            match named {
                RateLimitDraft::Draft8 => field(header::RATELIMIT, name, &[r, t]),
                RateLimitDraft::Draft12 => field(header::RATELIMIT, name, &[a, w]),
                _ => {
                    let plain = [(";pouw-limit=", most), (";pouw-remaining=", remaining), (";pouw-reset=", reset)];
                    field(header::RATELIMIT, name, &[r, t, a, w, plain[0], plain[1], plain[2]]);
                }
            }
        }
    }
    headers
}
