//! Ids that only the store has. Those of challenges, trees and clients are the protocol's.

use crate::protocol::WorkId;

/// The id of a store, drawn when it is created: the same in both files, and in every challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreId([u8; 16]);

/// The key under which the host makes a debit once, however often it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DebitKey([u8; 16]);

macro_rules! of_bytes {
    ($($id:ty),+) => { $(
        impl $id {
            /// Makes it from its sixteen bytes, without any check.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// Returns the sixteen bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }
    )+ };
}
of_bytes!(StoreId, DebitKey);

impl DebitKey {
    /// The id of the ledger entry of this debit.
    pub const fn entry_id(self) -> WorkId {
        WorkId::from_bytes(self.0)
    }

    /// The key of the debit whose ledger entry has this id.
    pub const fn of_entry(id: WorkId) -> Self {
        Self(*id.as_bytes())
    }
}
