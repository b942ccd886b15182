//! The one error for a message that is not what it claims to be.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

use super::Reason;

/// A message that is not what it claims to be. Names the guilty member, what was expected there
/// and what was found, and never quotes more than a few printable characters of the input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{member}`: expected {expected}, found {found}; mend this member and send it again")]
pub struct Malformed {
    member: Cow<'static, str>,
    expected: Cow<'static, str>,
    found: Cow<'static, str>,
}

/// What reading a [`WorkUnit`](super::WorkUnit) or a [`WorkResult`](super::WorkResult) from JSON can
/// say; the compact form of a result speaks of the same members and so uses the same type.
pub type JsonError = Malformed;

impl Malformed {
    /// A complaint about `member`.
    pub fn new(
        member: impl Into<Cow<'static, str>>,
        expected: impl Into<Cow<'static, str>>,
        found: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { member: member.into(), expected: expected.into(), found: found.into() }
    }

    /// The guilty member by its wire name, `leafHashes[3]` for an item of a list, `(document)` when
    /// the text as a whole is wrong.
    pub fn member(&self) -> &str {
        &self.member
    }

    /// What would have been right.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// What was there, shortened.
    pub fn found(&self) -> &str {
        &self.found
    }

    /// The wire reason: always [`Reason::Malformed`].
    pub const fn reason(&self) -> Reason {
        Reason::Malformed
    }

    /// The same complaint about the member called `member`.
    pub(crate) fn under(mut self, member: impl Into<Cow<'static, str>>) -> Self {
        self.member = member.into();
        self
    }
}

/// The start of `text` in quotes, safe for a log line or a header: printable ASCII only.
pub(crate) fn excerpt(text: &str) -> String {
    const LONGEST_CHARS: usize = 24;
    let printable = |c: char| {
        if c == ' ' || c.is_ascii_graphic() { c } else { '?' }
    };
    let start: String = text.chars().take(LONGEST_CHARS).map(printable).collect();
    let chars = text.chars().count();
    if chars > LONGEST_CHARS { format!("\"{start}...\" ({chars} characters)") } else { format!("\"{start}\"") }
}
