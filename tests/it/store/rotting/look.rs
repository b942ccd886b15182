//! What is read from a store, compared with what is right. A refusal is right, another value is not.

use std::collections::BTreeSet;

use super::base::{CLIENTS, Tree};
use super::scene::Scene;
use crate::support::clients::names;
use pouw::hash::Checksum;
use pouw::internal::store::{RedbStore, Store as _};
use pouw::merkle::{LeafIndex, Shape};
use pouw::protocol::WorkId;
use pouw::{ExportPolicy, LedgerEntry, Receipt, StoreOptions};

fn in_ledger(ledger: &Option<Vec<LedgerEntry>>, id: WorkId) -> bool {
    ledger.iter().flatten().any(|entry| entry.id == id)
}

pub trait Look {
    /// Reads everything that has a right value.
    fn look(&mut self);
    /// Exports a tree in every way. Returns whether it came out, and right.
    fn exported(&mut self, tree: &Tree, policy: ExportPolicy) -> bool;
    /// A balance that was given.
    fn balance(&mut self, who: u64, given: u64, by: &str);
    /// Reads the closed store.
    fn at_rest(&mut self);
}

impl Look for Scene {
    fn look(&mut self) {
        let base = self.base.clone();
        for tree in &base.trees {
            self.step("reads of a tree");
            one_tree(self, tree);
        }
        self.step("balance");
        for who in CLIENTS {
            if let Some(given) = read(self, |s| s.engine.balance(&names(who).0)) {
                self.balance(who, given.0, "a balance");
            }
        }
        self.step("ledger");
        let ledger = read(self, |s| s.engine.ledger(0, 10_000));
        if let Some(entries) = &ledger {
            if entries.len() < base.ledger.len() || entries[..base.ledger.len()] != base.ledger[..] {
                self.wrong("entries of the ledger are not what they were");
            }
            let mut before = [0; 32];
            for entry in entries {
                if !entry.follows(&before) {
                    self.wrong("the ledger is not chained");
                }
                before = entry.digest;
            }
        }
        for id in self.accepted.clone() {
            match read(self, |s| s.engine.receipt(id)) {
                Some(Receipt::Accepted(entry)) if entry.id != id => self.wrong("the receipt of another answer"),
                // Of a vote short of its quorum only the row of its used token is found by its id.
                Some(Receipt::Unknown) if self.votes.contains(&id) && !in_ledger(&ledger, id) => {}
                // Its row under the id was lost, and its token is expired: it counts nevertheless.
                Some(Receipt::Unknown) if self.damaged_state && in_ledger(&ledger, id) => {}
                Some(other @ (Receipt::Open | Receipt::Refused | Receipt::Unknown)) => {
                    self.wrong(format!("an answer that counted is {other:?}, not in the ledger"));
                }
                _ => {}
            }
        }
        for who in CLIENTS {
            let digest = self.engine.client_digest(&names(who).0);
            if let Some(entries) = read(self, |s| s.engine.ledger_of(&names(who).0, None, 10_000)) {
                let expected = base.ledger.iter().filter(|entry| entry.client == digest);
                let found: BTreeSet<u64> = entries.iter().map(|entry| entry.seq).collect();
                if !expected.clone().all(|entry| entries.contains(entry)) {
                    self.wrong("entries of a client are missing");
                }
                if found.len() != entries.len() {
                    self.wrong("an entry of a client is told twice");
                }
            }
        }
        self.step("lists");
        drop(read(self, |s| s.engine.trees(None, 10)));
        drop(read(self, |s| s.engine.damaged(None, 100)));
        read(self, |s| s.engine.open_quorums(10));
        drop(self.engine.stats());
    }

