//! A browser's navigation, and the answer in its cookie.
//!
//! A script cannot add headers to a navigation, so the challenge page sends the answer in a cookie
//! named in [`COOKIES`]: token and compact result with a dot between them. It is read from
//! navigations only. Others can set cookies of this name (from a subdomain, or in the network). So
//! the first few are read, and the gate uses the one whose token is valid for this client.

use crate::protocol::limits::{MAX_RESULT_COMPACT_CHARS, MAX_TOKEN_CHARS};

use super::head::Head;
use super::presented::{Presented, ResultText};

/// Names of the cookies with the answer of a navigation. The first is for TLS, where no other site
/// can set it.
const COOKIES: [&str; 2] = ["__Host-pouw-answer", "pouw-answer"];
/// Maximum number of cookies of these names that are read.
const COOKIES_MAX: usize = 4;

/// A browser's navigation, if the configuration has a challenge page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Navigation {
    /// Whether it has a cookie with the name for answers; the response then clears the cookie.
    pub cookie: bool,
    /// Whether [`Facts::answer`](super::facts::Facts::answer) came in that cookie.
    pub answered: bool,
}

/// Returns the navigation and the answers in its cookies; `None` if the request is not a browser's
/// navigation, which prefers a page.
pub(in crate::gate) fn navigation(head: &dyn Head) -> Option<(Navigation, Vec<Presented>)> {
    if head.method() != "GET" || !is_page_load(head) || !prefers_html(head) {
        return None;
    }
    let mut cookies = Vec::new();
    head.header("cookie", &mut |line| {
        for pair in line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
            let value = COOKIES.iter().find_map(|name| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
            cookies.extend(value.map(<[u8]>::to_vec).filter(|_| cookies.len() < COOKIES_MAX));
        }
    });
    let answers = cookies.iter().filter_map(|cookie| answer_in(cookie)).collect();
    Some((Navigation { cookie: !cookies.is_empty(), answered: false }, answers))
}

/// Returns whether the request loads a page for a person: not a frame, a script or a prefetch.
/// Browsers that do not send these headers count as such.
fn is_page_load(head: &dyn Head) -> bool {
    let mut other = false;
    head.header("sec-fetch-mode", &mut |mode| other |= mode != b"navigate");
    head.header("sec-fetch-dest", &mut |dest| other |= dest != b"document");
    head.header("sec-purpose", &mut |purpose| other |= purpose.starts_with(b"prefetch"));
    !other
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

/// Returns whether `Accept` names HTML and prefers it to formats for programs.
fn prefers_html(head: &dyn Head) -> bool {
    let (mut html, mut other) = (0, 0);
    head.header("accept", &mut |line| {
        for range in String::from_utf8_lossy(line).split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1_000, thousandths);
            match media.as_str() {
                "text/html" | "application/xhtml+xml" => html = html.max(quality),
                "application/problem+json" | "application/json" | "application/*" | "*/*" => {
                    other = other.max(quality);
                }
                _ => {}
            }
        }
    });
    html > other
}

/// Parses a weight of RFC 9110, 0 to 1 with up to three digits, into thousandths; 0 if it is
/// invalid.
fn thousandths(weight: &str) -> u32 {
    match weight.parse::<f64>() {
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1_000.0) as u32,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Request(&'static str, Vec<(&'static str, &'static str)>);

    impl Head for Request {
        fn method(&self) -> &str {
            self.0
        }

        fn path(&self) -> &str {
            "/"
        }

        fn header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
            self.1.iter().filter(|(own, _)| *own == name).for_each(|(_, value)| each(value.as_bytes()));
        }

        fn has_body(&self) -> bool {
            false
        }
    }

    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

    #[test]
    fn only_who_asks_for_html_before_all_that_programs_read_gets_a_page() {
        for (accept, expected) in [
            (BROWSER, true),
            ("text/html", true),
            ("TEXT/HTML;level=1;q=0.5, application/json;q=0.4", true),
            ("*/*", false),
            ("", false),
            ("application/json, text/plain, */*", false),
            ("text/html, application/problem+json", false),
            ("text/html;q=0.5, */*", false),
            ("text/html;q=0", false),
            ("text/html;q=2", false),
            ("text/html;q=x, */*;q=0.1", false),
            ("text/*", false),
        ] {
            let found = navigation(&Request("GET", vec![("accept", accept)])).is_some();
            assert_eq!(found, expected, "{accept:?}");
        }
        assert!(navigation(&Request("POST", vec![("accept", BROWSER)])).is_none());
        for (name, value, expected) in [
            ("sec-fetch-mode", "navigate", true),
            ("sec-fetch-mode", "cors", false),
            ("sec-fetch-mode", "no-cors", false),
            ("sec-fetch-dest", "document", true),
            ("sec-fetch-dest", "iframe", false),
            ("sec-purpose", "prefetch;prerender", false),
        ] {
            let request = Request("GET", vec![("accept", BROWSER), (name, value)]);
            assert_eq!(navigation(&request).is_some(), expected, "{name}: {value}");
        }
    }

    #[test]
    fn the_cookie_holds_a_token_and_a_result_and_whatever_else_is_nothing() {
        let read = |cookies: &[&'static str]| {
            let mut headers = vec![("accept", BROWSER)];
            headers.extend(cookies.iter().map(|line| ("cookie", *line)));
            navigation(&Request("GET", headers)).expect("a navigation")
        };
        let answer = |token: &str| Presented { token: token.into(), result: Some(ResultText::Compact("xyz".into())) };
        let came = Navigation { cookie: true, answered: false };
        assert_eq!(read(&["pouw-answer=ab-_9.xyz"]), (came, vec![answer("ab-_9")]));
        assert_eq!(read(&["a=1; __Host-pouw-answer=ab-_9.xyz ;b=2"]), (came, vec![answer("ab-_9")]));
        assert_eq!(read(&["a=1", "pouw-answer=1.xyz; pouw-answer=2.xyz"]), (came, vec![answer("1"), answer("2")]));
        let many = (0..9).map(|at| format!("pouw-answer={at}.xyz")).collect::<Vec<_>>().join("; ");
        assert_eq!(read(&[many.leak()]).1.len(), COOKIES_MAX);
        let without = Navigation { cookie: false, answered: false };
        assert_eq!(read(&[]), (without, vec![]));
        assert_eq!(read(&["xpouw-answer=ab.cd; pouw-answers=ab.cd"]), (without, vec![]));
        for broken in ["pouw-answer=", "pouw-answer=ab", "pouw-answer=.ab", "pouw-answer=ab.", "pouw-answer=a b.c"] {
            assert_eq!(read(&[broken]), (came, vec![]), "{broken}");
        }
        let long = format!("pouw-answer={}.ab", "a".repeat(MAX_TOKEN_CHARS + 1));
        assert_eq!(read(&[long.leak()]), (came, vec![]));
    }
}
