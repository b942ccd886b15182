//! Everything that is read of one state of the store: the list of it, and what each read returns.

use std::collections::BTreeSet;

use crate::hash::Checksum;
use crate::merkle::AlignedRange;
use crate::protocol::{ClientDigest, TreeHandle, WorkId};
use crate::store::error::StoreError;
use crate::store::port::{Snapshot, View};
use crate::store::rows::{
    ClaimRow, ClientRow, GroupRow, Head, LedgerRow, LengthRow, ProvenanceRow, QuorumRow, ScrubRow, TileRow, TreeRow,
};
use crate::store::schema::{RangeKey, TokenKey, TreeNumber};

use super::claims::QuorumsPage;
use super::clients::StandingsPage;
use super::due::OldRows;
use super::ledger::LedgerEntry;
use super::trees::{NextTree, TreeEntry};
use super::{claims, clients, due, head, ledger, leftover, queue, seek, trees};

macro_rules! reads {
    (
        rows { $($(#[$of_rows:meta])* fn $row:ident($($key:ident: $key_type:ty),*) -> $found:ty = $by:path;)+ }
        pages { $($(#[$of_pages:meta])* fn $page:ident($($from:ident: $from_type:ty),*) -> $next:ty = $via:path;)+ }
    ) => {
        /// One state of the store, after some whole batch. Keep it for milliseconds: what is
        /// written meanwhile takes room of its own.
        pub trait Reader {
            $(
                $(#[$of_rows])*
                ///
                /// # Errors
                /// [`StoreError`] if the storage fails or a row is damaged.
                fn $row(&self, $($key: $key_type),*) -> Result<$found, StoreError>;
            )+
            $(
                $(#[$of_pages])*
                ///
                /// # Errors
                /// [`StoreError`] if the storage fails.
                fn $page(&self, $($from: $from_type),*) -> Result<$next, StoreError>;
            )+
        }

        impl<S: Snapshot<View: View>> Reader for S {
            $(fn $row(&self, $($key: $key_type),*) -> Result<$found, StoreError> {
                self.look(|rows| $by(rows, $($key),*))
            })+
            $(fn $page(&self, $($from: $from_type),*) -> Result<$next, StoreError> {
                $via(self, $($from),*)
            })+
        }
    };
}

reads! {
    rows {
        /// The counters and sums of the store.
        fn head() -> Head = head::head;
        /// How far scrubbing was when that was last written.
        fn scrub() -> Option<ScrubRow> = head::scrub;

        /// A tree's row.
        fn tree(tree: TreeNumber) -> Option<TreeRow> = trees::tree;
        /// The tree of a name.
        fn tree_named(name: &str) -> Option<TreeEntry> = trees::tree_named;
        /// The tree of a public handle.
        fn tree_of_handle(handle: TreeHandle) -> Option<TreeEntry> = trees::tree_of_handle;
        /// Up to `limit` trees behind `after`, by number.
        fn trees(after: Option<TreeNumber>, limit: usize) -> Vec<TreeEntry> = trees::trees;
        /// The first tree from number `from` on, whether its row decodes or not.
        fn next_tree(from: TreeNumber) -> Option<NextTree> = trees::next_tree;
        /// Those of `trees`, which are in order, that a name or a handle leads to. One walk over
        /// both tables.
        fn named(trees: &[TreeNumber]) -> BTreeSet<TreeNumber> = trees::named;
        /// Up to `limit` trees from `from` on that have rows of hashes, lengths, leaf states or
        /// interior nodes, and neither a row of their own nor a note that they are being removed.
        fn ownerless(from: TreeNumber, limit: usize) -> Vec<TreeNumber> = leftover::ownerless;

        /// One group of leaf hashes.
        fn group(tree: TreeNumber, group: u64) -> GroupRow = trees::group;
        /// Up to `limit` groups from `first` on; all of them must be there.
        fn groups(tree: TreeNumber, first: u64, limit: usize) -> Vec<GroupRow> = trees::groups;
        /// Offset and lengths of a group, for trees of mixed lengths.
        fn lengths(tree: TreeNumber, group: u64) -> LengthRow = trees::lengths;
        /// Whether the first group of a tree has a row of offset and lengths.
        fn has_lengths(tree: TreeNumber) -> bool = trees::has_lengths;
        /// An interior node accepted from a client.
        fn interior(tree: TreeNumber, level: u8, index: u64) -> Option<Checksum> = trees::interior;

        /// The state of one tile.
        fn tile(tree: TreeNumber, tile: u64) -> TileRow = trees::tile;
        /// The states of `count` tiles from `first` on.
        fn tiles(tree: TreeNumber, first: u64, count: usize) -> Vec<TileRow> = trees::tiles;
        /// Whether all leaves of `range` are pending.
        fn range_pending(tree: TreeNumber, range: &AlignedRange) -> bool = trees::range_pending;
        /// The number of leaves of a tree in each state.
        fn provenance(tree: TreeNumber) -> ProvenanceRow = trees::provenance;
        /// The same, counted by the states of the leaves if the row of the counts is damaged.
        fn provenance_or_counted(tree: TreeNumber) -> ProvenanceRow = trees::provenance_or_counted;

        /// Up to `limit` queue rows of one priority with an order above `after`: (order, tree).
        fn ready(priority: u8, after: Option<u64>, limit: usize) -> Vec<(u64, TreeNumber)> = queue::ready;
        /// Rows in the queue.
        fn ready_len() -> u64 = queue::ready_len;
        /// Up to `limit` trees with a chore of `kind`, with a number above `after`.
        fn chores(kind: u8, after: Option<TreeNumber>, limit: usize) -> Vec<TreeNumber> = queue::chores;
        /// Whether a tree has a chore of this kind.
        fn has_chore(kind: u8, tree: TreeNumber) -> bool = queue::has_chore;
        /// An error if a chore is not one that its tree needs.
        fn check_chore(kind: u8, tree: TreeNumber) -> () = queue::check_chore;

        /// One ledger entry; `None` if it was sealed or never written.
        fn ledger_entry(seq: u64) -> Option<LedgerRow> = ledger::ledger_entry;
        /// Up to `limit` ledger entries from `from` on.
        fn ledger(from: u64, limit: usize) -> Vec<LedgerEntry> = ledger::ledger;
        /// The ledger sequence number under which a token was consumed. A token with a receipt was,
        /// also if its own row is lost.
        fn consumed(expires_ms: u64, id: WorkId) -> Option<u64> = ledger::consumed;
        /// The ledger entry of an accepted challenge.
        fn receipt(id: WorkId) -> Option<LedgerEntry> = ledger::receipt;

        /// The stored row of a client.
        fn client(client: ClientDigest) -> Option<ClientRow> = clients::client;
        /// Up to `limit` clients behind `after` and where they stand, in the order of their keys. A
        /// row that does not decode is an error of its own.
        fn standings(after: Option<ClientDigest>, limit: usize) -> StandingsPage = clients::standings;
        /// Up to `limit` clients caught in a lie whose earlier answers have not all been doubted
        /// yet.
        fn suspects(limit: usize) -> Vec<ClientDigest> = clients::suspects;

        /// The votes on the range that starts at this leaf.
        fn quorum(tree: TreeNumber, start: u64) -> Option<QuorumRow> = claims::quorum;
        /// The votes on ranges of one tile, by their first leaves.
        fn quorums_of_tile(tree: TreeNumber, tile: u64) -> Vec<(u64, QuorumRow)> = claims::quorums_of_tile;
        /// Up to `limit` ranges with votes behind `after`, of all trees.
        fn quorums(after: Option<RangeKey>, limit: usize) -> QuorumsPage = claims::quorums;
        /// Up to `limit` claims on leaves of a tree, from the leaf `from` on.
        fn claims(tree: TreeNumber, from: u64, limit: usize) -> Vec<(u64, ClaimRow)> = claims::claims;
        /// Up to `limit` tiles with doubted leaves, behind `after`.
        fn doubted(after: Option<RangeKey>, limit: usize) -> Vec<RangeKey> = claims::doubted;
        /// Up to `limit` damaged leaves behind `after`.
        fn damaged(after: Option<RangeKey>, limit: usize) -> Vec<RangeKey> = claims::damaged;
    }
    pages {
        /// The first number behind `from` from which on the rows of trees can be read; `None` if
        /// there is none.
        fn next_readable_tree(from: TreeNumber) -> Option<TreeNumber> = seek::next_readable_tree;
        /// The rows behind `after` that `Command::PruneConsumed` with the same values would remove.
        /// A page of these that cannot be read is no error.
        fn old_tokens(after: TokenKey, before_ms: u64, limit: usize) -> OldRows = due::old_tokens;
        /// The key behind which used tokens can be removed again, after a page behind `after` that
        /// cannot be read; `None` if there is no such key yet among those that expired before
        /// `before_ms`.
        fn tokens_behind(after: TokenKey, before_ms: u64) -> Option<TokenKey> = due::tokens_behind;
        /// The ledger entries from `anchor` on that `Command::SealLedger` with the same `limit`
        /// would remove. Numbers without an entry count too. A page of these that cannot be read is
        /// no error.
        fn old_entries(anchor: u64, limit: usize) -> OldRows = due::old_entries;
        /// The key behind which client rows can be removed again, after a page behind `after` that
        /// cannot be read; `None` if there is none.
        fn clients_behind(after: ClientDigest) -> Option<ClientDigest> = due::clients_behind;
    }
}