    fn exported(&mut self, tree: &Tree, policy: ExportPolicy) -> bool {
        let mut leaves: Vec<Checksum> = Vec::new();
        let written = read(self, |s| {
            s.engine.export_leaves_under(policy, tree.name, &mut |leaf| {
                leaves.push(*leaf);
                Ok(())
            })
        });
        let mut right = written.is_some();
        if written.is_some() && leaves != tree.leaves {
            self.wrong(format!("{policy} exported other leaves of {}", tree.name));
            right = false;
        }
        let mut nodes: Vec<Checksum> = Vec::new();
        let written = read(self, |s| {
            s.engine.export_addresses_under(policy, tree.name, &mut |node| {
                nodes.push(*node);
                Ok(())
            })
        });
        let first = nodes.len().saturating_sub(tree.leaves.len());
        if written.is_some() && (nodes.first() != Some(&tree.root) || nodes[first..] != tree.leaves[..]) {
            self.wrong(format!("{policy} exported other addresses of {}", tree.name));
            right = false;
        }
        right && written.is_some() && one_tree(self, tree)
    }

    fn balance(&mut self, who: u64, given: u64, by: &str) {
        let account = self.accounts.entry(who).or_default();
        if given < account.sure || given > account.sure + account.maybe {
            let what = format!("{by} of client {who} is {given}, not {account:?}");
            self.wrong(what);
        }
    }

    fn at_rest(&mut self) {
        self.step("reads of the closed store");
        let clients = CLIENTS.map(|who| self.engine.client_digest(&names(who).0));
        let opened = RedbStore::open(std::sync::Arc::new(self.disk.clone()), StoreOptions::default());
        let Some(store) = self.take(opened) else { return };
        for (client, who) in clients.into_iter().zip(CLIENTS) {
            let row = store.client(client);
            if let Some(row) = self.take(row) {
                if row.strikes > 0 {
                    self.wrong("an honest client has strikes");
                }
                self.balance(who, row.balance, "the stored balance");
            }
        }
        let accepted = self.accepted.clone();
        let ids = store
            .read()
            .and_then(|reader| reader.ledger(0, 10_000))
            .map(|rows| rows.iter().map(|(_, row)| row.id).collect::<BTreeSet<WorkId>>());
        let votes = matches!(self.base.kind.strategy, pouw::Strategy::Redundant { .. });
        if let Some(ids) = self.take(ids)
            && !votes
            && !accepted.iter().all(|id| ids.contains(id))
        {
            self.wrong("an answer that counted is not in the stored ledger");
        }
        store.close();
    }
}

fn read<T, E: std::fmt::Display>(scene: &mut Scene, call: impl FnOnce(&Scene) -> Result<T, E>) -> Option<T> {
    let result = call(scene);
    scene.take(result)
}

/// Root, commitment, leaves and proofs of a tree. Returns whether all came out, and right.
fn one_tree(scene: &mut Scene, tree: &Tree) -> bool {
    // A tree that is not complete gives none of them.
    let Some(root) = read(scene, |s| s.engine.root(tree.name)) else { return false };
    let before = scene.outcome.wrong.len();
    if root != tree.root {
        scene.wrong(format!("the root of {} is another one", tree.name));
    }
    if let Some(commitment) = read(scene, |s| s.engine.commitment(tree.name))
        && (commitment.root != tree.root || commitment.leaves != tree.leaves.len() as u64)
    {
        scene.wrong(format!("the commitment of {} is another one", tree.name));
    }
    if let Some(info) = read(scene, |s| s.engine.tree(tree.name))
        && (info.root.is_some_and(|root| root != tree.root) || info.leaves != tree.leaves.len() as u64)
    {
        scene.wrong(format!("{} is described as another tree", tree.name));
    }
    let shape = Shape::new(tree.leaves.len() as u64).unwrap();
    for at in [0, 17, 39] {
        let index = LeafIndex(at as u64);
        if read(scene, |s| s.engine.leaf(tree.name, index)).is_some_and(|leaf| leaf != tree.leaves[at]) {
            scene.wrong(format!("leaf {at} of {} is another one", tree.name));
        }
        if let Some(proof) = read(scene, |s| s.engine.prove(tree.name, index))
            && proof.verify(shape, index, &tree.leaves[at], &tree.root).is_err()
        {
            scene.wrong(format!("the proof of leaf {at} of {} does not lead to its root", tree.name));
        }
    }
    scene.outcome.wrong.len() == before
}
