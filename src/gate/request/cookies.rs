//! The cookies that a browser brings: an answer, and the name of a pass.
//!
//! A script cannot add headers to a navigation, an `EventSource` or a `WebSocket`, so their answer
//! is in a cookie: token and compact result with a dot between them. Others can set cookies of
//! these names (from a subdomain, or in the network). So the first few are read, and the gate uses
//! the first that is valid for this client.

use memchr::memmem;

use crate::protocol::limits::{MAX_RESULT_COMPACT_CHARS, MAX_TOKEN_CHARS};

use super::head::Head;
use super::pass_id::PassId;
use super::presented::{Presented, ResultText};

/// Names of the cookie with an answer. The first is for TLS, where no other site can set it.
const ANSWER: [&str; 2] = ["__Host-pouw-answer", "pouw-answer"];
/// Names of the cookie with a pass.
const PASS: [&str; 2] = ["__Host-pouw-pass", "pouw-pass"];
/// Maximum number of cookies of one name that are read.
const COOKIES_MAX: usize = 4;

/// What the cookies of a request say about an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AnswerCookie {
    /// Whether there is one.
    pub came: bool,
    /// Whether it holds an answer of this client for a route with another limit.
    pub of_other_policy: bool,
    /// Whether [`Facts::answer`](super::facts::Facts::answer) is from it.
    pub used: bool,
    /// Whether that one has the name for TLS.
    pub secure: bool,
}

impl AnswerCookie {
    /// Returns whether the response has to clear it. An answer for another limit is still on its
    /// way to a request of that limit.
    pub(in crate::gate) fn is_to_clear(self) -> bool {
        self.came && (self.used || !self.of_other_policy)
    }
}

/// Returns whether the request has a cookie with the name for answers, or something that looks like
/// it.
pub(in crate::gate) fn may_have_answer(head: &dyn Head) -> bool {
    let mut found = false;
    head.header("cookie", &mut |line| found |= memmem::find(line, ANSWER[1].as_bytes()).is_some());
    found
}

/// Returns the answers in cookies, each with whether its name is that for TLS, and whether there is
/// a cookie with the name at all.
pub(in crate::gate) fn answers(head: &dyn Head) -> (AnswerCookie, Vec<(Presented, bool)>) {
    let mut came = AnswerCookie::default();
    let found = named(head, ANSWER, |value| {
        came.came = true;
        answer_in(value)
    });
    (came, found)
}

/// Returns the names of passes in cookies.
pub(in crate::gate) fn passes(head: &dyn Head) -> impl Iterator<Item = PassId> {
    named(head, PASS, PassId::parse).into_iter().map(|(id, _)| id)
}

/// Returns what `read` makes of the cookies of these names, each with whether it has the first
/// name. Those come first, and the others have no influence on them.
fn named<T>(head: &dyn Head, names: [&str; 2], mut read: impl FnMut(&[u8]) -> Option<T>) -> Vec<(T, bool)> {
    let mut found = [Vec::new(), Vec::new()];
    head.header("cookie", &mut |line| {
        for pair in line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
            for (name, found) in names.iter().zip(&mut found) {
                let value = pair.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
                if found.len() < COOKIES_MAX {
                    found.extend(value.and_then(&mut read));
                }
            }
        }
    });
    let [first, second] = found;
    first.into_iter().map(|value| (value, true)).chain(second.into_iter().map(|value| (value, false))).collect()
}

fn answer_in(cookie: &[u8]) -> Option<Presented> {
    let (token, result) = std::str::from_utf8(cookie).ok()?.split_once('.')?;
    let plain = |text: &str, most: usize| {
        (1..=most).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let good = plain(token, MAX_TOKEN_CHARS) && plain(result, MAX_RESULT_COMPACT_CHARS);
    let result = Some(ResultText::Compact(result.to_owned()));
    good.then(|| Presented { token: token.to_owned(), result })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::request::sample::Request;

    fn request(cookies: &[&str]) -> Request {
        Request::with_lines("cookie", cookies)
    }

    #[test]
    fn the_cookie_holds_a_token_and_a_result_and_whatever_else_is_nothing() {
        let read = |cookies: &[&str]| {
            let (cookie, found) = answers(&request(cookies));
            assert_eq!(may_have_answer(&request(cookies)), cookie.came || cookies.join("").contains("pouw-answer"));
            (cookie.came, found)
        };
        let answer = |token: &str, secure| {
            (Presented { token: token.into(), result: Some(ResultText::Compact("xyz".into())) }, secure)
        };
        assert_eq!(read(&["pouw-answer=ab-_9.xyz"]), (true, vec![answer("ab-_9", false)]));
        assert_eq!(read(&["a=1; __Host-pouw-answer=ab-_9.xyz ;b=2"]), (true, vec![answer("ab-_9", true)]));
        assert_eq!(
            read(&["a=1", "pouw-answer=1.xyz; pouw-answer=2.xyz"]),
            (true, vec![answer("1", false), answer("2", false)])
        );
        let many = (0..9).map(|at| format!("pouw-answer={at}.xyz")).collect::<Vec<_>>().join("; ");
        assert_eq!(read(&[&many]).1.len(), COOKIES_MAX);
        assert_eq!(read(&[]), (false, vec![]));
        assert_eq!(read(&["xpouw-answer=ab.cd; pouw-answers=ab.cd"]), (false, vec![]));
        for broken in ["pouw-answer=", "pouw-answer=ab", "pouw-answer=.ab", "pouw-answer=ab.", "pouw-answer=a b.c"] {
            assert_eq!(read(&[broken]), (true, vec![]), "{broken}");
        }
        let long = format!("pouw-answer={}.ab", "a".repeat(MAX_TOKEN_CHARS + 1));
        assert_eq!(read(&[&long]), (true, vec![]));
    }

    #[test]
    fn a_pass_is_read_under_either_of_its_names() {
        let (one, two) = (PassId::of([1; 16]), PassId::of([2; 16]));
        let lines = [format!("a=b; pouw-pass={one}; xpouw-pass={two}"), format!("__Host-pouw-pass={two}; pouw-pass=x")];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(passes(&request(&lines)).collect::<Vec<_>>(), [two, one]);
        // Cookies that another site could set do not push out the one that it cannot.
        let junk = (0..9).map(|_| format!("pouw-pass={one}; pouw-pass=x")).collect::<Vec<_>>().join("; ");
        let found: Vec<_> = passes(&request(&[&junk, &format!("__Host-pouw-pass={two}")])).collect();
        assert_eq!((found.len(), found[0]), (1 + COOKIES_MAX, two));
    }
}
