//! `Accept`: whether a request prefers a page to every format for programs.
//!
//! Browsers name HTML first, with the full weight, and everything else after it or with less.
//! Programs name HTML too: feed readers accept a web page in which they look for the address of its
//! feed. So HTML is weighed against *all* types in the field, and a program that gives another type
//! the same weight gets the form for programs.

use super::head::Head;
use super::weight::{thousandths, weight_in};

/// Maximum number of types that are read.
const TYPES_MAX: usize = 64;

/// Returns whether `Accept` names HTML and prefers it:
///
/// - to the formats of programs and to wildcards, by a higher weight,
/// - to any other type by a higher weight, or by the same weight and an earlier place.
///
/// Pictures, sound and video have no influence.
pub(super) fn prefers_html(head: &dyn Head) -> bool {
    let mut seen = Seen::default();
    head.header("accept", &mut |line| {
        for range in line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|range| !range.is_empty()) {
            seen.add(&String::from_utf8_lossy(range));
        }
    });
    seen.html > seen.program && seen.html > seen.earlier && seen.html >= seen.later
}

/// The highest weights of the types seen so far, in thousandths.
#[derive(Default)]
struct Seen {
    types: usize,
    html: u32,
    /// Formats of programs, and wildcards.
    program: u32,
    /// Other types before and after the first that is HTML.
    earlier: u32,
    later: u32,
}

impl Seen {
    fn add(&mut self, range: &str) {
        self.types += 1;
        if self.types > TYPES_MAX {
            return;
        }
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(weight_in).map_or(1_000, thousandths);
        let of_kind = match kind(&media) {
            Kind::Html => &mut self.html,
            Kind::Program => &mut self.program,
            Kind::Media => return,
            Kind::Other if self.html == 0 => &mut self.earlier,
            Kind::Other => &mut self.later,
        };
        *of_kind = weight.max(*of_kind);
    }
}

enum Kind {
    Html,
    Program,
    Media,
    Other,
}

fn kind(media: &str) -> Kind {
    match media {
        "text/html" | "application/xhtml+xml" => return Kind::Html,
        "*/*" | "application/*" | "application/json" | "application/xml" | "text/xml" => return Kind::Program,
        _ => {}
    }
    if ["image/", "audio/", "video/"].iter().any(|family| media.starts_with(family)) {
        return Kind::Media;
    }
    // Feeds, JSON in all its forms, problem documents.
    if media.ends_with("+xml") || media.ends_with("+json") { Kind::Program } else { Kind::Other }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::request::sample::Request;

    /// Who sends it when a person opens a page, the field, and whether it prefers a page.
    const SENT: &[(&str, &str, bool)] = &[
        (
            "Chrome, Edge, Opera",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,\
             application/signed-exchange;v=b3;q=0.7",
            true,
        ),
        ("Firefox 132, Safari", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
        (
            "Firefox 128",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/png,image/svg+xml,*/*;q=0.8",
            true,
        ),
        ("Firefox 92", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", true),
        (
            "Opera 12",
            "text/html, application/xml;q=0.9, application/xhtml+xml, image/png, image/webp, image/jpeg, image/gif, \
             image/x-xbitmap, */*;q=0.1",
            true,
        ),
        ("Lynx", "text/html, text/plain, text/sgml, text/css, application/xhtml+xml, */*;q=0.01", true),
        ("curl, wget, requests, node, Go", "*/*", false),
        ("axios", "application/json, text/plain, */*", false),
        (
            "Miniflux",
            "application/xml, application/atom+xml, application/rss+xml, application/rdf+xml, application/feed+json, \
             text/html, */*;q=0.9",
            false,
        ),
        (
            "SimplePie, FreshRSS, WordPress",
            "application/atom+xml, application/rss+xml, application/rdf+xml;q=0.9, application/xml;q=0.8, \
             text/xml;q=0.8, text/html;q=0.7, unknown/unknown;q=0.1, application/unknown;q=0.1, */*;q=0.1",
            false,
        ),
        (
            "feedparser of Python",
            "application/atom+xml,application/rdf+xml,application/rss+xml,application/x-netcdf,application/xml;q=0.9,\
             text/xml;q=0.2,*/*;q=0.1",
            false,
        ),
        (
            "readers that look for a feed in a page",
            "application/atom+xml, application/rss+xml, application/feed+json, text/html",
            false,
        ),
        ("readers that name the page first", "text/html, application/rss+xml, application/atom+xml", false),
        ("readers that name the page last", "application/rss+xml, text/html;q=0.8, */*;q=0.5", false),
    ];

    #[test]
    fn browsers_prefer_a_page_and_programs_do_not() {
        for (sender, accept, expected) in SENT {
            assert_eq!(prefers_html(&Request::with_lines("accept", &[accept])), *expected, "{sender}: {accept}");
            // The same types in several lines, and with empty ones between them.
            let lines: Vec<&str> = accept.split(',').flat_map(|range| [range, "", ", ,"]).collect();
            assert_eq!(prefers_html(&Request::with_lines("accept", &lines)), *expected, "{sender}, in lines: {accept}");
        }
    }

    #[test]
    fn html_is_weighed_against_every_other_type() {
        for (accept, expected) in [
            ("text/html", true),
            ("application/xhtml+xml", true),
            ("TEXT/HTML;level=1;Q=0.5, application/json;q=0.4", true),
            ("", false),
            ("text/*", false),
            ("text/html, application/problem+json", false),
            ("text/html, application/vnd.api+json;q=0.9", true),
            ("text/html;q=0.5, */*", false),
            ("text/html, application/*", false),
            ("text/html;q=0", false),
            ("text/html;q=2", false),
            ("text/html;q=x, */*;q=0.1", false),
            // An equal weight: the earlier place.
            ("text/plain, text/html", false),
            ("text/html, text/plain", true),
            ("text/plain;q=0.9, text/html", true),
            ("text/html;q=0.9, text/plain", false),
            ("text/calendar, text/html", false),
            ("image/png, text/html, video/mp4, audio/*", true),
        ] {
            assert_eq!(prefers_html(&Request::with_lines("accept", &[accept])), expected, "{accept:?}");
        }
        let many = ["text/plain;q=0.1"; TYPES_MAX].join(",");
        assert!(!prefers_html(&Request::with_lines("accept", &[&many, "text/html"])), "it reads {TYPES_MAX} types");
    }
}
