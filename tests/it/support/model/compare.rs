//! The whole state of an engine against its oracle.

use pouw::hash::Checksum;
use pouw::internal::store::rows::DataPlace;
use pouw::merkle::{LeafIndex, root};
use pouw::{Receipt, TreeError, TreeId, TreeState};

use super::ensure;
use super::ops::TTL_MS;
use super::oracle::{Entry, Standing, Tree};
use super::world::{CLIENTS, Step, World, client_key};

/// Rows asked for at once: few, so that paging is part of what is compared.
const PAGE: usize = 7;

impl World {
    /// What can be compared after every step: counters, leases, the newest ledger entries.
    pub fn check_counters(&self) -> Step {
        let (stats, oracle) = (self.engine.stats(), &self.oracle);
        let totals = stats.totals;
        let live = oracle.live().count();
        ensure!(stats.leases == live, "{} leases, not {live}", stats.leases);
        let pending: u64 = oracle.alive().map(|(_, tree)| tree.pending()).sum();
        ensure!(totals.pending == pending, "{} leaves pending, not {pending}", totals.pending);
        let trees = oracle.alive().count() as u64;
        let complete = oracle.alive().filter(|(_, tree)| tree.state == TreeState::Complete).count() as u64;
        ensure!((totals.trees, totals.complete) == (trees, complete), "trees: {totals:?}, not {trees}, {complete}");
        use pouw::EntryKind;
        let sum = |kind: EntryKind, what: fn(&Entry) -> u64| -> u64 {
            oracle.entries.iter().filter(|entry| entry.kind == kind).map(what).sum()
        };
        let units = sum(EntryKind::Leaves, |_| 1);
        let leaves = sum(EntryKind::Leaves, |entry| entry.leaves.into());
        let nodes = sum(EntryKind::Leaves, |e| e.nodes.into()) + sum(EntryKind::Interior, |e| e.nodes.into());
        ensure!((totals.units, totals.leaves, totals.nodes) == (units, leaves, nodes), "{totals:?}");
        let others = (sum(EntryKind::Interior, |_| 1), sum(EntryKind::Synthetic, |_| 1));
        ensure!((totals.interior, totals.synthetic) == others, "{totals:?}, not {others:?}");
        let debited = sum(EntryKind::Debit, |entry| entry.amount);
        let awarded = oracle.entries.iter().map(|entry| entry.amount).sum::<u64>() - debited;
        ensure!((totals.awarded, totals.debited) == (awarded, debited), "{totals:?}, not {awarded}, {debited}");
        let entries = oracle.entries.len() as u64;
        ensure!(stats.ledger_entries == entries, "{} ledger entries, not {entries}", stats.ledger_entries);
        let (free, bytes) = oracle.free();
        ensure!(stats.ready_bytes as u64 <= bytes, "{} bytes ready, {bytes} free", stats.ready_bytes);
        ensure!(free > 0 || stats.ready_units == 0, "{} units ready, nothing free", stats.ready_units);
        Ok(())
    }

