//! The tables of the [schema](crate::store::schema), as redb has them.

use redb::{Key, ReadOnlyTable, ReadTransaction, TableDefinition, TableError, Value};

use crate::protocol::{ClientDigest, TreeHandle, WorkId};
use crate::store::error::StoreError;
use crate::store::key::TableKey;
use crate::store::rows::DebitKey;
use crate::store::schema::{ADDED, TokenKey};
use crate::store::table::{Blob, Steps, Table};

use super::errors::of_table;

/// A table as redb has it.
pub(in crate::store) trait InRedb: Table {
    /// The type of its keys.
    type Keys: Key + 'static;
    /// The type of its values.
    type Values: Value + 'static;

    /// Name and types.
    const DEFINITION: TableDefinition<'static, Self::Keys, Self::Values>;
}

impl<T: Table<Key: RedbKey, Stored: RedbValue>> InRedb for T {
    type Keys = <T::Key as RedbKey>::Form;
    type Values = <T::Stored as RedbValue>::Form;

    const DEFINITION: TableDefinition<'static, Self::Keys, Self::Values> = TableDefinition::new(T::NAME);
}

/// A key as redb has it: one of its native types.
pub(in crate::store) trait RedbKey: TableKey {
    /// That type.
    type Form: Key + 'static;

    /// The key, to be looked up.
    fn form(&self) -> <Self::Form as Value>::SelfType<'_>;

    /// A key that was found.
    fn owned(found: <Self::Form as Value>::SelfType<'_>) -> Self::Owned;
}

impl RedbKey for str {
    type Form = &'static str;

    fn form(&self) -> &str {
        self
    }

    fn owned(found: &str) -> String {
        found.to_owned()
    }
}

macro_rules! native_keys {
    ($($key:ty),+) => { $(
        impl RedbKey for $key {
            type Form = Self;

            fn form(&self) -> Self {
                *self
            }

            fn owned(found: Self) -> Self {
                found
            }
        }
    )+ };
}
native_keys!(u64, (u64, u64), (u8, u64), (u64, u32), (u64, u8, u64));

macro_rules! id_keys {
    ($($key:ty),+) => { $(
        impl RedbKey for $key {
            type Form = [u8; 16];

            fn form(&self) -> [u8; 16] {
                *self.as_bytes()
            }

            fn owned(found: [u8; 16]) -> Self {
                Self::from_bytes(found)
            }
        }
    )+ };
}
id_keys!(WorkId, TreeHandle, ClientDigest, DebitKey);

impl RedbKey for TokenKey {
    type Form = (u64, [u8; 16]);

    fn form(&self) -> (u64, [u8; 16]) {
        (self.0, *self.1.as_bytes())
    }

    fn owned((expiry_ms, id): (u64, [u8; 16])) -> Self {
        (expiry_ms, WorkId::from_bytes(id))
    }
}

/// How a row is stored, as redb has it.
pub(in crate::store) trait RedbValue {
    /// The type of the values.
    type Form: Value + 'static;
}

impl RedbValue for Blob {
    type Form = &'static [u8];
}

macro_rules! native_values {
    ($($row:ty),+) => { $(
        impl RedbValue for $row {
            type Form = Self;
        }
    )+ };
}
native_values!(u64, (), Steps);

/// A table; `None` if the store lacks it because it was added after the first build.
///
/// # Errors
/// [`StoreError::Corrupted`] if it is missing and was never added; as for any other read.
pub(in crate::store) fn known<K: Key + 'static, V: Value + 'static>(
    txn: &ReadTransaction,
    definition: TableDefinition<'static, K, V>,
) -> Result<Option<ReadOnlyTable<K, V>>, StoreError> {
    match txn.open_table(definition) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(name)) if ADDED.contains(&&*name) => Ok(None),
        Err(error) => Err(of_table(error)),
    }
}
