//! How rows and the public types inside them are written with bincode. The rows implement its
//! traits, the public types only the [`Field`] of this file, so that bincode is no part of the
//! interface. Each type says next to it which fields it has, in the order of their bytes.
//!
//! The bytes are those of bincode's derives: fields in order, and a variant as its number.

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};

use super::StoreId;
use crate::hash::Checksum;
use crate::protocol::{ClientDigest, TreeHandle, WorkId};

/// A part of a row.
pub(super) trait Field: Sized {
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
    ($name:ident { $($field:tt),+ $(,)? }) => {
        impl $crate::store::rows::codec::Field for $name {
            fn put<E: bincode::enc::Encoder>(&self, to: &mut E) -> Result<(), bincode::error::EncodeError> {
                $($crate::store::rows::codec::Field::put(&self.$field, to)?;)+
                Ok(())
            }

            fn take<D: bincode::de::Decoder>(from: &mut D) -> Result<Self, bincode::error::DecodeError> {
                Ok(Self { $($field: $crate::store::rows::codec::Field::take(from)?),+ })
            }
        }
    };
}

/// Variants in the order of their numbers, each with its parameter if it has one.
macro_rules! variants {
    ($name:ident { $($number:literal => $variant:ident $({ $field:ident })?),+ $(,)? }) => {
        impl $crate::store::rows::codec::Field for $name {
            fn put<E: bincode::enc::Encoder>(&self, to: &mut E) -> Result<(), bincode::error::EncodeError> {
                match self {
                    $(Self::$variant $({ $field })? => {
                        bincode::Encode::encode(&($number as u32), to)?;
                        $($crate::store::rows::codec::Field::put($field, to)?;)?
                    })+
                }
                Ok(())
            }

            fn take<D: bincode::de::Decoder>(from: &mut D) -> Result<Self, bincode::error::DecodeError> {
                match <u32 as bincode::Decode<_>>::decode(from)? {
                    $($number => Ok(Self::$variant $({ $field: $crate::store::rows::codec::Field::take(from)? })?),)+
                    found => Err(bincode::error::DecodeError::UnexpectedVariant {
                        type_name: stringify!($name),
                        allowed: &bincode::error::AllowedEnumVariants::Allowed(&[$($number),+]),
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
            impl bincode::Encode for $name {
                fn encode<E: bincode::enc::Encoder>(&self, to: &mut E) -> Result<(), bincode::error::EncodeError> {
                    $crate::store::rows::codec::Field::put(self, to)
                }
            }

            impl<C> bincode::Decode<C> for $name {
                fn decode<D: bincode::de::Decoder<Context = C>>(from: &mut D) -> Result<Self, bincode::error::DecodeError> {
                    $crate::store::rows::codec::Field::take(from)
                }
            }
        )+
    };
}

pub(super) use {fields, row, variants};
