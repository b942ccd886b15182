//! The language of a page, from `Accept-Language` (RFC 9110, 12.5.4), by lookup (RFC 4647, 3.4).

use crate::page::languages::LanguageId;

use super::head::Head;
use super::weight::thousandths;

/// Maximum number of ranges that are looked at, of all headers together.
const RANGES_MAX: usize = 32;

/// Returns the language that the request prefers among those that there are, else English.
///
/// A range is shortened until it matches, so `de-AT` gets `de`. Of ranges with equal weights the
/// first one counts.
pub(super) fn language(head: &dyn Head) -> LanguageId {
    let (mut best, mut weight, mut looked) = (LanguageId::default(), 0, 0);
    head.header("accept-language", &mut |line| {
        for range in line.split(|byte| *byte == b',').take(RANGES_MAX - looked) {
            looked += 1;
            let Some((found, own)) = std::str::from_utf8(range).ok().and_then(one_range) else {
                continue;
            };
            if own > weight {
                (best, weight) = (found, own);
            }
        }
    });
    best
}

/// Returns the language of a range, and its weight in thousandths.
fn one_range(range: &str) -> Option<(LanguageId, u32)> {
    let mut parts = range.split(';').map(str::trim);
    // All languages here are of one subtag: shortening a range ends at its first one.
    let code = parts.next()?.split('-').next()?;
    let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(1_000, thousandths);
    LanguageId::of_code(code).map(|found| (found, weight))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::request::sample::Request;

    #[test]
    fn the_preferred_language_that_there_is_gets_chosen_else_english() {
        for (lines, expected) in [
            (&[][..], "en"),
            (&["de-AT,de;q=0.9,en;q=0.8"], "de"),
            (&["en;q=0.4, fr ; q=0.5"], "fr"),
            (&["nl, sv;q=0.9, es-419;q=0.2, en;q=0.1"], "es"),
            (&["pt", "ja"], "pt"),
            (&["pt;q=0.3", "JA;q=0.4"], "ja"),
            (&["zh-Hant-TW"], "zh-Hans"),
            (&["ar;q=0, de;q=0.001"], "de"),
            (&["*"], "en"),
            (&["nl,*;q=0.5"], "en"),
            (&["de;q=2, fr;q=0.1"], "fr"),
            (&["deu, -, ;q=1, \u{e9}"], "en"),
        ] {
            assert_eq!(language(&Request::with_lines("accept-language", lines)).texts().tag, expected, "{lines:?}");
        }
    }

    #[test]
    fn not_more_ranges_are_looked_at_than_is_promised() {
        let many = format!("{}de", "nl,".repeat(RANGES_MAX));
        let few = format!("{}de", "nl,".repeat(RANGES_MAX - 1));
        for (lines, expected) in [([few.leak(), "fr"], "de"), ([many.leak(), "fr"], "en")] {
            let lines: &'static [&'static str] = lines.map(|line: &str| &*line.to_owned().leak()).to_vec().leak();
            assert_eq!(language(&Request::with_lines("accept-language", lines)).texts().tag, expected);
        }
    }
}
