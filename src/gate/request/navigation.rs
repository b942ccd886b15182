//! A browser's navigation, which is answered with a page.

use crate::page::languages::LanguageId;

use super::accept::prefers_html;
use super::head::Head;

/// A browser's navigation, if the configuration has a challenge page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Navigation {
    /// Whether it sends a form.
    pub form: bool,
    /// The language for a page, once it is needed.
    pub(in crate::gate) language: LanguageId,
}

/// Returns the navigation; `None` if the request is not a browser's navigation, which prefers a
/// page.
pub(in crate::gate) fn navigation(head: &dyn Head) -> Option<Navigation> {
    let form = match head.method() {
        "GET" => false,
        "POST" if sends_form(head) => true,
        _ => return None,
    };
    (is_page_load(head) && prefers_html(head)).then(|| Navigation { form, language: LanguageId::default() })
}

/// Returns whether a browser sends a form by a navigation. Over plain HTTP browsers do not name the
/// mode, and the type of the body decides.
fn sends_form(head: &dyn Head) -> bool {
    let (mut mode, mut form_type) = (None, false);
    head.header("sec-fetch-mode", &mut |value| mode = Some(value == b"navigate"));
    head.header("content-type", &mut |value| {
        let media = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let types: [&[u8]; 3] = [b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain"];
        form_type |= types.iter().any(|known| media.eq_ignore_ascii_case(known));
    });
    mode.unwrap_or(form_type)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::request::sample::Request;

    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

    #[test]
    fn only_who_asks_for_html_before_all_that_programs_read_gets_a_page() {
        for (accept, expected) in [(BROWSER, true), ("*/*", false), ("application/json, */*", false)] {
            let found = navigation(&Request::new("GET", &[("accept", accept)])).is_some();
            assert_eq!(found, expected, "{accept:?}");
        }
        for (headers, form) in [
            (vec![("sec-fetch-mode", "navigate")], true),
            (vec![("content-type", "Multipart/form-data; boundary=x")], true),
            (vec![("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-mode", "cors")], false),
            (vec![("content-type", "application/json")], false),
            (vec![], false),
        ] {
            let headers = [vec![("accept", BROWSER)], headers].concat();
            let found = navigation(&Request::new("POST", &headers));
            assert_eq!(found, form.then(|| Navigation { form: true, language: LanguageId::default() }), "{headers:?}");
        }
        assert!(navigation(&Request::new("PUT", &[("accept", BROWSER), ("sec-fetch-mode", "navigate")])).is_none());
        for (name, value, expected) in [
            ("sec-fetch-mode", "navigate", true),
            ("sec-fetch-mode", "cors", false),
            ("sec-fetch-mode", "no-cors", false),
            ("sec-fetch-dest", "document", true),
            ("sec-fetch-dest", "iframe", false),
            ("sec-purpose", "prefetch;prerender", false),
        ] {
            let request = Request::new("GET", &[("accept", BROWSER), (name, value)]);
            assert_eq!(navigation(&request).is_some(), expected, "{name}: {value}");
        }
    }
}
