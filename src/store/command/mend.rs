//! Commands that mend rows.

use crate::hash::Checksum;
use crate::protocol::{TreeHandle, WorkId};
use crate::store::rows::{DebitKey, StoreTotals};
use crate::store::schema::TreeNumber;

/// A change of rows that are damaged, or that nothing refers to.
#[derive(Debug, Clone)]
pub enum Mend {
    /// Note that the rows of a tree are to be removed which has no row of its own; its number was
    /// given before. The caller has seen to it that it has no name and no handle either.
    Removal(TreeNumber),
    /// Set the totals of the head, to fit the rows.
    Totals(StoreTotals),
    /// Remove receipts and debit keys of sealed ledger entries.
    Pointers {
        /// Ids of challenges.
        receipts: Vec<WorkId>,
        /// Keys of debits.
        debits: Vec<DebitKey>,
    },
    /// Count the leaves of a tree by their states again, where the counts are damaged or do not
    /// fit.
    Recount(TreeNumber),
    /// Write and remove rows that follow from others, as those say.
    Derived(Vec<Derived>),
    /// Write the hashes of a group again whose row is damaged.
    Group(Regroup),
}

/// A row that follows from others, as it should be: what it leads to, or whether it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Derived {
    /// The tree of a name.
    Name(String, Option<TreeNumber>),
    /// The tree of a handle.
    Handle(TreeHandle, Option<TreeNumber>),
    /// The tree at a place in the queue: priority, order.
    Place((u8, u64), Option<TreeNumber>),
    /// A chore: kind, tree.
    Chore((u8, u64), bool),
    /// A damaged leaf: tree, leaf.
    Damaged((u64, u64), bool),
    /// A tile with doubted leaves: tree, tile.
    Doubted((u64, u64), bool),
    /// The ledger entry of a challenge.
    Receipt(WorkId, Option<u64>),
    /// The ledger entry of a debit.
    Debit(DebitKey, Option<u64>),
}

/// The hashes of a group whose row is missing or does not decode, as the server has computed them
/// from the content that came in. Done leaves that were known from clients only become verified. A
/// row that decodes is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regroup {
    /// The tree, which must not be `Ingesting`.
    pub tree: TreeNumber,
    /// The group.
    pub group: u64,
    /// A hash for each of its leaves; zero for those that are not done, where clients bring the
    /// hashes.
    pub leaves: Vec<Checksum>,
    /// The content that came in folds to the root of the tree. A tree whose data was released is
    /// not folded again, so its hashes are written only if this holds.
    pub rooted: bool,
}
