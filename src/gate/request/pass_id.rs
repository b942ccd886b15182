//! The name of a pass.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;

/// The name of a pass, 128 random bits: 22 characters of base64url. A client presents it to use the
/// pass.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PassId(u128);

impl PassId {
    /// Returns the name made of these random bytes.
    pub(in crate::gate) fn of(random: [u8; 16]) -> Self {
        Self(u128::from_le_bytes(random))
    }

    /// Returns the name as a number, which is random.
    pub(in crate::gate) fn number(self) -> u128 {
        self.0
    }

    /// Reads the name in a header or cookie. Parameters after it are ignored.
    pub(in crate::gate) fn parse(text: &[u8]) -> Option<Self> {
        let name = text.split(|byte| *byte == b';').next()?.trim_ascii();
        let bytes = BASE64URL_NOPAD.decode(name).ok()?;
        Some(Self(u128::from_le_bytes(bytes.try_into().ok()?)))
    }
}

impl fmt::Display for PassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0.to_le_bytes()))
    }
}

impl fmt::Debug for PassId {
    /// Not the name: logs must not give a pass away.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PassId(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_with_or_without_parameters_and_nothing_else_is() {
        let id = PassId::of([0xfa; 16]);
        let text = id.to_string();
        assert_eq!(text.len(), 22);
        assert_eq!(PassId::parse(format!(" {text};r=3;t=9").as_bytes()), Some(id));
        assert_eq!(PassId::parse(text.as_bytes()), Some(id));
        for broken in ["", ";", &text[1..], &format!("{text}A"), "%"] {
            assert_eq!(PassId::parse(broken.as_bytes()), None, "{broken:?}");
        }
    }
}
