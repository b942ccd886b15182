//! Done leaves against ledger entries: each was credited once, or hashed by the server because no
//! unit could carry it.

use std::ops::ControlFlow;

use super::checker::{Checker, provenance, row_or_why, tree_row};
use super::data::rule_lengths;
use super::report::CheckPhase;
use super::trees::done_mask;
use crate::merkle::{GROUP_LEAVES, TILE_LEAVES};
use crate::store::error::StoreError;
use crate::store::port::{View, more_if};
use crate::store::rows::{EntryKind, LeafState, LedgerRow, Strategy, TileRow, TreeRow, TreeState};
use crate::store::schema::{Ledger, Lengths, Tiles, Trees};

/// A tile row, and the leaves credited in it.
struct Tally {
    key: (u64, u64),
    done: u32,
    /// Hashed by the server.
    verified: u32,
    credited: u32,
    /// In the range of an entry that credits some of its leaves.
    covered: u32,
}

impl Checker<'_> {
    /// Takes a stretch of tile rows into memory and holds the whole ledger against it, until all
    /// are done.
    pub(super) fn credits(&mut self, state: &impl View) -> Result<(), StoreError> {
        self.begin();
        let mut from = Some((0, 0));
        while let Some(first) = from {
            let mut tallies = Vec::new();
            state.each(Tiles, first.., |key, tile| {
                // A row that does not decode is a finding already.
                let tile = tile.unwrap_or(TileRow::PENDING);
                let verified = tile.mask(TILE_LEAVES, |state| state == LeafState::Verified);
                tallies.push(Tally { key, done: done_mask(&tile), verified, credited: 0, covered: 0 });
                Ok(more_if(tallies.len() < self.at_once))
            })?;
            let end = if tallies.len() < self.at_once { None } else { tallies.last().map(|tally| tally.key) };
            self.count_credits(state, &mut tallies, first, end)?;
            self.compare_credits(state, &tallies)?;
            from = end.map(|(tree, tile)| (tree, tile.saturating_add(1)));
        }
        Ok(())
    }

    fn count_credits(
        &mut self,
        state: &impl View,
        tallies: &mut [Tally],
        first: (u64, u64),
        last: Option<(u64, u64)>,
    ) -> Result<(), StoreError> {
        state.each(Ledger, .., |seq, row| {
            self.step(CheckPhase::Credits, 0);
            let Ok(row) = row else {
                return Ok(ControlFlow::Continue(()));
            };
            let at = (row.tree, row.start / TILE_LEAVES);
            let part = row.kind == EntryKind::Part;
            if !(part || row.kind == EntryKind::Leaves) || at < first || last.is_some_and(|last| at > last) {
                return Ok(ControlFlow::Continue(()));
            }
            let slot = row.start % TILE_LEAVES;
            if part {
                self.count_part(state, tallies, seq, &row)?;
                return Ok(ControlFlow::Continue(()));
            }
            if row.leaves == 0 || slot + u64::from(row.leaves) > TILE_LEAVES {
                self.find(format!("ledger-0 row {seq}: {} leaves from {} on are not a unit", row.leaves, row.start));
                return Ok(ControlFlow::Continue(()));
            }
            let mask = (((1_u64 << row.leaves) - 1) << slot) as u32;
            match tallies.binary_search_by_key(&at, |tally| tally.key) {
                Ok(index) => {
                    if (tallies[index].credited | tallies[index].covered) & mask != 0 {
                        self.find(format!("ledger-0 row {seq}: leaves of tile {at:?} are credited a second time"));
                    }
                    tallies[index].credited |= mask;
                }
                Err(_) if row.tree >= self.head.next_tree => {
                    self.find(format!("ledger-0 row {seq}: no tree {} was ever begun", row.tree));
                }
                // Entries of a forgotten tree stay.
                Err(_) if !state.has(Trees, &row.tree)? => {}
                Err(_) => self.find(format!("ledger-0 row {seq}: it credits tile {at:?}, which has no row")),
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// An entry that credits some of the leaves of its range: which ones, it does not say.
    fn count_part(
        &mut self,
        state: &impl View,
        tallies: &mut [Tally],
        seq: u64,
        row: &LedgerRow,
    ) -> Result<(), StoreError> {
        let at = (row.tree, row.start / TILE_LEAVES);
        let slot = row.start % TILE_LEAVES;
        let width = 1_u64 << row.order.min(5);
        if row.order > 5 || slot + width > TILE_LEAVES || u64::from(row.leaves) >= width {
            self.find(format!(
                "ledger-0 row {seq}: {} leaves from {} on are not part of a unit",
                row.leaves, row.start
            ));
            return Ok(());
        }
        let mask = (((1_u64 << width) - 1) << slot) as u32;
        if let Ok(index) = tallies.binary_search_by_key(&at, |tally| tally.key) {
            if (tallies[index].credited | tallies[index].covered) & mask != 0 {
                self.find(format!("ledger-0 row {seq}: leaves of tile {at:?} are credited a second time"));
            }
            tallies[index].covered |= mask;
        } else if state.has(Trees, &row.tree)? {
            self.find(format!("ledger-0 row {seq}: it credits tile {at:?}, which has no row"));
        }
        Ok(())
    }

    fn compare_credits(&mut self, state: &impl View, tallies: &[Tally]) -> Result<(), StoreError> {
        let mut known: Option<(u64, Option<TreeRow>)> = None;
        for tally in tallies {
            let tree = tally.key.0;
            if known.as_ref().is_none_or(|(of, _)| *of != tree) {
                known = Some((tree, tree_row(state, tree)?.and_then(Result::ok)));
            }
            let Some((_, Some(row))) = &known else {
                continue;
            };
            if tally.credited & !tally.done != 0 {
                self.find(format!("tiles-0 row {:?}: a leaf is pending although it was credited", tally.key));
            }
            // Leaves hashed by the server are credited to no client. A tree verified at ingest has
            // such leaves, and counts of their states, only if some were damaged and mended.
            let clients_only = row.strategy == Strategy::Precomputed && provenance(state, tree).is_none();
            let own = if clients_only { 0 } else { tally.verified };
            let unpaid = tally.done & !tally.credited & !tally.covered & !own;
            // What sealed entries credited is not kept singly.
            if unpaid != 0 && self.head.anchor == 0 && unpaid & !oversized(state, row, tally.key)? != 0 {
                self.find(format!("tiles-0 row {:?}: a leaf is done, but no client was credited", tally.key));
            }
        }
        Ok(())
    }
}

/// The leaves of a tile that no unit may carry.
fn oversized(state: &impl View, row: &TreeRow, (tree, tile): (u64, u64)) -> Result<u32, StoreError> {
    let mut mask = 0;
    let groups = TILE_LEAVES / GROUP_LEAVES;
    for group in tile.saturating_mul(groups)..tile.saturating_mul(groups).saturating_add(groups) {
        let lengths = match row_or_why(state, Lengths, &(tree, group))? {
            Some(Ok(listed)) => listed.lengths.iter().map(|len| u64::from(*len)).collect(),
            Some(Err(_)) => Vec::new(),
            // A single file still coming in has its lengths nowhere: believe it.
            None if row.state == TreeState::Ingesting => return Ok(u32::MAX),
            None => rule_lengths(row, group, GROUP_LEAVES).unwrap_or_default(),
        };
        for (slot, len) in ((group % groups) * GROUP_LEAVES..).zip(lengths) {
            mask |= u32::from(len > row.send_cap) << slot;
        }
    }
    Ok(mask)
}
