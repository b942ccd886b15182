//! Reads over the port, each in pages of bounded size: of a state of the store ([`Reader`]), of
//! block data, and the walk through all rows.

mod claims;
mod clients;
pub(super) mod due;
mod head;
mod ledger;
pub(super) mod leftover;
mod queue;
mod reader;
mod row_checks;
mod seek;
pub(super) mod sums;
mod trees;
pub(super) mod verify;

pub use claims::QuorumsPage;
pub use clients::StandingsPage;
pub use due::{ClientStretch, OldRows};
pub use ledger::LedgerEntry;
pub use leftover::Leftovers;
pub use reader::Reader;
pub use sums::{LeafSum, StoredLeaves};
pub use trees::{NextTree, TreeEntry};
pub use verify::{LOOK_COST, ROW_COST, RowCursor, RowFinding, RowsVerified};
