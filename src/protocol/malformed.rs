//! The error for an invalid message.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

/// An invalid message: the invalid member, what was expected and what was found.
///
/// It quotes at most a few printable characters of the input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid `{member}`: expected {expected}, found {found}")]
pub struct Malformed {
    member: Cow<'static, str>,
    expected: Cow<'static, str>,
    found: Cow<'static, str>,
}

/// The error of reading a [`WorkUnit`](super::WorkUnit) or a [`WorkResult`](super::WorkResult) from
/// JSON. The compact form of a result has the same members and the same error.
pub type JsonError = Malformed;

impl Malformed {
    /// Creates an error about `member`.
    pub fn new(
        member: impl Into<Cow<'static, str>>,
        expected: impl Into<Cow<'static, str>>,
        found: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { member: member.into(), expected: expected.into(), found: found.into() }
    }

    /// Returns the invalid member by its wire name: `leafHashes[3]` for an item of a list,
    /// `(document)` if the whole text is invalid.
    pub fn member(&self) -> &str {
        &self.member
    }

    /// Returns what was expected.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// Returns what was found, shortened.
    pub fn found(&self) -> &str {
        &self.found
    }

    /// Renames the member.
    pub(crate) fn under(mut self, member: impl Into<Cow<'static, str>>) -> Self {
        self.member = member.into();
        self
    }
}

/// Quotes the start of `text`, safe for a log line or a header: printable ASCII only.
pub(crate) fn excerpt(text: &str) -> String {
    const LONGEST_CHARS: usize = 24;
    let printable = |c: char| {
        if c == ' ' || c.is_ascii_graphic() { c } else { '?' }
    };
    let start: String = text.chars().take(LONGEST_CHARS).map(printable).collect();
    let chars = text.chars().count();
    if chars > LONGEST_CHARS { format!("\"{start}...\" ({chars} characters)") } else { format!("\"{start}\"") }
}
