//! The server's second look: leaves below verified become verified, and are corrected if need be.

use crate::hash::{Checksum, StreamingHash};
use crate::merkle::{GROUP_LEAVES, TILE_LEAVES};
use crate::policy::quorum::Voter;
use crate::store::command::claims::Upgrade;
use crate::store::command::{Outcome, Refused};
use crate::store::error::{DbResult, StoreError};
use crate::store::records::{DataPlace, EntryKind, HashReason, LeafState, LedgerRow, Submitter, TreeState};
use crate::store::redb::apply::Batch;
use crate::store::redb::tables::InRedb;
use crate::store::schema::{
    CHORE_ASSEMBLE, CHORE_DROP, CHORE_FOLD, Claims, Damaged, Doubted, Hashes, Provenance, Quorums, Tiles,
};
use crate::store::table::Table;

impl Batch<'_> {
    pub(in crate::store) fn upgrade(&mut self, upgrade: &Upgrade) -> Result<Outcome, StoreError> {
        let Upgrade { tree, tile, hashes, digests, work, at_ms } = upgrade;
        let place = self.account_place(*tree)?;
        self.account.count_server(place, HashReason::Export, *work);
        let Some(state) = self.tree(*tree)?.map(|row| row.state) else {
            return Ok(Outcome::Refused(Refused::TreeGone));
        };
        let key = (*tree, *tile);
        let row = match self.tiles.get(key).db()? {
            Some(raw) => Tiles::decode(&key, raw.value())?,
            None => return Ok(judged(Vec::new(), Vec::new())),
        };
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
            self.txn.open_table(Doubted::DEFINITION).db()?.remove((*tree, *tile)).db()?;
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
        let key = (tree, leaf / GROUP_LEAVES);
        match self.hashes.get(key).db()? {
            Some(raw) => Ok(Hashes::decode(&key, raw.value())?.leaves.get((leaf % GROUP_LEAVES) as usize).copied()),
            None => Ok(None),
        }
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
        self.receipts.insert(id, seq).db()?;
        Ok(())
    }

    /// A leaf of a tree has another hash now: what was folded from the old one goes.
    pub(in crate::store) fn fold_again(&mut self, tree: u64, state: TreeState) -> Result<(), StoreError> {
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
            self.chores.remove((kind, tree)).db()?;
        }
        self.chores.insert((CHORE_ASSEMBLE, tree), ()).db()?;
        Ok(())
    }

    /// Has the block data of a complete tree dropped once nothing may be asked of it any more.
    pub(in crate::store) fn data_may_go(&mut self, tree: u64) -> Result<(), StoreError> {
        let complete = self.tree(tree)?.is_some_and(|row| row.state == TreeState::Complete);
        if complete && self.provenance(tree)?.weak() == 0 {
            self.chores.insert((CHORE_DROP, tree), ()).db()?;
        }
        Ok(())
    }

    /// Whether the data of a tree is removed, or may be at any moment: its leaves are accepted as
    /// they are.
    pub(in crate::store) fn is_released(&mut self, tree: u64) -> Result<bool, StoreError> {
        let dropped = self.tree(tree)?.is_some_and(|row| row.data == DataPlace::Dropped);
        Ok(dropped || self.chores.get((CHORE_DROP, tree)).db()?.is_some())
    }

    /// The leaves of a complete tree are accepted as they are.
    pub(in crate::store) fn release(&mut self, tree: u64) -> Result<Outcome, StoreError> {
        match self.tree(tree)?.map(|row| row.state) {
            None => return Ok(Outcome::Refused(Refused::TreeGone)),
            Some(TreeState::Complete) => {}
            Some(state) => return Ok(Outcome::Refused(Refused::TreeState(state))),
        }
        self.chores.insert((CHORE_DROP, tree), ()).db()?;
        Ok(Outcome::Done { rows: 1, more: false })
    }

    /// Removes all rows about the leaves of a forgotten tree except their states, up to `limit`
    /// rows.
    pub(in crate::store) fn purge_trust(&mut self, tree: u64, limit: usize) -> Result<usize, StoreError> {
        self.txn.open_table(Provenance::DEFINITION).db()?.remove(tree).db()?;
        let mut rows = self.drop_claims(tree, limit)?;
        let all = (tree, 0)..(tree + 1, 0);
        for row in self
            .txn
            .open_table(Quorums::DEFINITION)
            .db()?
            .extract_from_if(all.clone(), |_, _| true)
            .db()?
            .take(limit - rows)
        {
            row.db()?;
            rows += 1;
        }
        for row in
            self.txn.open_table(Damaged::DEFINITION).db()?.extract_from_if(all, |_, ()| true).db()?.take(limit - rows)
        {
            row.db()?;
            rows += 1;
        }
        Ok(rows)
    }

    /// Removes up to `limit` claims on the leaves of a tree, and notes on its doubted tiles.
    pub(in crate::store) fn drop_claims(&mut self, tree: u64, limit: usize) -> Result<usize, StoreError> {
        let mut rows = 0;
        let mut table = self.txn.open_table(Claims::DEFINITION).db()?;
        for row in table.extract_from_if((tree, 0)..(tree + 1, 0), |_, _| true).db()?.take(limit) {
            row.db()?;
            rows += 1;
        }
        for row in self
            .txn
            .open_table(Doubted::DEFINITION)
            .db()?
            .extract_from_if((tree, 0)..(tree + 1, 0), |_, ()| true)
            .db()?
            .take(limit - rows)
        {
            row.db()?;
            rows += 1;
        }
        Ok(rows)
    }
}

fn judged(corrected: Vec<u64>, liars: Vec<Voter>) -> Outcome {
    Outcome::Judged { corrected, liars, first_leaf: false, leaves_complete: false }
}
