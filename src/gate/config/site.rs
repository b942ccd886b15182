//! What the challenge page says of the site: its name, its colour, and where to ask.

use crate::engine::{ConfigError, check_setting as check};

use super::builder::GateConfigBuilder;

/// Maximum length of the name, in characters.
pub(in crate::gate) const NAME_CHARS_MAX: usize = 64;
/// Maximum length of the contact, in characters.
pub(in crate::gate) const CONTACT_CHARS_MAX: usize = 128;

const NAME_RULE: &str = "it must be empty, or a text of at most 64 characters without control characters";
const COLOR_RULE: &str = "it must be empty, or a colour as #RGB or #RRGGBB in hex digits";
const CONTACT_RULE: &str = "it must be empty, or a text of at most 128 characters without control characters; an address after \
                            mailto: needs an @ with something on both sides, one after https:// needs a host, and neither has spaces";

/// Where a visitor can ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) enum Contact<'a> {
    /// A link: its address, and what is shown of it.
    Link { href: &'a str, shown: &'a str },
    /// A text that is no link.
    Text(&'a str),
}

/// Returns the contact of a setting; `None` if there is none, or it is not valid.
pub(in crate::gate) fn contact(text: &str) -> Option<Contact<'_>> {
    if text.is_empty() || !is_line(text, CONTACT_CHARS_MAX) {
        return None;
    }
    let spaced = text.contains(char::is_whitespace);
    if let Some(rest) = text.strip_prefix("mailto:") {
        // What follows fills the message: its subject, for example.
        let address = rest.split(['?', '#']).next().unwrap_or_default();
        let (name, host) = address.split_once('@')?;
        let good = !spaced && !name.is_empty() && !host.is_empty();
        return good.then_some(Contact::Link { href: text, shown: address });
    }
    if let Some(rest) = text.strip_prefix("https://") {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        return (!spaced && !host.is_empty()).then_some(Contact::Link { href: text, shown: text });
    }
    Some(Contact::Text(text))
}

/// Returns red, green and blue of `#RGB` or `#RRGGBB`.
fn rgb(color: &str) -> Option<[u8; 3]> {
    let digits = color.strip_prefix('#')?.as_bytes();
    let value = |at: usize| digits.get(at).and_then(|digit| char::from(*digit).to_digit(16)).map(|digit| digit as u8);
    match digits.len() {
        3 => Some([value(0)? * 17, value(1)? * 17, value(2)? * 17]),
        6 => Some([value(0)? * 16 + value(1)?, value(2)? * 16 + value(3)?, value(4)? * 16 + value(5)?]),
        _ => None,
    }
}

/// Returns whether black is easier to read on this colour than white. The better one of both always
/// has a contrast of 4.5 or more (WCAG 2, level AA). `None` if it is no colour.
pub(in crate::gate) fn needs_black(color: &str) -> Option<bool> {
    rgb(color).map(|rgb| contrast(luminance(rgb), 0.0) >= contrast(1.0, luminance(rgb)))
}

/// Returns the relative luminance, 0 for black to 1 for white.
fn luminance(rgb: [u8; 3]) -> f64 {
    let [red, green, blue] = rgb.map(|value| {
        let value = f64::from(value) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// Returns the contrast of two luminances, 1 to 21.
fn contrast(lighter: f64, darker: f64) -> f64 {
    (lighter + 0.05) / (darker + 0.05)
}

fn is_line(text: &str, chars_max: usize) -> bool {
    text.chars().count() <= chars_max && !text.chars().any(char::is_control)
}

impl GateConfigBuilder {
    pub(super) fn check_site(&self) -> Result<(), ConfigError> {
        let Self { site_name: name, site_color: color, site_contact, .. } = self;
        check("site_name", name, is_line(name, NAME_CHARS_MAX), NAME_RULE)?;
        check("site_color", color, color.is_empty() || rgb(color).is_some(), COLOR_RULE)?;
        let good = site_contact.is_empty() || contact(site_contact).is_some();
        check("site_contact", site_contact, good, CONTACT_RULE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::config::builder::GateConfig;

    #[test]
    fn text_on_every_colour_has_enough_contrast() {
        for step in 0..=0xfff_u32 {
            let color = format!("#{step:03x}");
            let own = luminance(rgb(&color).unwrap());
            let reached = if needs_black(&color).unwrap() { contrast(own, 0.0) } else { contrast(1.0, own) };
            assert!(reached >= 4.5, "{color}: {reached}");
        }
        assert_eq!((needs_black("#ffffff"), needs_black("#000")), (Some(true), Some(false)));
        assert_eq!((needs_black("#2457c5"), needs_black("#FFD84d")), (Some(false), Some(true)));
    }

    #[test]
    fn what_is_no_name_colour_or_contact_is_refused_by_name() {
        let field = |change: fn(GateConfigBuilder) -> GateConfigBuilder| {
            change(GateConfig::builder()).build().err().map(|error| (error.field, error.value))
        };
        for (refused, expected) in [
            (field(|config| config.site_name("a".repeat(65))), ("site_name", "a".repeat(65))),
            (field(|config| config.site_name("a\nb")), ("site_name", "a\nb".to_owned())),
            (field(|config| config.site_color("red")), ("site_color", "red".to_owned())),
            (field(|config| config.site_color("#12345")), ("site_color", "#12345".to_owned())),
            (field(|config| config.site_color("#12g")), ("site_color", "#12g".to_owned())),
            (field(|config| config.site_color("#+1+2+3")), ("site_color", "#+1+2+3".to_owned())),
            (field(|config| config.site_contact("mailto:a")), ("site_contact", "mailto:a".to_owned())),
            (field(|config| config.site_contact("mailto:a@b c")), ("site_contact", "mailto:a@b c".to_owned())),
            (field(|config| config.site_contact("mailto:@b.c")), ("site_contact", "mailto:@b.c".to_owned())),
            (
                field(|config| config.site_contact("mailto:a?cc=c@b.example")),
                ("site_contact", "mailto:a?cc=c@b.example".to_owned()),
            ),
            (field(|config| config.site_contact("https:///a")), ("site_contact", "https:///a".to_owned())),
            (field(|config| config.site_contact("a".repeat(129))), ("site_contact", "a".repeat(129))),
        ] {
            assert_eq!(refused, Some((expected.0, expected.1)));
        }
        let fine =
            field(|config| config.site_name("\u{e9}".repeat(64)).site_color("#A1b").site_contact("a".repeat(128)));
        assert_eq!(fine, None);
    }

    #[test]
    fn only_two_kinds_of_addresses_become_links() {
        let mail = Contact::Link { href: "mailto:a@b.example", shown: "a@b.example" };
        assert_eq!(contact("mailto:a@b.example"), Some(mail));
        let asking = "mailto:a@b.example?subject=Limit&body=c@d";
        assert_eq!(contact(asking), Some(Contact::Link { href: asking, shown: "a@b.example" }));
        let page = "https://b.example/help?a=1";
        assert_eq!(contact(page), Some(Contact::Link { href: page, shown: page }));
        for text in ["javascript:alert(1)", "http://b.example", "+1 555 0100", "HTTPS://b.example"] {
            assert_eq!(contact(text), Some(Contact::Text(text)));
        }
    }
}
