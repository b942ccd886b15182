//! The challenge page that a browser gets instead of a page over the limit: it does the work in it,
//! stores the answer in a cookie, and loads its own address again.
//!
//! The response clears the cookie unless the same answer has to be sent again. An answer that is
//! not valid counts only as a request, so a user with two windows open sees the page again instead
//! of an error.

use crate::gate::config::sizes::PAGE_BYTES;
use crate::gate::request::cookies::AnswerCookie;
use crate::gate::request::facts::Facts;
use crate::gate::request::navigation::Navigation;
use crate::gate::state::Gate;
use crate::page::CONTENT_SECURITY_POLICY;
use crate::protocol::{Reason, header};

use super::decision::{Decision, Refusal};

impl Gate {
    /// Adapts a decision to the form of its request.
    pub(in crate::gate) fn dressed(&self, facts: &Facts, decision: Decision) -> Decision {
        dress(decision, facts.navigation, facts.cookie, &self.inner.settings.challenge_page)
    }
}

/// Adapts a decision to a navigation, and to a cookie with an answer; `prefix` is the path of the
/// page's files.
pub(in crate::gate) fn dress(
    decision: Decision,
    navigation: Option<Navigation>,
    cookie: AnswerCookie,
    prefix: &str,
) -> Decision {
    match decision {
        Decision::Pass(mut pass) => {
            pass.clears_cookie = cookie.came;
            Decision::Pass(pass)
        }
        Decision::Refuse(refusal) => {
            let has_page = navigation.is_some() && refusal.status == 429;
            let mut refusal = if has_page { page(refusal, prefix) } else { refusal };
            // For these two reasons the client has to send the same answer again.
            if cookie.came && !matches!(refusal.reason, Reason::TryAgain | Reason::TooEarly) {
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
    let mut body = String::with_capacity(problem.len() + PAGE_BYTES as usize);
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
    use crate::gate::config::sizes::PREFIX_CHARS_MAX;
    use crate::gate::reply::rate_headers::Headers;

    #[test]
    fn nothing_in_the_document_ends_the_element_it_stands_in_and_the_frame_is_as_long_as_is_booked() {
        let mut headers = Headers::default();
        headers.add("content-type", "application/problem+json");
        headers.add(header::RETRY_AFTER, "60");
        let refusal = Refusal {
            status: 429,
            reason: Reason::WorkRequired,
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
        assert!(text.len() - length < PAGE_BYTES as usize, "{}", text.len() - length);
        let headers: Vec<_> = page.headers.iter().map(|(name, _)| name).collect();
        assert_eq!(headers, ["content-type", "retry-after", "content-security-policy", "x-content-type-options"]);
        assert_eq!(page.headers.find("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(page.headers.find(header::RETRY_AFTER), Some("60"));
    }
}
