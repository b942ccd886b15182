//! The 64-byte value of SHA3-512 and its text form of 128 lowercase hex digits.

use alloc::string::String;
use core::{cmp::Ordering, fmt, hash, str::FromStr};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use subtle::ConstantTimeEq as _;

/// A SHA3-512 value: the address of a block, a leaf, an interior node or a root.
///
/// Equality takes constant time. Ordering (by bytes) and hashing for maps do not: use them on
/// public values only. The text form is exactly 128 lowercase hex digits; serde writes it to
/// human-readable formats and 64 bytes to the others.
#[derive(Clone, Copy)]
pub struct Checksum([u8; Checksum::LEN]);

impl Checksum {
    /// Length in bytes.
    pub const LEN: usize = 64;

    /// 64 zero bytes, to initialize buffers. No message with this hash is known.
    pub const ZERO: Self = Self([0; Self::LEN]);

    /// Makes a checksum from its 64 bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Copies the bytes of a slice.
    ///
    /// # Errors
    ///
    /// [`ChecksumError::ByteLength`] if the slice does not have exactly 64 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, ChecksumError> {
        match bytes.try_into() {
            Ok(bytes) => Ok(Self(bytes)),
            Err(_) => Err(ChecksumError::ByteLength { actual: bytes.len() }),
        }
    }

    /// Reads 128 lowercase hex digits.
    ///
    /// # Errors
    ///
    /// [`ChecksumError::HexLength`] for any other length, [`ChecksumError::HexDigit`] for a
    /// character other than `0-9` and `a-f`. Uppercase digits are refused, so that each value has
    /// one text.
    pub fn from_hex(text: &str) -> Result<Self, ChecksumError> {
        if text.len() != HEX_LEN {
            return Err(ChecksumError::HexLength { actual: text.len() });
        }
        let mut bytes = [0; Self::LEN];
        match HEXLOWER.decode_mut(text.as_bytes(), &mut bytes) {
            Ok(_) => Ok(Self(bytes)),
            Err(partial) => Err(ChecksumError::HexDigit { position: partial.error.position }),
        }
    }

    /// Borrows the 64 bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Returns the 128 lowercase hex digits.
    pub fn to_hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }

    fn with_hex<T>(&self, use_text: impl FnOnce(&str) -> T) -> T {
        use_text(HEXLOWER.encode_mut_str(&self.0, &mut [0; HEX_LEN]))
    }
}

/// Bytes or text that are not a [`Checksum`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChecksumError {
    /// The slice has the wrong length.
    #[error("invalid checksum: expected exactly 64 bytes, found {actual}; pass the whole SHA3-512 value")]
    ByteLength {
        /// Length of the slice in bytes.
        actual: usize,
    },
    /// The text has the wrong length.
    #[error(
        "invalid checksum: expected exactly 128 lowercase hex digits, found {actual} bytes of text; \
         pass the whole SHA3-512 value without prefix or spaces"
    )]
    HexLength {
        /// Length of the text in bytes.
        actual: usize,
    },
    /// The text has the right length, but a character is not a lowercase hex digit.
    #[error(
        "invalid checksum: expected exactly 128 lowercase hex digits (0-9, a-f), \
         found another character at byte {position}; convert the text to lowercase and remove separators"
    )]
    HexDigit {
        /// Offset of the first invalid byte.
        position: usize,
    },
}

/// Compares in constant time.
impl PartialEq for Checksum {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Checksum {}

impl PartialOrd for Checksum {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Orders by bytes, which is also the order of the hex texts. Not constant time.
impl Ord for Checksum {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl hash::Hash for Checksum {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_hex(|text| f.pad(text))
    }
}

/// Shows the hex digits, like [`Display`](fmt::Display).
impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Checksum {
    type Err = ChecksumError;

    fn from_str(text: &str) -> Result<Self, ChecksumError> {
        Self::from_hex(text)
    }
}

impl From<[u8; Checksum::LEN]> for Checksum {
    fn from(bytes: [u8; Checksum::LEN]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Checksum {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Checksum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            self.with_hex(|text| serializer.serialize_str(text))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(HexVisitor)
        } else {
            deserializer.deserialize_bytes(BytesVisitor)
        }
    }
}

struct HexVisitor;

impl de::Visitor<'_> for HexVisitor {
    type Value = Checksum;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("128 lowercase hex digits")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Checksum, E> {
        Checksum::from_hex(text).map_err(E::custom)
    }
}

struct BytesVisitor;

impl<'de> de::Visitor<'de> for BytesVisitor {
    type Value = Checksum;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("64 bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Checksum, E> {
        Checksum::from_slice(bytes).map_err(E::custom)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Checksum, A::Error> {
        let mut bytes = [0; Checksum::LEN];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let next = seq.next_element()?;
            *byte = next.ok_or_else(|| de::Error::invalid_length(index, &self))?;
        }
        match seq.next_element::<u8>()? {
            None => Ok(Checksum(bytes)),
            Some(_) => Err(de::Error::invalid_length(Checksum::LEN + 1, &self)),
        }
    }
}

/// Length of the text form in digits.
const HEX_LEN: usize = 2 * Checksum::LEN;

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;
    use serde::de::value::{BytesDeserializer, Error as ValueError, SeqDeserializer};

