//! The language of a page, from `Accept-Language` (RFC 9110, 12.5.4), by lookup (RFC 4647, 3.4).

use crate::page::languages::LanguageId;

use super::head::Head;
use super::weight::{thousandths, weight_in};

/// Maximum number of ranges that are looked at, of all headers together.
const RANGES_MAX: usize = 32;

/// Returns the language that the request prefers among those that there are, else English.
///
/// A range is shortened until it matches, so `de-AT` gets `de`. Of ranges with equal weights the
/// first one counts. `*` names no language, so it never comes before a range that does. A range
/// that cannot be read does not count.
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

/// Returns the language of a range, and its weight in thousandths. `None` if it is not a language
/// that there is, or if something other than one weight follows.
fn one_range(range: &str) -> Option<(LanguageId, u32)> {
    let mut parts = range.split(';').map(str::trim);
    // All languages here are of one subtag: shortening a range ends at its first one.
    let found = LanguageId::of_code(parts.next()?.split('-').next()?)?;
    let mut parameters = parts.filter(|part| !part.is_empty());
    let weight = match (parameters.next(), parameters.next()) {
        (None, _) => 1_000,
        (Some(parameter), None) => thousandths(weight_in(parameter)?),
        _ => return None,
    };
    Some((found, weight))
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
            (&["pt", "ja"], "pt-BR"),
            (&["pt;q=0.3", "JA;q=0.4"], "ja"),
            (&["zh-Hant-TW"], "zh-Hans"),
            (&["ar;q=0, de;q=0.001"], "de"),
            (&["*"], "en"),
            (&["nl,*;q=0.5"], "en"),
            (&["de;q=2, fr;q=0.1"], "fr"),
            (&["deu, -, ;q=1, \u{e9}"], "en"),
            // The name of a weight is `q` in any case.
            (&["de;Q=0.4, fr;q=0.5"], "fr"),
            (&["de;q=0.4, fr;Q=0.3"], "de"),
            (&["de;Q=0"], "en"),
            // A range with a weight that is none, or with something else, does not count.
            (&["de;q=x, fr;q=0.1"], "fr"),
            (&["de;q=1e-1, fr;q=0.01"], "fr"),
            (&["de;q=, fr;q=-1, es;q=NaN, ja;q=0.001"], "ja"),
            (&["de;q, fr;q =1, es;level=1, pt;q=0.1;q=0.9, ja;q=0.001"], "ja"),
            (&["de;q=x"], "en"),
            (&["de; q=.3, fr;;q=0.2;"], "de"),
            // Any language: what else is named comes first.
            (&["*;q=1, de;q=0.1"], "de"),
            (&["*-CH, fr;q=0.1"], "fr"),
            (&["de;q=0, *"], "en"),
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
