//! The challenge page that a browser gets instead of a page over the limit: it does the work in it,
//! stores the answer in a cookie, and loads its own address again.
//!
//! A script cannot add headers to a navigation, so the answer is sent in a cookie named in
//! [`COOKIES`]: token and compact result with a dot between them. It is read from navigations only,
//! and cleared by the response unless the same answer has to be sent again. An answer that is not
//! valid counts only as a request, so a user with two windows open sees the page again instead of
//! an error. Others can set cookies of this name (from a subdomain, or in the network). So, among
//! the first few, the cookie whose token is valid for this client is used.

use crate::page::CONTENT_SECURITY_POLICY;
use crate::protocol::limits::{MAX_RESULT_COMPACT_CHARS, MAX_TOKEN_CHARS};
use crate::protocol::{Reason, header};

use super::decision::{Decision, Refusal};
use super::facts::{Head, Navigation, Presented, ResultText};

/// Names of the cookies with the answer of a navigation. The first is for TLS, where no other site
/// can set it.
const COOKIES: [&str; 2] = ["__Host-pouw-answer", "pouw-answer"];
/// Values of `Set-Cookie` that clear these cookies.
pub(super) const CLEARED: [&str; 2] = [
    "__Host-pouw-answer=; Path=/; Max-Age=0; Secure; SameSite=Strict",
    "pouw-answer=; Path=/; Max-Age=0; SameSite=Strict",
];
/// Maximum number of cookies of these names that are read.
const COOKIES_MAX: usize = 4;
/// Maximum bytes of the page without the problem document in it.
pub(super) const FRAME_BYTES: u64 = 1_536;
/// Maximum length of the path of the page's files, in characters.
pub(super) const PREFIX_CHARS_MAX: usize = 128;

/// Returns the navigation and the answers in its cookies; `None` if the request is not a browser's
/// navigation, which prefers a page.
pub(super) fn navigation(head: &dyn Head) -> Option<(Navigation, Vec<Presented>)> {
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

/// Adapts a decision to a navigation; `prefix` is the path of the page's files.
pub(super) fn dress(decision: Decision, navigation: Option<Navigation>, prefix: &str) -> Decision {
    let Some(Navigation { cookie, .. }) = navigation else {
        return decision;
    };
    match decision {
        Decision::Pass(mut pass) => {
            pass.clears_cookie = cookie;
            Decision::Pass(pass)
        }
        Decision::Refuse(refusal) => {
            let mut refusal = if refusal.status == 429 { page(refusal, prefix) } else { refusal };
            // For these two reasons the client has to send the same answer again.
            if cookie && !matches!(refusal.reason, Reason::TryAgain | Reason::TooEarly) {
                refusal.headers.clear_cookie();
            }
            Decision::Refuse(refusal)
        }
    }
}

/// Puts the problem document into a page, as data.
fn page(mut refusal: Refusal, prefix: &str) -> Refusal {
    let retry = refusal.headers.find(header::RETRY_AFTER).unwrap_or("1").to_owned();
    // The document must not be able to close its element.
    let problem = String::from_utf8_lossy(&refusal.body).replace('<', "\\u003c");
    let mut body = String::with_capacity(problem.len() + FRAME_BYTES as usize);
    for piece in [
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><meta name=\"robots\" content=\"noindex\">\
         <title>One moment</title><link rel=\"icon\" href=\"",
        prefix,
        "icon.svg\"><link rel=\"stylesheet\" href=\"",
        prefix,
        "page.css\"><script type=\"module\" src=\"",
        prefix,
        "challenge.js\"></script></head><body><main><h1 data-text=\"title\">One moment</h1>\
         <noscript><p>Your connection has requested more pages than the limit allows. Reload this page in ",
        &retry,
        " seconds; nothing is lost.</p></noscript><p data-text=\"lead\"></p>\
         <p id=\"status\" role=\"status\" hidden></p><pouw-progress></pouw-progress>\
         <p><button id=\"again\" type=\"button\" data-text=\"again\" hidden></button></p></main>\
         <script type=\"application/json\" id=\"given\">{\"retryAfter\":",
        &retry,
        ",\"problem\":",
        &problem,
        "}</script></body></html>",
    ] {
        body.push_str(piece);
    }
    refusal.body = body.into_bytes();
    refusal.headers.replace("content-type", "text/html; charset=utf-8");
    refusal.headers.add("content-security-policy", CONTENT_SECURITY_POLICY);
    refusal.headers.add("x-content-type-options", "nosniff");
    refusal
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

    #[test]
    fn nothing_in_the_document_ends_the_element_it_stands_in_and_the_frame_is_as_long_as_is_booked() {
        let mut headers = super::super::Headers::default();
        headers.add("content-type", "application/problem+json");
        headers.add(header::RETRY_AFTER, "60");
        let refusal = Refusal {
            status: 429,
            reason: crate::protocol::Reason::WorkRequired,
            headers,
            body: b"{\"detail\":\"</script><!--\"}".to_vec(),
            flight: None,
        };
        let length = refusal.body.len();
        let prefix = format!("/{}/", "a".repeat(PREFIX_CHARS_MAX - 2));
        let page = page(refusal, &prefix);
        let text = String::from_utf8(page.body).unwrap();
        assert!(text.contains("\\u003c/script>\\u003c!--"), "{text}");
        assert_eq!(text.matches("</script>").count(), 2);
        assert!(text.len() - length < FRAME_BYTES as usize, "{}", text.len() - length);
        let headers: Vec<_> = page.headers.iter().map(|(name, _)| name).collect();
        assert_eq!(headers, ["content-type", "retry-after", "content-security-policy", "x-content-type-options"]);
        assert_eq!(page.headers.find("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(page.headers.find(header::RETRY_AFTER), Some("60"));
    }
}
