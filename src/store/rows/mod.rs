//! Row formats of the tables, byte for byte.
//!
//! Hot rows of fixed size are plain little-endian bytes. Variable rows are bincode 2 inside an
//! envelope of one version byte, decoded with a size limit. Both end with a checksum, bound to
//! table and key, which is compared whenever a row is decoded; rows of older stores have none.
//! Golden-byte tests pin every row, so the codec can be replaced without a change of format. A row
//! that does not decode is reported as [`RowError`] with the table and the reason; nothing here
//! panics on any input.

mod account;
mod client;
mod codec;
mod error;
mod head;
mod id;
mod leaves;
mod ledger;
mod meta;
mod scrub;
mod sealed;
mod standing;
mod strategy;
mod summed;
mod sums;
mod tree;
mod trust;
mod words;

pub use account::{AccountRow, HashReason, HashWork, StrategyAccount, UsefulnessAccount};
pub use client::ClientRow;
pub use error::RowError;
pub(super) use error::damaged;
pub use head::{CopyRow, Head, StoreTotals};
pub use id::{DebitKey, StoreId};
pub use leaves::{GroupRow, LeafState, LengthRow, TileRow};
pub use ledger::{EntryKind, LedgerRow};
pub(super) use meta::MetaRow;
pub use scrub::{ScrubPlace, ScrubRow};
pub(super) use sealed::{check_sealed, is_older_sealed};
pub use sealed::{seal, unseal};
pub use standing::StandingRow;
pub(crate) use strategy::HashesFrom;
pub use strategy::{Strategy, UnknownStrategy};
pub(super) use summed::is_older;
pub use summed::{NodeRow, RowKey, encode_meta, meta_bytes};
pub use sums::{SumRow, leaf_sum};
pub use tree::{DataPlace, Exposure, SourceRow, TreeRow, TreeState};
pub use trust::{ClaimRow, ProvenanceRow, QuorumRow, Submitter, VoteRow, range_end};
pub(crate) use words::written_as_str;
