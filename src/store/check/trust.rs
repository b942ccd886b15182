//! The clients behind leaves below verified: claims, votes, doubts and damage against the states of
//! the leaves.

use std::ops::ControlFlow;

use super::checker::{Checker, entry, tile_row, tree_row};
use super::report::CheckPhase;
use crate::merkle::TILE_LEAVES;
use crate::protocol::ClientDigest;
use crate::store::error::StoreError;
use crate::store::key::TableKey as _;
use crate::store::port::View;
use crate::store::rows::{
    AccountRow, DataPlace, LeafState, MetaRow, QuorumRow, ScrubRow, Strategy, TileRow, TreeRow, TreeState,
};
use crate::store::rules::fits::is_of_client;
use crate::store::schema::{
    CHORE_DROP, Chores, Claims, Damaged, Doubted, Followed, Meta, Quorums, Suspects, Tiles, Trees,
};
use crate::store::table::Table;

/// What the tables say about the leaves of one tile.
#[derive(Default)]
struct Said {
    claimed: u32,
    idle_claims: Vec<u64>,
    doubted: bool,
    damaged: u32,
}

impl Checker<'_> {
    /// What is said about the leaves of a tile fits their states.
    pub(super) fn tile_trust(
        &mut self,
        state: &impl View,
        (tree, row): (u64, &TreeRow),
        tile: u64,
        states: &TileRow,
    ) -> Result<(), StoreError> {
        let said = self.said(state, (tree, tile), states)?;
        let mask = |is: fn(LeafState) -> bool| states.mask(TILE_LEAVES, is);
        let weak = mask(LeafState::is_weak);
        let key = (tree, tile);
        let released = row.data == DataPlace::Dropped || state.has(Chores, &(CHORE_DROP, tree))?;
        if weak & !said.claimed != 0 && !released {
            self.find(format!("tiles-0 row {key:?}: a leaf is below verified, but claims-0 names no client"));
        }
        for start in said.idle_claims {
            self.find(format!("claims-0 row {:?}: none of its leaves is below verified", (tree, start)));
        }
        let doubted = mask(|state| state == LeafState::Doubted) != 0;
        if doubted != said.doubted && !released {
            self.find(format!("doubted-0 row {key:?}: it does not fit the states of the leaves"));
        }
        if mask(|state| state == LeafState::Damaged) != said.damaged {
            self.find(format!("damaged-0 rows of tile {key:?}: they do not fit the states of the leaves"));
        }
        Ok(())
    }

    fn said(&self, state: &impl View, (tree, tile): (u64, u64), states: &TileRow) -> Result<Said, StoreError> {
        let first = tile.saturating_mul(TILE_LEAVES);
        let range = (tree, first)..(tree, first.saturating_add(TILE_LEAVES));
        let mut said = Said::default();
        if !self.has_trust {
            return Ok(said);
        }
        state.each(Claims, range.clone(), |(_, start), claim| {
            // One that does not decode is found when all claims are looked at.
            let Ok(claim) = claim else { return Ok(ControlFlow::Continue(())) };
            let mask = mask_from(start - first, claim.order);
            if states.mask(TILE_LEAVES, LeafState::is_weak) & mask == 0 {
                said.idle_claims.push(start);
            }
            said.claimed |= mask;
            Ok(ControlFlow::Continue(()))
        })?;
        state.each_stored(Damaged, range, |(_, leaf), _| {
            said.damaged |= 1 << (leaf - first);
            Ok(ControlFlow::Continue(()))
        })?;
        said.doubted = state.has(Doubted, &(tree, tile))?;
        Ok(said)
    }

    /// Every claim, vote, suspect and account by itself.
    pub(super) fn trust(&mut self, state: &impl View) -> Result<(), StoreError> {
        if !self.has_trust {
            return Ok(());
        }
        self.begin();
        state.each(Claims, .., |key, claim| {
            self.step(CheckPhase::Clients, 0);
            self.report.claims += 1;
            let Some(claim) = self.decoded(key, claim) else { return Ok(ControlFlow::Continue(())) };
            if claim.submitters.is_empty() || claim.order > 5 || key.1 % (1 << claim.order) != 0 {
                self.find(format!("claims-0 row {key:?}: it is not a claim on a unit"));
            }
            if is_untouched(state, (key.0, key.1 / TILE_LEAVES))? {
                self.find(format!("claims-0 row {key:?}: none of its leaves is below verified"));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        state.each_stored(Doubted, .., |key, _| {
            if is_untouched(state, key)? {
                self.find(format!("doubted-0 row {key:?}: it does not fit the states of the leaves"));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        state.each_stored(Damaged, .., |(tree, leaf), _| {
            self.report.damaged += 1;
            let tile = (tree, leaf / TILE_LEAVES);
            if is_untouched(state, tile)? {
                self.find(format!("damaged-0 rows of tile {tile:?}: they do not fit the states of the leaves"));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        state.each(Quorums, .., |key, row| {
            self.step(CheckPhase::Clients, 0);
            self.report.quorums += 1;
            let Some(row) = self.decoded(key, row) else { return Ok(ControlFlow::Continue(())) };
            if let Some(what) = wrong_quorum(state, key, &row)? {
                self.find(format!("quorums-0 row {key:?}: {what}"));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.walks_back(state)?;
        self.meta_row::<AccountRow>(state)?;
        self.meta_row::<ScrubRow>(state)
    }

    /// Suspects, and clients that were followed, by the entries that their rows name.
    fn walks_back(&mut self, state: &impl View) -> Result<(), StoreError> {
        state.each(Suspects, .., |client, steps| {
            let (next, from, until, _) = steps?;
            for seq in [next, from, until] {
                if !self.entry_of_client(state, Suspects::NAME, client, seq)? {
                    break;
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        state.each(Followed, .., |client, seq| {
            self.entry_of_client(state, Followed::NAME, client, seq?)?;
            Ok(ControlFlow::Continue(()))
        })
    }

    fn meta_row<M: MetaRow>(&mut self, state: &impl View) -> Result<(), StoreError> {
        if let Some(raw) = state.get(Meta, M::KEY)? {
            self.decoded(M::KEY, M::unsealed(&raw));
        }
        Ok(())
    }

    fn entry_of_client(
        &mut self,
        state: &impl View,
        table: &'static str,
        client: ClientDigest,
        seq: u64,
    ) -> Result<bool, StoreError> {
        let entry = entry(state, seq)?;
        let fits = is_of_client(table, client, seq, &self.head, entry.as_ref()).is_ok();
        if !fits {
            self.find(format!("{table} row {}: ledger-0 row {seq} is not of this client", client.text()));
        }
        Ok(fits)
    }
}

/// Whether a tile of a tree that is there has no row: nothing can be said about its leaves.
fn is_untouched(state: &impl View, (tree, tile): (u64, u64)) -> Result<bool, StoreError> {
    Ok(state.has(Trees, &tree)? && !state.has(Tiles, &(tree, tile))?)
}

fn wrong_quorum(
    state: &impl View,
    (tree, start): (u64, u64),
    row: &QuorumRow,
) -> Result<Option<&'static str>, StoreError> {
    let Some(Ok(owner)) = tree_row(state, tree)? else { return Ok(None) };
    let Strategy::Redundant { quorum } = owner.strategy else { return Ok(Some("its tree takes no votes")) };
    if owner.state != TreeState::Active {
        return Ok(Some("its tree is not active"));
    }
    if row.order > 5 || start % (1 << row.order) != 0 || start >= owner.leaves {
        return Ok(Some("its range is not a unit"));
    }
    let leaves = (owner.leaves - start).min(1 << row.order);
    let tile = tile_row(state, (tree, start / TILE_LEAVES))?;
    let own = mask_from(start % TILE_LEAVES, row.order) & tile.mask(TILE_LEAVES, |state| state != LeafState::Pending);
    if own != 0 {
        return Ok(Some("one of its leaves is not pending"));
    }
    if row.votes.len() >= usize::from(quorum) {
        return Ok(Some("its quorum is complete"));
    }
    if row.votes.is_empty() && row.refereed.is_empty() {
        return Ok(Some("it has no votes"));
    }
    for (at, vote) in row.votes.iter().enumerate() {
        if vote.leaves.len() as u64 != leaves {
            return Ok(Some("a vote is for another number of leaves"));
        }
        if row.votes[..at].iter().any(|other| other.client == vote.client || other.network == vote.network) {
            return Ok(Some("two votes are of one client or network"));
        }
        if row.refereed.iter().any(|(place, hash)| vote.leaves.get(usize::from(*place)) != Some(hash)) {
            return Ok(Some("a vote differs from the server's own hash"));
        }
        if row.votes[..at].iter().any(|other| other.leaves != vote.leaves) {
            return Ok(Some("its votes differ"));
        }
    }
    Ok(None)
}

/// The leaves of a range of this order from `slot` on, one bit each.
fn mask_from(slot: u64, order: u8) -> u32 {
    let width = (1_u64 << order.min(5)).min(TILE_LEAVES - slot.min(TILE_LEAVES));
    ((((1_u64 << width) - 1) << slot.min(31)) & u64::from(u32::MAX)) as u32
}
