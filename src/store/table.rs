//! What a table of the [schema](super::schema) is: a name, keys in their order, and rows that have
//! stored bytes.

use super::key::TableKey;
use super::rows::RowError;

/// A table of the schema.
pub(super) trait Table: Copy + 'static {
    /// Its name in the file.
    const NAME: &'static str;
    /// Its keys, in whose order rows are read.
    type Key: TableKey + ?Sized;
    /// Its rows.
    type Row;
    /// How a row is stored: [`Blob`], a number, a walk, or nothing.
    type Stored;
    /// The stored bytes of a row.
    type Bytes: AsRef<[u8]>;

    /// The stored bytes of the row with this key.
    fn encode(key: &Self::Key, row: &Self::Row) -> Result<Self::Bytes, RowError>;

    /// The row of this key.
    fn decode(key: &Self::Key, bytes: &[u8]) -> Result<Self::Row, RowError>;
}

/// A key that is kept.
pub(super) type Owned<T> = <<T as Table>::Key as ToOwned>::Owned;

/// A walk back along the ledger entries of a client: next entry, where it began, the entry at which
/// it ends, whether there is another walk behind it.
pub(super) type Steps = (u64, u64, u64, bool);

/// Plain bytes, as the file stores most rows.
#[derive(Clone, Copy)]
pub(super) struct Blob;

macro_rules! tables {
    ($($name:ident $text:literal: $key:ty => $row:ty, $codec:ident $([$bytes:ty])?;)+) => { $(
        #[doc = concat!("`", $text, "`")]
        #[derive(Clone, Copy)]
        pub(super) struct $name;

        impl $crate::store::table::Table for $name {
            const NAME: &'static str = $text;
            type Key = $key;
            type Row = $row;
            $crate::store::table::codec!($codec $([$bytes])?);
        }
    )+ };
}

/// How rows become bytes: `own` rows have methods for it (`pair`: which take a key of two
/// numbers apart), `sealed` ones are in an envelope, `bytes` and `plain` ones are what they are.
macro_rules! codec {
    (own [$bytes:ty]) => {
        type Stored = $crate::store::table::Blob;
        type Bytes = $bytes;

        fn encode(key: &Self::Key, row: &Self::Row) -> Result<Self::Bytes, $crate::store::rows::RowError> {
            Ok(row.encode(*key))
        }

        fn decode(key: &Self::Key, bytes: &[u8]) -> Result<Self::Row, $crate::store::rows::RowError> {
            <Self::Row>::decode(*key, bytes)
        }
    };
    (pair [$bytes:ty]) => {
        type Stored = $crate::store::table::Blob;
        type Bytes = $bytes;

        fn encode(key: &Self::Key, row: &Self::Row) -> Result<Self::Bytes, $crate::store::rows::RowError> {
            Ok(row.encode(key.0, key.1))
        }

        fn decode(key: &Self::Key, bytes: &[u8]) -> Result<Self::Row, $crate::store::rows::RowError> {
            <Self::Row>::decode(key.0, key.1, bytes)
        }
    };
    (sealed) => {
        type Stored = $crate::store::table::Blob;
        type Bytes = Vec<u8>;

        fn encode(key: &Self::Key, row: &Self::Row) -> Result<Self::Bytes, $crate::store::rows::RowError> {
            $crate::store::rows::seal(Self::NAME, *key, row)
        }

        fn decode(key: &Self::Key, bytes: &[u8]) -> Result<Self::Row, $crate::store::rows::RowError> {
            $crate::store::rows::unseal(Self::NAME, *key, bytes)
        }
    };
    (bytes) => {
        type Stored = $crate::store::table::Blob;
        type Bytes = Vec<u8>;

        fn encode(_: &Self::Key, row: &Self::Row) -> Result<Self::Bytes, $crate::store::rows::RowError> {
            Ok(row.clone())
        }

        fn decode(_: &Self::Key, bytes: &[u8]) -> Result<Self::Row, $crate::store::rows::RowError> {
            Ok(bytes.to_vec())
        }
    };
    (plain [$bytes:ty]) => {
        type Stored = Self::Row;
        type Bytes = $bytes;

        fn encode(_: &Self::Key, row: &Self::Row) -> Result<Self::Bytes, $crate::store::rows::RowError> {
            Ok($crate::store::table::Plain::to_plain(row))
        }

        fn decode(_: &Self::Key, bytes: &[u8]) -> Result<Self::Row, $crate::store::rows::RowError> {
            $crate::store::table::Plain::from_plain(bytes)
                .ok_or_else(|| $crate::store::rows::damaged(Self::NAME, format!("{} bytes", bytes.len())))
        }
    };
}
pub(super) use {codec, tables};

/// A row that has no format but its numbers.
pub(super) trait Plain: Sized {
    type Bytes;
    fn to_plain(&self) -> Self::Bytes;
    fn from_plain(bytes: &[u8]) -> Option<Self>;
}

impl Plain for u64 {
    type Bytes = [u8; 8];

    fn to_plain(&self) -> [u8; 8] {
        self.to_le_bytes()
    }

    fn from_plain(bytes: &[u8]) -> Option<Self> {
        Some(Self::from_le_bytes(bytes.try_into().ok()?))
    }
}

impl Plain for () {
    type Bytes = [u8; 0];

    fn to_plain(&self) -> [u8; 0] {
        []
    }

    fn from_plain(bytes: &[u8]) -> Option<Self> {
        bytes.is_empty().then_some(())
    }
}

impl Plain for Steps {
    type Bytes = [u8; 25];

    fn to_plain(&self) -> [u8; 25] {
        let mut out = [0; 25];
        for (place, number) in out.as_chunks_mut::<8>().0.iter_mut().zip([self.0, self.1, self.2]) {
            *place = number.to_le_bytes();
        }
        out[24] = self.3.into();
        out
    }

    fn from_plain(bytes: &[u8]) -> Option<Self> {
        let ([next, from, until], [again]) = bytes.as_chunks::<8>() else { return None };
        let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        Some((number(next), number(from), number(until), *again != 0))
    }
}
