//! The server's second look: leaves below verified become verified, and are corrected if need be.

use crate::hash::{Checksum, StreamingHash};
use crate::merkle::{GROUP_LEAVES, TILE_LEAVES};
use crate::policy::quorum::Voter;
use crate::protocol::WorkId;
use crate::store::command::claims::Upgrade;
use crate::store::command::outcome::{Outcome, Refused};
use crate::store::error::StoreError;
use crate::store::port::Txn;
use crate::store::rows::{DataPlace, EntryKind, HashReason, LeafState, LedgerRow, Submitter, TreeState};
use crate::store::schema::{
    CHORE_ASSEMBLE, CHORE_DROP, CHORE_FOLD, Chores, Claims, Damaged, Doubted, Hashes, Provenance, Quorums, Receipts,
    Tiles,
};

use super::batch::Batch;

impl<R: Txn> Batch<'_, R> {
    pub(super) fn upgrade(&mut self, upgrade: &Upgrade) -> Result<Outcome, StoreError> {
        let Upgrade { tree, tile, hashes, digests, work, at_ms } = upgrade;
        let place = self.account_place(*tree)?;
        self.account.count_server(place, HashReason::Export, *work);
        let Some(state) = self.tree(*tree)?.map(|row| row.state) else {
            return Ok(Outcome::Refused(Refused::TreeGone));
        };
        let key = (*tree, *tile);
        let Some(row) = self.rows.get(Tiles, &key)? else { return Ok(judged(Vec::new(), Vec::new())) };
        let first = tile * TILE_LEAVES;
        let weak: Vec<&(u8, Checksum)> =
            hashes.iter().filter(|(slot, _)| row.state(u64::from(*slot)).is_weak()).collect();
        let released = self.is_released(*tree)?;
        let (mut wrong, mut verified) = (Vec::new(), Vec::new());
        let mut behind = Vec::new();
        for (slot, hash) in &weak {
            let leaf = first + u64::from(*slot);
            if self.leaf_hash(*tree, leaf)? != Some(*hash) {
                let liars = self.submitters_of(*tree, leaf, digests)?;
                if liars.is_empty() || released {
                    continue;
                }
                wrong.push((leaf, *hash));
                behind.extend(liars.into_iter().map(|liar| (leaf, liar)));
            }
            verified.push(u64::from(*slot));
        }
        let row = self.edit_tile(*tree, *tile, |row| {
            verified.iter().for_each(|slot| row.set(*slot, LeafState::Verified));
        })?;
        let mut liars: Vec<Voter> = Vec::new();
        if !wrong.is_empty() {
            self.write_hashes(*tree, &wrong, &row, false)?;
            for (leaf, submitter) in &behind {
                self.correction(*tree, *leaf, submitter, *at_ms)?;
                if liars.iter().all(|liar| liar.client != submitter.client) {
                    liars.push(Voter { client: submitter.client, network: submitter.network });
                }
            }
            self.fold_again(*tree, state)?;
        }
        self.prune_claims(*tree, *tile, &row)?;
        if row.mask(TILE_LEAVES, |state| state == LeafState::Doubted) == 0 {
            self.rows.remove(Doubted, &(*tree, *tile))?;
        }
        for Voter { client, .. } in &liars {
            self.strike(*client, true, *at_ms)?;
        }
        self.data_may_go(*tree)?;
        Ok(judged(wrong.into_iter().map(|(leaf, _)| leaf).collect(), liars))
    }

    /// The clients behind a leaf that were sent the data that is there now.
    fn submitters_of(&self, tree: u64, leaf: u64, digests: &[(u64, u64)]) -> Result<Vec<Submitter>, StoreError> {
        let Some((start, submitters)) = self.submitters(tree, leaf)? else { return Ok(Vec::new()) };
        let now = digests.iter().find(|(of, _)| *of == start).map(|(_, digest)| *digest);
        Ok(submitters.into_iter().filter(|submitter| Some(submitter.data_digest) == now).collect())
    }

    fn leaf_hash(&self, tree: u64, leaf: u64) -> Result<Option<Checksum>, StoreError> {
        let group = self.rows.get(Hashes, &(tree, leaf / GROUP_LEAVES))?;
        Ok(group.and_then(|group| group.leaves.get((leaf % GROUP_LEAVES) as usize).copied()))
    }

    /// The ledger says which leaf was corrected and who had returned it. It takes nothing back.
    fn correction(&mut self, tree: u64, leaf: u64, by: &Submitter, at_ms: u64) -> Result<(), StoreError> {
        let mut client = self.client(by.client)?;
        client.updated_ms = at_ms;
        let seq = self.head.next_ledger;
        let mut hash = StreamingHash::new();
        hash.update(b"pouw-correction-v0\0");
        hash.update(&seq.to_le_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finish().as_bytes()[..16]);
        let id = WorkId::from_bytes(id);
        let row = LedgerRow {
            id,
            client: by.client,
            tree,
            start: leaf,
            order: 0,
            kind: EntryKind::Correction,
            tier: 0,
            leaves: 0,
            nodes: 0,
            amount: 0,
            at_ms,
            previous: client.last_seq,
            digest: [0; 32],
        };
        let seq = self.append(row, client)?;
        self.rows.put(Receipts, &id, &seq)?;
        Ok(())
    }

    /// A leaf of a tree has another hash now: what was folded from the old one goes.
    pub(super) fn fold_again(&mut self, tree: u64, state: TreeState) -> Result<(), StoreError> {
        if !matches!(state, TreeState::Complete | TreeState::Folding | TreeState::Assembling) {
            return Ok(());
        }
        self.remove_interior(tree, usize::MAX)?;
        if let Some(row) = self.tree(tree)? {
            row.state = TreeState::Assembling;
            row.interior_done = 0;
        }
        self.tree_changed(tree);
        if state == TreeState::Complete {
            self.head.totals.complete = self.head.totals.complete.saturating_sub(1);
        }
        for kind in [CHORE_DROP, CHORE_FOLD] {
            self.rows.remove(Chores, &(kind, tree))?;
        }
        self.rows.put(Chores, &(CHORE_ASSEMBLE, tree), &())?;
        Ok(())
    }

    /// Has the block data of a complete tree dropped once nothing may be asked of it any more.
    pub(super) fn data_may_go(&mut self, tree: u64) -> Result<(), StoreError> {
        let complete = self.tree(tree)?.is_some_and(|row| row.state == TreeState::Complete);
        if complete && self.provenance(tree)?.weak() == 0 {
            self.rows.put(Chores, &(CHORE_DROP, tree), &())?;
        }
        Ok(())
    }

    /// Whether the data of a tree is removed, or may be at any moment: its leaves are accepted as
    /// they are.
    pub(super) fn is_released(&mut self, tree: u64) -> Result<bool, StoreError> {
        let dropped = self.tree(tree)?.is_some_and(|row| row.data == DataPlace::Dropped);
        Ok(dropped || self.rows.has(Chores, &(CHORE_DROP, tree))?)
    }

    /// The leaves of a complete tree are accepted as they are.
    pub(super) fn release(&mut self, tree: u64) -> Result<Outcome, StoreError> {
        match self.tree(tree)?.map(|row| row.state) {
            None => return Ok(Outcome::Refused(Refused::TreeGone)),
            Some(TreeState::Complete) => {}
            Some(state) => return Ok(Outcome::Refused(Refused::TreeState(state))),
        }
        self.rows.put(Chores, &(CHORE_DROP, tree), &())?;
        Ok(Outcome::Done { rows: 1, more: false })
    }

    /// Removes all rows about the leaves of a forgotten tree except their states, up to `limit`
    /// rows.
    pub(super) fn purge_trust(&mut self, tree: u64, limit: usize) -> Result<usize, StoreError> {
        self.rows.remove(Provenance, &tree)?;
        let mut rows = self.drop_claims(tree, limit)?;
        let all = (tree, 0)..(tree + 1, 0);
        rows += self.rows.extract(Quorums, all.clone(), limit - rows)?;
        rows += self.rows.extract(Damaged, all, limit - rows)?;
        Ok(rows)
    }

    /// Removes up to `limit` claims on the leaves of a tree, and notes on its doubted tiles.
    pub(super) fn drop_claims(&mut self, tree: u64, limit: usize) -> Result<usize, StoreError> {
        let all = (tree, 0)..(tree + 1, 0);
        let rows = self.rows.extract(Claims, all.clone(), limit)?;
        Ok(rows + self.rows.extract(Doubted, all, limit - rows)?)
    }
}

fn judged(corrected: Vec<u64>, liars: Vec<Voter>) -> Outcome {
    Outcome::Judged { corrected, liars, first_leaf: false, leaves_complete: false }
}
