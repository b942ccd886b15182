//! The challenge page that a browser gets instead of a page over the limit: it does the work in it,
//! stores the answer in a cookie, and loads its own address again.
//!
//! The response clears the cookie unless the same answer has to be sent again, or is for a route
//! with another limit. An answer that is not valid counts only as a request, so a user with two
//! windows open sees the page again instead of an error.

use std::borrow::Cow;

use crate::gate::config::builder::GateConfigBuilder;
use crate::gate::config::site::{Contact, contact, needs_black};
use crate::gate::config::sizes::PAGE_BYTES;
use crate::gate::request::cookies::AnswerCookie;
use crate::gate::request::facts::{Facts, PolicyId};
use crate::gate::request::navigation::Navigation;
use crate::gate::state::Gate;
use crate::page::CONTENT_SECURITY_POLICY;
use crate::page::languages::Language;
use crate::protocol::{Reason, header};

use super::decision::{Decision, Refusal};

impl Gate {
    /// Adapts a decision to the form of its request.
    pub(in crate::gate) fn dressed(&self, facts: &Facts, decision: Decision) -> Decision {
        self.dressed_as((facts.navigation, facts.cookie, facts.policy), decision)
    }

    /// The same, by what the form depends on: the navigation, the cookie with an answer, and the
    /// policy.
    pub(in crate::gate) fn dressed_as(
        &self,
        (navigation, cookie, policy): (Option<Navigation>, AnswerCookie, PolicyId),
        decision: Decision,
    ) -> Decision {
        let settings = &self.inner.settings;
        match decision {
            Decision::Pass(mut pass) => {
                pass.clears_cookie = cookie.is_to_clear();
                Decision::Pass(pass)
            }
            Decision::Refuse(refusal) => {
                let mut refusal = match navigation {
                    Some(navigation) if refusal.status == 429 => {
                        let bought = settings.answer_buys_of(&self.inner.limits.of(policy).policy, true);
                        page(refusal, navigation, bought.requests > 1, settings)
                    }
                    _ => refusal,
                };
                // For these two reasons the client has to send the same answer again.
                if cookie.is_to_clear() && !matches!(refusal.reason, Reason::TryAgain | Reason::TooEarly) {
                    refusal.headers.clear_cookie();
                }
                Decision::Refuse(refusal)
            }
        }
    }
}

/// Puts the problem document into a page, as data. A page for a form, which a person filled in,
/// does not send it again by itself. `buys_pass` is whether an answer buys more than the page.
fn page(mut refusal: Refusal, navigation: Navigation, buys_pass: bool, settings: &GateConfigBuilder) -> Refusal {
    let form = navigation.form;
    let retry = refusal.headers.find(header::RETRY_AFTER).unwrap_or("1").to_owned();
    // The document must not be able to close its element.
    let problem = String::from_utf8_lossy(&refusal.body).replace('<', "\\u003c");
    let language = navigation.language.texts();
    let mut body = String::with_capacity(problem.len() + PAGE_BYTES as usize);
    head(&mut body, language, settings);
    site(&mut body, settings);
    let served = &language.served;
    let wait = if form { &served.form_wait } else { &served.wait }.replace("{seconds}", &retry);
    for piece in [
        "<main><h1>",
        &served.title,
        "</h1><p>",
        &served.why,
        "</p><noscript><p>",
        &wait,
        "</p></noscript><div class=\"room page\"><div><p id=\"status\" role=\"status\"></p>\
         <p><button id=\"again\" type=\"button\" aria-describedby=\"status\" hidden></button></p></div>\
         <div id=\"now\"><p id=\"what\"></p><pouw-progress></pouw-progress></div>\
         <div id=\"space\" aria-hidden=\"true\"><p>",
        &served.failed,
        if form { " " } else { "" },
        if form { &served.form_ready } else { "" },
        "</p><p></p></div></div>",
    ] {
        body.push_str(piece);
    }
    ask(&mut body, language, &settings.site_contact);
    for piece in [
        "</main><script type=\"application/json\" id=\"words\">",
        language.words(),
        "</script><script type=\"application/json\" id=\"given\">{\"retryAfter\":",
        &retry,
        ",\"form\":",
        if form { "true" } else { "false" },
        ",\"pass\":",
        if buys_pass { "true" } else { "false" },
        ",\"because\":\"",
        language.reason(refusal.reason.as_str()),
        "\",\"problem\":",
        &problem,
        "}</script></body></html>",
    ] {
        body.push_str(piece);
    }
    refusal.body = body.into_bytes();
    refusal.headers.replace("content-type", "text/html; charset=utf-8");
    refusal.headers.add("content-language", &language.tag);
    // A browser that sends a form again asks the policy of this page, for the redirects too.
    let policy = if form {
        CONTENT_SECURITY_POLICY.replace(" form-action 'none';", "").into()
    } else {
        Cow::Borrowed(CONTENT_SECURITY_POLICY)
    };
    refusal.headers.add("content-security-policy", &policy);
    refusal.headers.add("x-content-type-options", "nosniff");
    refusal
}

