//! The clients behind the leaves of a tree: states with their counts, hashes that clients bring,
//! claims, doubts.

use std::ops::ControlFlow;

use super::ledger::skip_row;
use super::settle::Taken;
use crate::hash::Checksum;
use crate::merkle::{AlignedRange, GROUP_LEAVES, GROUP_ORDER, Shape, TILE_LEAVES, fold};
use crate::protocol::ClientDigest;
use crate::store::command::Settle;
use crate::store::command::claims::Audited;
use crate::store::command::outcome::{Outcome, Refused};
use crate::store::error::StoreError;
use crate::store::port::Txn;
use crate::store::rows::{
    ClaimRow, DataPlace, EntryKind, HashReason, HashWork, LeafState, ProvenanceRow, Submitter, TileRow, TreeRow,
    range_end,
};
use crate::store::schema::{
    CHORE_DROP, Chores, Claims, Clients, Doubted, Followed, Hashes, NO_ENTRY, Provenance, Suspects, Tiles,
};

use super::batch::Batch;

impl<R: Txn> Batch<'_, R> {
    /// Changes the states of a tile; the counts of its tree follow. Returns the tile as it is now.
    pub(super) fn edit_tile(
        &mut self,
        tree: u64,
        tile: u64,
        edit: impl FnOnce(&mut TileRow),
    ) -> Result<TileRow, StoreError> {
        let key = (tree, tile);
        let before = self.tile(key)?;
        let mut row = before;
        edit(&mut row);
        let counted = |state: LeafState| !matches!(state, LeafState::Pending | LeafState::Verified);
        let changed: Vec<(LeafState, LeafState)> = (0..TILE_LEAVES)
            .map(|slot| (before.state(slot), row.state(slot)))
            .filter(|(from, to)| from != to && (counted(*from) || counted(*to)))
            .collect();
        // Read first: where it does not decode, nothing is written.
        let counts = if changed.is_empty() { None } else { Some(self.provenance(tree)?) };
        self.rows.put(Tiles, &key, &row)?;
        if let Some(mut provenance) = counts {
            for (from, to) in changed {
                if let Some(count) = provenance.count_mut(from) {
                    *count = count.saturating_sub(1);
                }
                if let Some(count) = provenance.count_mut(to) {
                    *count += 1;
                }
            }
            self.rows.put(Provenance, &tree, &provenance)?;
        }
        Ok(row)
    }

    /// The states of a tile.
    pub(super) fn tile(&self, key: (u64, u64)) -> Result<TileRow, StoreError> {
        Ok(self.rows.get(Tiles, &key)?.unwrap_or(TileRow::PENDING))
    }

    /// The counts of a tree.
    pub(super) fn provenance(&self, tree: u64) -> Result<ProvenanceRow, StoreError> {
        Ok(self.rows.get(Provenance, &tree)?.unwrap_or_default())
    }

    pub(super) fn shape(&mut self, tree: u64) -> Result<Shape, StoreError> {
        let leaves = self.tree(tree)?.map_or(0, |row| row.leaves);
        Shape::new(leaves).map_err(|_| StoreError::Contradiction { what: format!("tree {tree} has no shape") })
    }

    /// Writes leaf hashes of one tile, in order. A group whose leaves are all done by `tile` gets
    /// its top. `first` says that they had none before: one that has was done, whatever its tile
    /// says.
    pub(super) fn write_hashes(
        &mut self,
        tree: u64,
        hashes: &[(u64, Checksum)],
        tile: &TileRow,
        first: bool,
    ) -> Result<(), StoreError> {
        let shape = self.shape(tree)?;
        let levels = GROUP_ORDER.min(shape.height());
        let mut parents = 0;
        for run in hashes.chunk_by(|a, b| a.0 / GROUP_LEAVES == b.0 / GROUP_LEAVES) {
            let Some((leaf, _)) = run.first() else { continue };
            let number = leaf / GROUP_LEAVES;
            let key = (tree, number);
            let Some(mut group) = self.rows.get(Hashes, &key)? else {
                return Err(StoreError::Contradiction { what: format!("hashes-0 lacks row {key:?}") });
            };
            for (leaf, hash) in run {
                let Some(place) = group.leaves.get_mut((leaf % GROUP_LEAVES) as usize) else { continue };
                if first && *place != Checksum::ZERO {
                    let what = format!("leaf {leaf} of tree {tree} is pending in tiles-0, but hashes-0 has its hash");
                    return Err(StoreError::Contradiction { what });
                }
                *place = *hash;
            }
            let slot = (number * GROUP_LEAVES) % TILE_LEAVES;
            let all_done = (0..group.leaves.len() as u64).all(|at| tile.state(slot + at).is_done());
            if all_done {
                group.top = fold(&group.leaves, levels).unwrap_or(Checksum::ZERO);
                parents += group.leaves.len() as u64 - 1;
            }
            self.rows.put(Hashes, &key, &group)?;
        }
        let place = self.account_place(tree)?;
        self.account.count_server(place, HashReason::Folding, HashWork::of_parents(parents, 0));
        Ok(())
    }

    pub(super) fn settle_audited(
        &mut self,
        settle: &Settle,
        audited: &Audited,
    ) -> Result<Result<Taken, Refused>, StoreError> {
        let Audited { tree, range, hashes, network, .. } = audited;
        if let Err(refused) = self.check_range(settle, *tree, *range)? {
            return Ok(Err(refused));
        }
        let state = if audited.whole { LeafState::Verified } else { LeafState::Audited };
        self.set_states(*tree, *range, hashes, |_| state)?;
        if !audited.whole {
            // The entry that `settle` is about to write.
            let (client, seq, data_digest) = (settle.client, self.head.next_ledger, settle.data_digest);
            self.put_claim(*tree, *range, vec![Submitter { client, network: *network, seq, data_digest }])?;
        }
        let Some(progress) = self.leaves_done(*tree, range.len())? else {
            return Ok(Err(Refused::TreeGone));
        };
        let entry = (EntryKind::Leaves, *tree, range.start(), range.order(), range.len() as u32);
        Ok(Ok(Taken::Counts(progress, entry)))
    }

    /// Gives the leaves of a range the states that `state` says for their places in it, and these
    /// hashes.
    pub(super) fn set_states(
        &mut self,
        tree: u64,
        range: AlignedRange,
        hashes: &[Checksum],
        state: impl Fn(u64) -> LeafState,
    ) -> Result<(), StoreError> {
        let tile = self.edit_tile(tree, range.tile(), |tile| {
            for leaf in range.start()..range.end() {
                tile.set(leaf % TILE_LEAVES, state(leaf - range.start()));
            }
        })?;
        let placed: Vec<(u64, Checksum)> = (range.start()..range.end()).zip(hashes.iter().copied()).collect();
        self.write_hashes(tree, &placed, &tile, true)
    }

    pub(super) fn put_claim(
        &mut self,
        tree: u64,
        range: AlignedRange,
        submitters: Vec<Submitter>,
    ) -> Result<(), StoreError> {
        let row = ClaimRow { order: range.order(), submitters };
        self.rows.put(Claims, &(tree, range.start()), &row)
    }

    /// A strike, if it is one, against a client; with it everything that only this client and its
    /// like stand for is to be doubted, step by step.
    pub(super) fn strike(&mut self, client: ClientDigest, strike: bool, at_ms: u64) -> Result<(), StoreError> {
        let mut row = self.client(client)?;
        row.strikes = row.strikes.saturating_add(u64::from(strike));
        row.updated_ms = at_ms;
        // Written now: unlike a credit, a strike is stored nowhere else.
        self.rows.put(Clients, &client, &row)?;
        let last = row.last_seq;
        self.overlay.insert(client, row);
        if strike && last != NO_ENTRY && !self.rows.is_empty(Claims)? {
            self.suspect(client, last)?;
        }
        Ok(())
    }

    /// Has a client's entries up to `last` followed back, down to where it was followed back
    /// before.
    fn suspect(&mut self, client: ClientDigest, last: u64) -> Result<(), StoreError> {
        let walk = self.rows.get(Suspects, &client)?;
        if let Some((next, from, until, _)) = walk {
            // What is newer than this walk gets one of its own behind it, so that no entry is met
            // twice.
            return self.rows.put(Suspects, &client, &(next, from, until, true));
        }
        let until = self.followed(client)?;
        if until == NO_ENTRY || last > until {
            self.rows.put(Suspects, &client, &(last, last, until, false))?;
        }
        Ok(())
    }

    /// Doubts the leaves of a client caught lying, going back along its entries.
    pub(super) fn backtrack(&mut self, client: ClientDigest, limit: usize) -> Result<Outcome, StoreError> {
        let walk = self.rows.get(Suspects, &client)?;
        let Some(walk) = walk else {
            return Ok(Outcome::Walked { rows: 0, more: false, skipped: Vec::new() });
        };
        let mut skipped = Vec::new();
        let (mut next, from, until, again) = match skip_row(self.check_walk(client, walk), &mut skipped)? {
            Some(()) => walk,
            // It begins once more, behind nothing: to meet an entry twice does no harm.
            None => {
                let last = skip_row(self.client(client), &mut skipped)?.map_or(NO_ENTRY, |row| row.last_seq);
                self.rows.remove(Followed, &client)?;
                (last, last, NO_ENTRY, false)
            }
        };
        // A row that leads nowhere ends here; the offline check names it.
        let kept = self.head.anchor..self.head.next_ledger;
        let goes_on = |next: u64| kept.contains(&next) && (until == NO_ENTRY || next > until);
        let mut rows = 0;
        while rows < limit as u64 && goes_on(next) {
            let Some(entry) = skip_row(self.entry(next), &mut skipped)? else {
                // Nor does one that does not decode.
                next = NO_ENTRY;
                break;
            };
            if entry.client != client {
                next = NO_ENTRY;
                break;
            }
            skip_row(self.doubt_entry(&entry), &mut skipped)?;
            next = entry.previous;
            rows += 1;
        }
        let more = goes_on(next);
        if more {
            self.rows.put(Suspects, &client, &(next, from, until, again))?;
        } else {
            self.rows.remove(Suspects, &client)?;
            self.rows.put(Followed, &client, &from)?;
            if again && let Some(row) = skip_row(self.client(client), &mut skipped)? {
                self.suspect(client, row.last_seq)?;
            }
        }
        Ok(Outcome::Walked { rows, more, skipped })
    }

    /// Doubts the leaves of an entry that are known from clients only. What was sealed before it
    /// was verified cannot be found along the chain any more, so that sealing doubts it too.
    pub(super) fn doubt_entry(&mut self, entry: &crate::store::rows::LedgerRow) -> Result<(), StoreError> {
        if !entry.kind.is_of_leaves() {
            return Ok(());
        }
        let Some(TreeRow { strategy, data, leaves, .. }) = self.tree(entry.tree)? else {
            return Ok(());
        };
        let (strategy, data, leaves) = (*strategy, *data, *leaves);
        if strategy.knows_answers() || data == DataPlace::Dropped {
            return Ok(());
        }
        if self.rows.has(Chores, &(CHORE_DROP, entry.tree))? {
            // Released: accepted as it is.
            return Ok(());
        }
        let end = leaves.min(range_end(entry.start, entry.order));
        let key = (entry.tree, entry.start / TILE_LEAVES);
        let Some(tile) = self.rows.get(Tiles, &key)? else { return Ok(()) };
        let firm = |slot: u64| matches!(tile.state(slot), LeafState::Agreed | LeafState::Audited);
        let hit: Vec<u64> = (entry.start..end).map(|leaf| leaf % TILE_LEAVES).filter(|slot| firm(*slot)).collect();
        if hit.is_empty() {
            return Ok(());
        }
        self.edit_tile(key.0, key.1, |tile| hit.iter().for_each(|slot| tile.set(*slot, LeafState::Doubted)))?;
        self.rows.put(Doubted, &key, &())?;
        Ok(())
    }

    /// Removes the claims of a tile on ranges in which no leaf is weak any more.
    pub(super) fn prune_claims(&mut self, tree: u64, tile: u64, row: &TileRow) -> Result<(), StoreError> {
        let first = tile * TILE_LEAVES;
        let mut gone = Vec::new();
        self.rows.each(Claims, (tree, first)..(tree, first + TILE_LEAVES), |(_, start), claim| {
            let end = range_end(start, claim?.order).min(first + TILE_LEAVES);
            if !(start..end).any(|leaf| row.state(leaf % TILE_LEAVES).is_weak()) {
                gone.push(start);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        for start in gone {
            self.rows.remove(Claims, &(tree, start))?;
        }
        Ok(())
    }

    /// Returns the clients behind a leaf, and the start of their range.
    pub(super) fn submitters(&self, tree: u64, leaf: u64) -> Result<Option<(u64, Vec<Submitter>)>, StoreError> {
        let first = leaf / TILE_LEAVES * TILE_LEAVES;
        let Some(((_, start), claim)) = self.rows.last(Claims, (tree, first)..=(tree, leaf))? else {
            return Ok(None);
        };
        let claim = claim?;
        let covers = range_end(start, claim.order) > leaf;
        Ok(covers.then_some((start, claim.submitters)))
    }
}
