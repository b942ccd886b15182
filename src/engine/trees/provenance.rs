//! Provenance: why the hash of a leaf counts.

use crate::hash::Checksum;
use crate::merkle::{GROUP_LEAVES, LeafIndex, TILE_LEAVES};
use crate::store::rows::{EntryKind, LeafState, ProvenanceRow, range_end, written_as_str};
use crate::store::{RangeKey, StoreError};

use crate::engine::error::TreeError;
use crate::engine::for_gate::ForGate;
use crate::engine::handle::PouwEngine;
use crate::engine::ledger::LedgerEntry;
use crate::engine::tree_id::TreeId;
use crate::engine::trees::stored;

/// Why the hash of a leaf counts, from the strongest to the weakest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Provenance {
    /// The server has hashed it.
    Verified,
    /// It is the block's address, and a client returned the same hash.
    Known,
    /// A quorum of distinct clients returned it.
    Agreed,
    /// A client returned it, and a sample of its answer was right.
    Audited,
    /// A client behind it was caught in a lie; the server has not hashed it yet.
    Doubted,
}

impl Provenance {
    /// All of them, the strongest first.
    pub const ALL: [Self; 5] = [Self::Verified, Self::Known, Self::Agreed, Self::Audited, Self::Doubted];

    /// The word for it in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Known => "known",
            Self::Agreed => "agreed",
            Self::Audited => "audited",
            Self::Doubted => "doubted",
        }
    }

    fn of(state: LeafState) -> Option<Self> {
        match state {
            LeafState::Pending | LeafState::Damaged => None,
            LeafState::Verified => Some(Self::Verified),
            LeafState::Known => Some(Self::Known),
            LeafState::Agreed => Some(Self::Agreed),
            LeafState::Audited => Some(Self::Audited),
            LeafState::Doubted => Some(Self::Doubted),
        }
    }
}

written_as_str!(Provenance);

/// The number of leaves of a tree, by provenance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Provenances {
    counts: [u64; 5],
    /// Leaves whose blocks do not hash to their addresses, or are not what was ingested: they are
    /// not done.
    pub damaged: u64,
}

impl Provenances {
    pub(in crate::engine) fn of(done: u64, row: &ProvenanceRow) -> Self {
        let verified = done.saturating_sub(row.known + row.weak());
        Self { counts: [verified, row.known, row.agreed, row.audited, row.doubted], damaged: row.damaged }
    }

    /// Leaves of this provenance.
    pub fn count(&self, provenance: Provenance) -> u64 {
        self.counts[provenance as usize]
    }

    /// The weakest provenance of a leaf; `None` while no leaf is done.
    pub fn weakest(&self) -> Option<Provenance> {
        Provenance::ALL.into_iter().rev().find(|provenance| self.count(*provenance) > 0)
    }

    /// Leaves known from clients only.
    pub fn weak(&self) -> u64 {
        self.counts[Provenance::Agreed as usize..].iter().sum()
    }
}

/// A block that does not hash to its address, or is not what was ingested.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamagedBlock {
    /// Name of its tree.
    pub tree: String,
    /// The leaf.
    pub leaf: LeafIndex,
    /// The address it should hash to; zero where clients bring the hashes.
    pub address: Checksum,
    /// Where to continue a listing after it.
    pub key: DamageCursor,
}

/// A place in the listing of [`PouwEngine::damaged`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DamageCursor(RangeKey);

impl PouwEngine {
    /// Returns why the hash of a leaf counts; `None` while it does not.
    ///
    /// # Errors
    /// [`TreeError::Unknown`], [`TreeError::LeafRange`]; [`TreeError::Store`] if the store cannot
    /// be read.
    pub fn provenance(&self, name: &str, leaf: LeafIndex) -> Result<Option<Provenance>, TreeError> {
        let core = self.core();
        let (tree, row) = stored::named(core, name)?;
        if leaf.0 >= row.leaves {
            return Err(TreeError::LeafRange { name: name.to_owned(), leaf: leaf.0, leaves: row.leaves });
        }
        let states = core.store.read()?.tile(tree, leaf.0 / TILE_LEAVES)?;
        Ok(Provenance::of(states.state(leaf.0 % TILE_LEAVES)))
    }

    /// Returns why the weakest leaf of an accepted answer counts now; `None` for debits and made-up
    /// work, and where none of its leaves counts. The server has hashed every interior node itself.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn provenance_of(&self, entry: &LedgerEntry) -> Result<Option<Provenance>, StoreError> {
        let reader = self.core().store.read()?;
        let Some(tree) = entry.tree.map(TreeId::get) else { return Ok(None) };
        let Some(row) = reader.tree(tree)? else { return Ok(None) };
        if entry.kind == EntryKind::Interior {
            return Ok(Some(Provenance::Verified));
        }
        if !entry.kind.is_of_leaves() {
            return Ok(None);
        }
        let states = reader.tile(tree, entry.start / TILE_LEAVES)?;
        let end = row.leaves.min(range_end(entry.start, entry.order));
        let found = (entry.start..end).filter_map(|leaf| Provenance::of(states.state(leaf % TILE_LEAVES)));
        Ok(found.max())
    }

    /// Returns up to `limit` damaged blocks after the one with this key.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn damaged(&self, after: Option<DamageCursor>, limit: usize) -> Result<Vec<DamagedBlock>, StoreError> {
        let reader = self.core().store.read()?;
        let mut out = Vec::new();
        for key in reader.damaged(after.map(|after| after.0), limit)? {
            let (tree, leaf) = key;
            let Some(row) = reader.tree(tree)? else { continue };
            let group = reader.group(tree, leaf / GROUP_LEAVES)?;
            let address = group.leaves.get((leaf % GROUP_LEAVES) as usize).copied().unwrap_or(Checksum::ZERO);
            out.push(DamagedBlock { tree: row.name, leaf: LeafIndex(leaf), address, key: DamageCursor(key) });
        }
        Ok(out)
    }
}

/// Keys read at once.
const KEYS_PAGE: usize = 4_096;

impl ForGate<'_> {
    /// Returns the number of damaged blocks, counted up to `limit`; `None` while the store is being
    /// reopened. Reads their keys only.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn damaged_blocks(&self, limit: u64) -> Result<Option<u64>, StoreError> {
        let Some(reader) = self.core().store.try_read()? else { return Ok(None) };
        let mut count = 0;
        let mut after = None;
        while count < limit {
            let page = reader.damaged(after, KEYS_PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(*last);
            count += page.len() as u64;
        }
        Ok(Some(count.min(limit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weakest_is_the_last_there_is() {
        let row = ProvenanceRow { known: 3, agreed: 2, ..ProvenanceRow::default() };
        let found = Provenances::of(10, &row);
        assert_eq!((found.count(Provenance::Verified), found.weakest()), (5, Some(Provenance::Agreed)));
        let doubted = Provenances::of(10, &ProvenanceRow { doubted: 1, audited: 9, ..ProvenanceRow::default() });
        assert_eq!((doubted.weakest(), doubted.weak()), (Some(Provenance::Doubted), 10));
        assert_eq!(Provenances::default().weakest(), None);
    }
}