    /// Everything: trees, ledger, balances, receipts.
    pub fn check_all(&self) -> Step<&'static str> {
        self.check_trees()?;
        for (_, tree) in self.oracle.alive() {
            self.check_tree(tree).map_err(|what| format!("tree {}: {what}", tree.name))?;
        }
        self.check_ledger()?;
        self.check_receipts()?;
        Ok("same")
    }

    fn check_trees(&self) -> Step {
        let (mut listed, mut partial) = (Vec::new(), Vec::new());
        loop {
            let page = self.engine.trees(listed.last().copied(), PAGE).map_err(|e| e.to_string())?;
            listed.extend(page.iter().map(|tree| tree.id));
            if page.len() < PAGE {
                break;
            }
        }
        loop {
            let page = self.engine.partial_trees(partial.last().copied(), PAGE).map_err(|e| e.to_string())?;
            partial.extend(page.iter().map(|tree| tree.id));
            if page.len() < PAGE {
                break;
            }
        }
        let is_partial = |tree: &Tree| tree.state == TreeState::Active && tree.pending() < tree.leaves.len() as u64;
        let all: Vec<TreeId> = self.oracle.alive().filter_map(|(_, tree)| tree.id).map(TreeId::new).collect();
        let some = self.oracle.alive().filter(|(_, tree)| is_partial(tree)).filter_map(|(_, tree)| tree.id);
        let some: Vec<TreeId> = some.map(TreeId::new).collect();
        ensure!(listed == all, "trees {listed:?}, not {all:?}");
        ensure!(self.engine.partial_trees(None, 0).map_err(|e| e.to_string())?.is_empty(), "none was wanted");
        ensure!(partial == some, "partial trees {partial:?}, not {some:?}");
        Ok(())
    }

    fn check_tree(&self, tree: &Tree) -> Step {
        let info = self.engine.tree(&tree.name).map_err(|e| e.to_string())?;
        let nodes: usize = tree.levels.iter().map(Vec::len).sum();
        let shape = (info.leaves, info.pending, info.height, info.nodes);
        let expected = (tree.leaves.len() as u64, tree.pending(), tree.height(), nodes as u64);
        ensure!(shape == expected && info.state == tree.state, "{info:?}, not {expected:?} {:?}", tree.state);
        ensure!((info.block_len, info.total_bytes) == (tree.block_len, tree.total_bytes()), "{info:?}");
        let complete = tree.state == TreeState::Complete;
        ensure!(Some(info.id.get()) == tree.id && info.root == complete.then(|| tree.root()), "{info:?}");
        let place = if complete { DataPlace::Dropped } else { DataPlace::Copied };
        ensure!(info.data == place && info.commitment.is_some() == complete, "{info:?}");
        let mut remaining = Vec::new();
        loop {
            let from = LeafIndex(remaining.last().map_or(0, |last| last + 1));
            let page = self.engine.remaining_nodes(&tree.name, from, PAGE).map_err(|e| e.to_string())?;
            ensure!(page.iter().all(|at| at.level.0 == tree.height()), "{page:?}");
            remaining.extend(page.iter().map(|at| at.index));
            if page.len() < PAGE {
                break;
            }
        }
        let pending: Vec<u64> = (0..).zip(&tree.done).filter(|(_, done)| !**done).map(|(leaf, _)| leaf).collect();
        ensure!(remaining == pending, "leaves {remaining:?} are pending, not {pending:?}");
        if complete { self.check_export(tree) } else { self.check_no_export(&tree.name) }
    }

    fn check_export(&self, tree: &Tree) -> Step {
        let name = tree.name.as_str();
        self.engine.validate(name).map_err(|e| e.to_string())?;
        let leaves = tree.levels.last().expect("a tree has a level");
        let rooted = self.engine.root(name).map_err(|e| e.to_string())?;
        ensure!(Some(rooted) == root(leaves) && rooted == tree.root(), "the root is {rooted}");
        let (mut some, mut all) = (Vec::new(), Vec::new());
        let count =
            self.engine.export_leaves(name, &mut |node| push(&mut some, node)).map_err(|e| e.to_string())?.nodes;
        ensure!(some == *leaves && count == some.len() as u64, "{count} leaves came out");
        let count =
            self.engine.export_addresses(name, &mut |node| push(&mut all, node)).map_err(|e| e.to_string())?.nodes;
        ensure!(all == tree.levels.concat() && count == all.len() as u64, "{count} nodes came out");
        let commitment = self.engine.commitment(name).map_err(|e| e.to_string())?;
        ensure!(commitment.root == rooted && commitment.leaves == leaves.len() as u64, "{commitment:?}");
        ensure!(
            (commitment.block_len, commitment.total_bytes) == (tree.block_len, tree.total_bytes()),
            "{commitment:?}"
        );
        Ok(())
    }

    fn check_no_export(&self, name: &str) -> Step {
        let mut nodes = Vec::new();
        let outcomes = [
            self.engine.root(name).map(|_| 0),
            self.engine.validate(name).map(|()| 0),
            self.engine.commitment(name).map(|_| 0),
            self.engine.prove(name, LeafIndex(0)).map(|_| 0),
            self.engine.export_leaves(name, &mut |node| push(&mut nodes, node)).map(|exported| exported.nodes),
        ];
        for outcome in outcomes {
            ensure!(matches!(outcome, Err(TreeError::NotComplete { .. })), "it came to {outcome:?}");
        }
        ensure!(nodes.is_empty(), "an incomplete tree exported {} nodes", nodes.len());
        Ok(())
    }

    /// Entries are gapless and chained, are those of the oracle, and add up to the balances.
    fn check_ledger(&self) -> Step {
        let oracle = &self.oracle;
        let (mut before, mut seq, mut last) = ([0; 32], 0u64, [None; CLIENTS as usize]);
        let mut sums = [0u64; CLIENTS as usize];
        loop {
            let page = self.engine.ledger(seq, PAGE).map_err(|e| e.to_string())?;
            for entry in &page {
                let Some(expected) = oracle.entries.get(seq as usize) else {
                    return Err(format!("entry {seq} is not the oracle's"));
                };
                let (row, who) = (entry, usize::from(expected.client));
                ensure!(entry.seq == seq, "entry {} instead of {seq}", entry.seq);
                ensure!(row.follows(&before), "entry {seq} is not chained");
                ensure!(row.previous == last[who], "entry {seq} follows {:?}, not {:?}", row.previous, last[who]);
                let digest = self.engine.client_digest(&client_key(expected.client));
                let found = (row.client, row.kind, *row.id.as_bytes(), row.amount.0, row.leaves, row.nodes);
                let wanted = (digest, expected.kind, expected.id, expected.amount, expected.leaves, expected.nodes);
                ensure!(found == wanted, "entry {seq} is {row:?}, not {expected:?}");
                let place = (row.tree.map_or(0, TreeId::get), row.start, row.order);
                ensure!(place == (expected.tree, expected.start, expected.order), "{row:?}, not {expected:?}");
                let debit = row.kind == pouw::EntryKind::Debit;
                sums[who] = if debit { sums[who] - row.amount.0 } else { sums[who] + row.amount.0 };
                (before, last[who], seq) = (row.digest, Some(seq), seq + 1);
            }
            if page.len() < PAGE {
                break;
            }
        }
        ensure!(seq == oracle.entries.len() as u64, "{seq} entries, not {}", oracle.entries.len());
        for client in 0..CLIENTS {
            let balance = self.engine.balance(&client_key(client)).map_err(|e| e.to_string())?.0;
            let expected = oracle.balances.get(&client).copied().unwrap_or(0);
            let sum = sums[usize::from(client)];
            ensure!(balance == expected && balance == sum, "client {client} has {balance}, not {expected} or {sum}");
            let own = self.engine.ledger_of(&client_key(client), None, usize::MAX).map_err(|e| e.to_string())?;
            let mine = (0..).zip(&oracle.entries).filter(|(_, entry)| entry.client == client).map(|(seq, _)| seq);
            let mut mine: Vec<u64> = mine.collect();
            mine.reverse();
            let found: Vec<u64> = own.iter().map(|entry| entry.seq).collect();
            ensure!(found == mine, "client {client} has entries {found:?}, not {mine:?}");
        }
        Ok(())
    }

    fn check_receipts(&self) -> Step {
        for token in &self.oracle.tokens {
            let receipt = self.engine.receipt(token.unit.id).map_err(|e| e.to_string())?;
            let holds = match (token.standing, &receipt) {
                (Standing::Accepted, Receipt::Accepted(entry)) => entry.id == token.unit.id,
                (Standing::Live, Receipt::Open) => true,
                (Standing::Refused(_), Receipt::Refused) | (Standing::Unsure, Receipt::Refused) => true,
                // Pruned a lifetime after its expiry.
                (Standing::Refused(_), Receipt::Unknown) => token.unit.expires_at.0 + TTL_MS < self.engine.now().0,
                (Standing::None | Standing::Unsure, Receipt::Unknown) => true,
                _ => false,
            };
            ensure!(holds, "the receipt of a token that is {:?} says {receipt:?}", token.standing);
        }
        Ok(())
    }

    /// Proves a leaf and verifies the proof against the commitment alone.
    pub(super) fn prove(&self, tree: u8, leaf: u8) -> Step<&'static str> {
        let complete: Vec<&Tree> =
            self.oracle.alive().map(|(_, tree)| tree).filter(|tree| tree.state == TreeState::Complete).collect();
        if complete.is_empty() {
            return Ok("nothing");
        }
        let tree = complete[usize::from(tree) % complete.len()];
        let count = tree.leaves.len() as u64;
        let index = u64::from(leaf) % (count + 1);
        match self.engine.prove(&tree.name, LeafIndex(index)) {
            Err(TreeError::LeafRange { leaf, leaves, .. }) if index == count && (leaf, leaves) == (index, count) => {
                Ok("out_of_range")
            }
            Ok(proof) if index < count => {
                let commitment = self.engine.commitment(&tree.name).map_err(|e| e.to_string())?;
                let data = &tree.leaves[index as usize];
                commitment.verify_leaf(LeafIndex(index), data, &proof).map_err(|e| e.to_string())?;
                let other = [data.as_slice(), &[1]].concat();
                let refused = commitment.verify_leaf(LeafIndex(index), &other, &proof);
                ensure!(refused.is_err(), "other data verifies as leaf {index}");
                Ok("proved")
            }
            other => Err(format!("leaf {index} of {count} came to {other:?}")),
        }
    }
}

fn push(to: &mut Vec<Checksum>, node: &Checksum) -> std::io::Result<()> {
    to.push(*node);
    Ok(())
}
