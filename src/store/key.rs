//! The keys of the tables: their stored bytes, and the order these have.

use super::rows::DebitKey;
use crate::protocol::{ClientDigest, TreeHandle, WorkId};

/// A key of a table.
pub(super) trait TableKey: Ord + ToOwned<Owned: Ord + Clone> {
    /// Lengths of the parts of its ordered bytes; empty if keys have no fixed length.
    const PARTS: &'static [KeyPart];

    /// The key with these stored bytes: its numbers with the lowest byte first.
    fn from_stored(bytes: &[u8]) -> Option<Self::Owned>;

    /// Its stored bytes.
    fn to_stored(&self) -> Vec<u8>;

    /// The key, to be read by people: numbers or text, and ids in hexadecimal digits.
    fn text(&self) -> String;
}

/// A part of the stored bytes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyPart {
    /// Its bytes.
    pub(super) len: usize,
    /// It is a number, with the lowest byte first; else bytes in their order.
    pub(super) number: bool,
}

impl TableKey for str {
    const PARTS: &'static [KeyPart] = &[];

    fn from_stored(bytes: &[u8]) -> Option<String> {
        String::from_utf8(bytes.to_vec()).ok()
    }

    fn to_stored(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn text(&self) -> String {
        format!("{self:?}")
    }
}

/// A part of a key.
trait Part: Sized {
    const PART: KeyPart;
    fn split(bytes: &[u8]) -> Option<(Self, &[u8])>;
    fn join(&self, to: &mut Vec<u8>);
    fn shown(&self) -> String;
}

macro_rules! number_part {
    ($($number:ty),+) => { $(
        impl Part for $number {
            const PART: KeyPart = KeyPart { len: size_of::<$number>(), number: true };

            fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
                bytes.split_first_chunk().map(|(part, rest)| (<$number>::from_le_bytes(*part), rest))
            }

            fn join(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.to_le_bytes());
            }

            fn shown(&self) -> String {
                self.to_string()
            }
        }
    )+ };
}
number_part!(u8, u32, u64);

macro_rules! id_part {
    ($($id:ty),+) => { $(
        impl Part for $id {
            const PART: KeyPart = KeyPart { len: 16, number: false };

            fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
                bytes.split_first_chunk().map(|(part, rest)| (Self::from_bytes(*part), rest))
            }

            fn join(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(self.as_bytes());
            }

            fn shown(&self) -> String {
                data_encoding::HEXLOWER.encode(self.as_bytes())
            }
        }
    )+ };
}
id_part!(WorkId, TreeHandle, ClientDigest, DebitKey);

macro_rules! key {
    ($($name:ident: $part:ty),+ => $key:ty = $all:tt) => {
        impl TableKey for $key {
            const PARTS: &'static [KeyPart] = &[$(<$part as Part>::PART),+];

            fn from_stored(bytes: &[u8]) -> Option<Self> {
                let rest = bytes;
                $(let ($name, rest) = <$part as Part>::split(rest)?;)+
                rest.is_empty().then_some($all)
            }

            fn to_stored(&self) -> Vec<u8> {
                let $all = *self;
                let mut out = Vec::with_capacity(Self::PARTS.iter().map(|part| part.len).sum());
                $($name.join(&mut out);)+
                out
            }

            fn text(&self) -> String {
                let $all = *self;
                let parts = [$($name.shown()),+];
                if let [only] = &parts[..] { only.clone() } else { format!("({})", parts.join(", ")) }
            }
        }
    };
}
key!(a: u64 => u64 = a);
key!(a: WorkId => WorkId = a);
key!(a: TreeHandle => TreeHandle = a);
key!(a: ClientDigest => ClientDigest = a);
key!(a: DebitKey => DebitKey = a);
key!(a: u64, b: u64 => (u64, u64) = (a, b));
key!(a: u8, b: u64 => (u8, u64) = (a, b));
key!(a: u64, b: u32 => (u64, u32) = (a, b));
key!(a: u64, b: WorkId => (u64, WorkId) = (a, b));
key!(a: u64, b: u8, c: u64 => (u64, u8, u64) = (a, b, c));

/// A key that begins with the number of a tree.
pub(super) trait TreeKey: TableKey<Owned = Self> + Sized {
    /// The first key of a tree.
    fn first_of(tree: u64) -> Self;

    /// The tree.
    fn tree(&self) -> u64;
}

impl TreeKey for u64 {
    fn first_of(tree: u64) -> Self {
        tree
    }

    fn tree(&self) -> u64 {
        *self
    }
}

macro_rules! tree_key {
    ($($key:ty: $($rest:literal),+;)+) => { $(
        impl TreeKey for $key {
            fn first_of(tree: u64) -> Self {
                (tree, $($rest),+)
            }

            fn tree(&self) -> u64 {
                self.0
            }
        }
    )+ };
}
tree_key! { (u64, u64): 0; (u64, u32): 0; (u64, u8, u64): 0, 0; }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_stored_bytes_and_only_from_these() {
        let key = (7_u64, 3_u8, u64::MAX - 1);
        let stored = key.to_stored();
        assert_eq!(stored.len(), 17);
        assert_eq!(<(u64, u8, u64)>::from_stored(&stored), Some(key));
        assert_eq!(<(u64, u8, u64)>::from_stored(&stored[1..]), None);
        assert_eq!(<(u64, u8, u64)>::from_stored(&[&stored[..], &[0]].concat()), None);
        assert_eq!(<str as TableKey>::from_stored("a name".to_stored().as_slice()), Some("a name".to_owned()));
        assert_eq!(<str as TableKey>::from_stored(&[0xff]), None);
    }

    #[test]
    fn ids_in_the_text_of_a_key_are_hexadecimal_digits() {
        let id = WorkId::from_bytes([0xab; 16]);
        assert_eq!((5_u64, id).text(), format!("(5, {})", "ab".repeat(16)));
        assert_eq!(id.text(), "ab".repeat(16));
        assert_eq!((9_u64.text(), (1_u8, 2_u64).text(), "n".text()), ("9".into(), "(1, 2)".into(), "\"n\"".into()));
    }
}