/// Writes everything before the content. The files of the page are below the configured path.
fn head(body: &mut String, language: &Language, settings: &GateConfigBuilder) {
    let files = settings.challenge_page.as_str();
    for piece in [
        "<!doctype html><html lang=\"",
        &language.tag,
        "\" dir=\"",
        &language.direction,
        "\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><meta name=\"robots\" content=\"noindex\"><title>",
        &language.served.title,
        if settings.site_name.is_empty() { "" } else { " \u{2013} " },
    ] {
        body.push_str(piece);
    }
    escaped(body, &settings.site_name);
    for piece in [
        "</title><link rel=\"icon\" href=\"",
        files,
        "icon.svg\"><link rel=\"stylesheet\" href=\"",
        files,
        "page.css\"><script type=\"module\" src=\"",
        files,
        "challenge.js\"></script></head><body>",
    ] {
        body.push_str(piece);
    }
}

/// Writes the name of the site, on its colour. The policy of the page allows no styles in it, but
/// attributes of a picture.
fn site(body: &mut String, settings: &GateConfigBuilder) {
    let color = settings.site_color.as_str();
    match needs_black(color) {
        Some(black) => {
            body.push_str(if black { "<header class=\"band black\">" } else { "<header class=\"band white\">" });
            body.push_str("<svg aria-hidden=\"true\"><rect width=\"100%\" height=\"100%\" fill=\"");
            body.push_str(color);
            body.push_str("\"/></svg>");
        }
        None => body.push_str("<header>"),
    }
    body.push_str("<p><bdi id=\"site\">");
    escaped(body, &settings.site_name);
    body.push_str("</bdi></p></header>");
}

/// Writes where a visitor can ask.
fn ask(body: &mut String, language: &Language, setting: &str) {
    let (Some(contact), Some((before, after))) = (contact(setting), language.served.contact.split_once("{contact}"))
    else {
        return;
    };
    body.push_str("<p class=\"note\">");
    body.push_str(before);
    match contact {
        Contact::Link { href, shown } => {
            body.push_str("<a rel=\"noreferrer\" href=\"");
            escaped(body, href);
            body.push_str("\"><bdi>");
            escaped(body, shown);
            body.push_str("</bdi></a>");
        }
        Contact::Text(text) => {
            body.push_str("<bdi>");
            escaped(body, text);
            body.push_str("</bdi>");
        }
    }
    body.push_str(after);
    body.push_str("</p>");
}

