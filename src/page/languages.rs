//! The texts of the challenge page, one file for each language. They are made from
//! `clients/js/page/languages`, by `npm run page` in `clients/js`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::value::RawValue;

macro_rules! files {
    ($($code:literal),*) => {
        [$(($code, include_str!(concat!("languages/", $code, ".json"))),)*]
    };
}

/// Codes of ISO 639-1, and the files. The first one is for everybody whose language is not here.
const FILES: [(&str, &str); 8] = files!["en", "ar", "de", "es", "fr", "ja", "pt", "zh"];

/// A file that cannot be read has no texts; a test reads all of them.
static LANGUAGES: LazyLock<[Language; FILES.len()]> =
    LazyLock::new(|| FILES.map(|(_, text)| serde_json::from_str(text).unwrap_or_default()));

/// One of the languages; English by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LanguageId(usize);

impl LanguageId {
    /// All languages.
    #[cfg(test)]
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..FILES.len()).map(Self)
    }

    /// Returns the language with this code of ISO 639-1, in any case.
    pub(crate) fn of_code(code: &str) -> Option<Self> {
        FILES.iter().position(|(own, _)| own.eq_ignore_ascii_case(code)).map(Self)
    }

    /// Returns its texts.
    pub(crate) fn texts(self) -> &'static Language {
        let all: &'static [Language] = &*LANGUAGES;
        all.get(self.0).unwrap_or(&all[0])
    }
}

/// The texts of one language.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Language {
    /// The tag of BCP 47.
    pub(crate) tag: String,
    /// `ltr` or `rtl`.
    pub(crate) direction: String,
    /// What the server writes into the page.
    pub(crate) served: Served,
    /// Why there is no work, by the reason of the protocol; `other` for every other one.
    reasons: BTreeMap<String, String>,
    /// What the script of the page shows, as JSON.
    words: Option<Box<RawValue>>,
}

/// Texts that the server writes into the page.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Served {
    /// The heading.
    pub(crate) title: String,
    /// Why the visitor sees the page.
    pub(crate) why: String,
    /// Without scripts: to wait for `{seconds}`.
    pub(crate) wait: String,
    /// The same for a form.
    pub(crate) form_wait: String,
    /// Where to ask, with a place for `{contact}`.
    pub(crate) contact: String,
    /// What the script says when it did not work.
    pub(crate) failed: String,
    /// What the script says when a form can be sent again.
    pub(crate) form_ready: String,
}

impl Language {
    /// Returns the text for a reason of the protocol.
    pub(crate) fn reason(&self, reason: &str) -> &str {
        self.reasons.get(reason).or_else(|| self.reasons.get("other")).map_or("", String::as_str)
    }

    /// Returns what the script of the page shows, as JSON.
    pub(crate) fn words(&self) -> &str {
        self.words.as_ref().map_or("{}", |words| words.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_can_be_read_and_its_texts_are_safe_inside_of_a_page() {
        for id in LanguageId::all() {
            let language = id.texts();
            let (code, text) = FILES[id.0];
            assert_eq!(language.tag.split('-').next(), Some(code));
            assert_eq!(language.direction, if code == "ar" { "rtl" } else { "ltr" });
            let Served { title, why, wait, form_wait, contact, failed, form_ready } = &language.served;
            for text in [title, why, wait, form_wait, contact, failed, form_ready] {
                assert!(!text.is_empty() && !text.contains(['<', '>', '&', '"']), "{text}");
            }
            assert!(wait.contains("{seconds}") && form_wait.contains("{seconds}") && contact.contains("{contact}"));
            assert!(!text.contains('<'), "{code}");
            assert!(language.words().contains("\"progress\"") && language.words().contains("\"challenge\""));
            assert_ne!(language.reason("no_work"), language.reason("a later reason"));
        }
    }
}
