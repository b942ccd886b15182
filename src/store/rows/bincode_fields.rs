//! How the public types inside rows are written with bincode. The rows implement its traits, the
//! public types only the [`Field`] of this file, so that bincode is no part of the interface.
//!
//! The bytes are those of bincode's derives: fields in order, and a variant as its number.

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{AllowedEnumVariants, DecodeError, EncodeError};
use bincode::{Decode, Encode};

use super::{
    ClaimRow, CopyRow, DataPlace, Exposure, HashWork, Head, QuorumRow, StoreId, StoreTotals, Strategy, StrategyAccount,
    Submitter, TreeRow, TreeState, UsefulnessAccount, VoteRow,
};
use crate::hash::Checksum;
use crate::protocol::{ClientDigest, TreeHandle, WorkId};

/// `meta-0` under `account`: totals of offloaded work, by strategy. No row: no counts yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccountRow(pub UsefulnessAccount);

/// A part of a row.
trait Field: Sized {
    fn put<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError>;
    fn take<D: Decoder>(from: &mut D) -> Result<Self, DecodeError>;
}

macro_rules! plain {
    ($($name:ty),+) => {
        $(
            impl Field for $name {
                fn put<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError> {
                    self.encode(to)
                }

                fn take<D: Decoder>(from: &mut D) -> Result<Self, DecodeError> {
                    Self::decode(from)
                }
            }
        )+
    };
}

plain!(u8, u32, u64, String, [u8; 16], [u8; 32], [u8; 64]);

impl<T: Field + Copy + Default> Field for [T; 5] {
    fn put<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError> {
        self.iter().try_for_each(|part| part.put(to))
    }

    fn take<D: Decoder>(from: &mut D) -> Result<Self, DecodeError> {
        let mut parts = [T::default(); 5];
        for part in &mut parts {
            *part = T::take(from)?;
        }
        Ok(parts)
    }
}

/// Ids and hashes are their bytes.
macro_rules! of_bytes {
    ($($name:ty),+) => {
        $(
            impl Field for $name {
                fn put<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError> {
                    self.as_bytes().put(to)
                }

                fn take<D: Decoder>(from: &mut D) -> Result<Self, DecodeError> {
                    Field::take(from).map(Self::from_bytes)
                }
            }
        )+
    };
}

of_bytes!(WorkId, TreeHandle, ClientDigest, StoreId, Checksum);

impl<A: Field, B: Field> Field for (A, B) {
    fn put<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError> {
        self.0.put(to)?;
        self.1.put(to)
    }

    fn take<D: Decoder>(from: &mut D) -> Result<Self, DecodeError> {
        Ok((A::take(from)?, B::take(from)?))
    }
}

/// As bincode has it: the length, then the items. What they take in memory counts against the
/// limit before there is room for them.
impl<T: Field> Field for Vec<T> {
    fn put<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError> {
        (self.len() as u64).put(to)?;
        self.iter().try_for_each(|item| item.put(to))
    }

    fn take<D: Decoder>(from: &mut D) -> Result<Self, DecodeError> {
        let len = u64::take(from)?;
        let len = usize::try_from(len).map_err(|_| DecodeError::OutsideUsizeRange(len))?;
        from.claim_container_read::<T>(len)?;
        let mut items = Self::with_capacity(len);
        for _ in 0..len {
            from.unclaim_bytes_read(size_of::<T>());
            items.push(T::take(from)?);
        }
        Ok(items)
    }
}

/// Fields in the order of their bytes.
macro_rules! fields {
    ($name:ident { $($field:ident),+ $(,)? }) => {
        impl Field for $name {
            fn put<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError> {
                $(self.$field.put(to)?;)+
                Ok(())
            }

            fn take<D: Decoder>(from: &mut D) -> Result<Self, DecodeError> {
                Ok(Self { $($field: Field::take(from)?),+ })
            }
        }
    };
}

/// Variants in the order of their numbers, each with its parameter if it has one.
macro_rules! variants {
    ($name:ident { $($number:literal => $variant:ident $({ $field:ident })?),+ $(,)? }) => {
        impl Field for $name {
            fn put<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError> {
                match self {
                    $(Self::$variant $({ $field })? => {
                        u32::encode(&$number, to)?;
                        $($field.put(to)?;)?
                    })+
                }
                Ok(())
            }

            fn take<D: Decoder>(from: &mut D) -> Result<Self, DecodeError> {
                match u32::decode(from)? {
                    $($number => Ok(Self::$variant $({ $field: Field::take(from)? })?),)+
                    found => Err(DecodeError::UnexpectedVariant {
                        type_name: stringify!($name),
                        allowed: &AllowedEnumVariants::Allowed(&[$($number),+]),
                        found,
                    }),
                }
            }
        }
    };
}

/// A row by itself.
macro_rules! row {
    ($($name:ty),+) => {
        $(
            impl Encode for $name {
                fn encode<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError> {
                    self.put(to)
                }
            }

            impl<C> Decode<C> for $name {
                fn decode<D: Decoder<Context = C>>(from: &mut D) -> Result<Self, DecodeError> {
                    Self::take(from)
                }
            }
        )+
    };
}

row!(TreeRow, Head, CopyRow, AccountRow, ClaimRow, QuorumRow);

impl Field for AccountRow {
    fn put<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError> {
        self.0.put(to)
    }

    fn take<D: Decoder>(from: &mut D) -> Result<Self, DecodeError> {
        UsefulnessAccount::take(from).map(Self)
    }
}

fields!(TreeRow {
    name,
    handle,
    leaves,
    block_len,
    total_bytes,
    send_cap,
    data,
    strategy,
    exposure,
    state,
    done,
    interior_done,
    order,
    root,
    groups,
});

fields!(Head {
    commit_seq,
    clock_ms,
    next_tree,
    next_order,
    next_ledger,
    checkpoint,
    anchor,
    anchor_digest,
    last_digest,
    totals,
});

fields!(Submitter { client, network, seq, data_digest });
fields!(ClaimRow { order, submitters });
fields!(VoteRow { id, expires_ms, client, network, tier, nodes, award, at_ms, strikes, data_digest, leaves });
fields!(QuorumRow { order, since_ms, refereed, votes });

fields!(CopyRow { store, boot, commit_seq, at_ms });

fields!(StoreTotals {
    trees,
    complete,
    pending,
    units,
    leaves,
    nodes,
    interior,
    synthetic,
    awarded,
    debited,
    refused,
    oversized,
    sealed_awarded,
    sealed_debited,
    sealed_leaves,
});

fields!(UsefulnessAccount { by });
fields!(StrategyAccount { accepted, server, asked, sent_units, sent_bytes });
fields!(HashWork { hashes, bytes, permutations });

variants!(TreeState {
    0 => Ingesting, 1 => Active, 2 => Folding, 3 => Assembling, 4 => Complete, 5 => Inconsistent,
});
variants!(Exposure { 0 => Public, 1 => Ciphertext });
variants!(DataPlace { 0 => Copied, 1 => Referenced, 2 => Dropped });
variants!(Strategy { 0 => Precomputed, 1 => KnownAddress, 2 => SampledAudit { k }, 3 => Redundant { quorum } });