    use super::*;

    fn numbered() -> Checksum {
        Checksum::from_bytes(core::array::from_fn(|i| i as u8 + 0xa0))
    }

    #[test]
    fn hex_text_is_128_lowercase_digits_in_every_form() {
        let hex = numbered().to_hex();
        assert_eq!(hex.len(), 128);
        assert!(hex.starts_with("a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"));
        assert_eq!(format!("{}", numbered()), hex);
        assert_eq!(format!("{:?}", numbered()), hex);
        assert_eq!(serde_json::to_string(&numbered()).unwrap(), format!("\"{hex}\""));
    }

    #[test]
    fn text_of_another_length_or_case_is_refused_with_the_rule() {
        let hex = numbered().to_hex();
        let refused = |text: &str| text.parse::<Checksum>().unwrap_err();
        assert_eq!(refused(""), ChecksumError::HexLength { actual: 0 });
        assert_eq!(refused(&hex[1..]), ChecksumError::HexLength { actual: 127 });
        assert_eq!(refused(&format!("{hex}0")), ChecksumError::HexLength { actual: 129 });
        assert_eq!(refused(&hex.to_uppercase()), ChecksumError::HexDigit { position: 0 });
        let spaced = format!("{} {}", &hex[..77], &hex[78..]);
        assert_eq!(refused(&spaced), ChecksumError::HexDigit { position: 77 });
        let not_ascii = format!("{}\u{e9}", &hex[..126]);
        assert_eq!(refused(&not_ascii), ChecksumError::HexDigit { position: 126 });
        for text in ["", &hex.to_uppercase()] {
            assert!(refused(text).to_string().contains("exactly 128 lowercase hex digits"));
        }
    }

    #[test]
    fn slices_of_another_length_are_refused() {
        assert_eq!(Checksum::from_slice(numbered().as_ref()), Ok(numbered()));
        for len in [0, 63, 65, 128] {
            let refused = Checksum::from_slice(&vec![0; len]);
            assert_eq!(refused, Err(ChecksumError::ByteLength { actual: len }));
        }
    }

    #[test]
    fn json_takes_hex_text_and_nothing_else() {
        let json = serde_json::to_string(&numbered()).unwrap();
        assert_eq!(serde_json::from_str::<Checksum>(&json).unwrap(), numbered());
        for wrong in ["7", "null", "[1,2]", "\"00\"", &json.to_uppercase()] {
            let message = serde_json::from_str::<Checksum>(wrong).unwrap_err().to_string();
            assert!(message.contains("128 lowercase hex digits"), "{wrong}: {message}");
        }
    }

    #[test]
    fn binary_formats_take_64_bytes_or_a_sequence_of_64() {
        let bytes = *numbered().as_bytes();
        // serde's value deserializers call themselves human-readable, so the visitor is driven
        // directly.
        let from_bytes = |bytes: &[u8]| BytesDeserializer::<ValueError>::new(bytes).deserialize_bytes(BytesVisitor);
        assert_eq!(from_bytes(&bytes), Ok(numbered()));
        assert!(from_bytes(&bytes[1..]).is_err());
        let from_seq = |bytes: Vec<u8>| {
            let seq = SeqDeserializer::<_, ValueError>::new(bytes.into_iter());
            seq.deserialize_bytes(BytesVisitor)
        };
        assert_eq!(from_seq(bytes.to_vec()), Ok(numbered()));
        assert!(from_seq(vec![0; 63]).is_err());
        assert!(from_seq(vec![0; 65]).is_err());
    }

    quickcheck! {
        fn a_single_flipped_bit_makes_checksums_unequal_and_orders_them_like_their_text(bit: u16) -> bool {
            let mut bytes = *numbered().as_bytes();
            let bit = usize::from(bit) % 512;
            bytes[bit / 8] ^= 1 << (bit % 8);
            let other = Checksum::from_bytes(bytes);
            other != numbered()
                && numbered() == Checksum::from_bytes(*numbered().as_bytes())
                && other.cmp(&numbered()) == other.to_hex().cmp(&numbered().to_hex())
        }

        fn hex_and_back_is_the_identity(seed: Vec<u8>) -> bool {
            let sum = crate::hash::sha3_512(&seed);
            Checksum::from_hex(&sum.to_hex()) == Ok(sum)
        }
    }
}