/// Writes a text so that it is one in HTML, also inside of quotes.
fn escaped(body: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => body.push_str("&amp;"),
            '<' => body.push_str("&lt;"),
            '>' => body.push_str("&gt;"),
            '"' => body.push_str("&quot;"),
            '\'' => body.push_str("&#39;"),
            other => body.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::config::builder::GateConfig;
    use crate::gate::config::site::{CONTACT_CHARS_MAX, NAME_CHARS_MAX};
    use crate::gate::config::sizes::PREFIX_CHARS_MAX;
    use crate::gate::reply::rate_headers::Headers;
    use crate::page::languages::LanguageId;

    const PROBLEM: &str = "{\"detail\":\"</script><!--\"}";

    fn refusal(reason: Reason) -> Refusal {
        let mut headers = Headers::default();
        headers.add("content-type", "application/problem+json");
        headers.add(header::RETRY_AFTER, "60");
        Refusal { status: 429, reason, headers, body: PROBLEM.into(), flight: None }
    }

    /// A page in a language, as text.
    fn written(language: LanguageId, settings: &GateConfigBuilder, form: bool) -> String {
        let navigation = Navigation { form, language };
        String::from_utf8(page(refusal(Reason::NoWork), navigation, true, settings).body).unwrap()
    }

    fn english(settings: &GateConfigBuilder, form: bool) -> String {
        written(LanguageId::default(), settings, form)
    }

    #[test]
    fn nothing_in_the_document_ends_the_element_it_stands_in() {
        let settings = GateConfig::builder().challenge_page("/p/");
        let navigation = Navigation { form: false, language: LanguageId::default() };
        let page = page(refusal(Reason::WorkRequired), navigation, true, &settings);
        let text = String::from_utf8(page.body).unwrap();
        assert!(text.contains("\\u003c/script>\\u003c!--"), "{text}");
        assert_eq!(text.matches("</script>").count(), 3);
        let headers: Vec<_> = page.headers.iter().map(|(name, _)| name).collect();
        let expected =
            ["content-type", "retry-after", "content-language", "content-security-policy", "x-content-type-options"];
        assert_eq!(headers, expected);
        assert_eq!(page.headers.find("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(page.headers.find(header::RETRY_AFTER), Some("60"));
    }

    #[test]
    fn the_longest_frame_is_not_longer_than_is_booked() {
        let address = format!("https://{}", "&".repeat(CONTACT_CHARS_MAX - 8));
        for contact in [address, "\"".repeat(CONTACT_CHARS_MAX)] {
            let settings = GateConfig::builder()
                .challenge_page(format!("/{}/", "a".repeat(PREFIX_CHARS_MAX - 2)))
                .site_name("\"".repeat(NAME_CHARS_MAX))
                .site_color("#123456")
                .site_contact(contact);
            assert!(settings.clone().build().is_ok());
            for language in LanguageId::all() {
                let text = written(language, &settings, true);
                let frame = text.len() - PROBLEM.len();
                assert!(frame < PAGE_BYTES as usize, "{frame} bytes, {}", language.texts().tag);
            }
        }
    }

    #[test]
    fn the_page_is_in_the_language_of_the_navigation() {
        let settings = GateConfig::builder().challenge_page("/p/");
        for language in LanguageId::all() {
            let (text, texts) = (written(language, &settings, false), language.texts());
            let start = format!("<!doctype html><html lang=\"{}\" dir=\"{}\">", texts.tag, texts.direction);
            assert!(text.starts_with(&start), "{text}");
            let because = format!("\"because\":\"{}\"", texts.reason("no_work"));
            for expected in [&*texts.served.title, &*texts.served.why, texts.words(), &*because] {
                assert!(text.contains(expected), "{expected}: {text}");
            }
        }
    }

    #[test]
    fn the_site_is_named_on_its_colour_and_nothing_of_it_is_markup() {
        let plain = english(&GateConfig::builder().challenge_page("/p/"), false);
        assert!(plain.contains("<header><p><bdi id=\"site\"></bdi></p></header>"), "{plain}");
        assert!(!plain.contains("class=\"note\"") && plain.contains("<title>One moment</title>"));
        let builder = GateConfig::builder().challenge_page("/p/").site_name("<b>&\"'");
        let settings = builder.site_color("#ff0").site_contact("mailto:a&b@c.example");
        let text = english(&settings, false);
        let name = "&lt;b&gt;&amp;&quot;&#39;";
        let link = "<a rel=\"noreferrer\" href=\"mailto:a&amp;b@c.example\"><bdi>a&amp;b@c.example</bdi></a>";
        for expected in [
            &*format!("<title>One moment \u{2013} {name}</title>"),
            &*format!("<bdi id=\"site\">{name}</bdi>"),
            "<header class=\"band black\">",
            "fill=\"#ff0\"",
            link,
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert!(english(&settings.site_color("#00c"), false).contains("<header class=\"band white\">"));
    }

    #[test]
    fn a_form_is_said_not_to_be_sent_yet() {
        let settings = GateConfig::builder().challenge_page("/p/");
        for (form, said, given) in [
            (false, "<p>Nothing is lost. Wait 60 s, then", "\"form\":false"),
            (
                true,
                "<p>Your form has not been sent yet, and nothing that you typed is lost. Wait 60 s, then",
                "\"form\":true",
            ),
        ] {
            let text = english(&settings, form);
            assert!(text.contains(said) && text.contains(given), "{text}");
            let navigation = Navigation { form, language: LanguageId::default() };
            let page = page(refusal(Reason::WorkRequired), navigation, true, &settings);
            let policy = page.headers.find("content-security-policy").unwrap();
            assert_eq!(policy.contains("form-action"), !form, "{policy}");
        }
    }
}
