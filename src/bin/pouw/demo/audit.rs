//! The demo's checks: every result is computed again by code that shares only the hash with the
//! engine.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pouw::hash::{Checksum, sha3_512};
use pouw::merkle::{Shape, root};
use pouw::{Exposure, IngestOptions, PouwEngine, TreeError, TreeState};

use crate::drain::{Client, Drained};
use crate::failure::Failure;
use crate::words::printable;

/// Counts of the comparisons.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub trees: u64,
    pub leaves: u64,
    pub roots_matched: u64,
    pub exports_matched: u64,
    pub micro_joules: u64,
    pub ledger_entries: u64,
}

pub struct Audit<'a> {
    engine: &'a PouwEngine,
    findings: &'a mut Vec<String>,
    pub counts: Counts,
}

const LEDGER_PAGE: usize = 1_024;

impl<'a> Audit<'a> {
    pub fn new(engine: &'a PouwEngine, findings: &'a mut Vec<String>) -> Self {
        Self { engine, findings, counts: Counts::default() }
    }

    /// Each file against the tree of its name.
    pub fn files(&mut self, paths: &[PathBuf], prefix: &str, block_size: u64) -> Result<(), Failure> {
        for file in IngestOptions::new(Exposure::Public).prefix(prefix).files(paths)? {
            let file = file?;
            let mut leaves = Vec::new();
            if let Err(error) = hash_blocks(&file.path, block_size, &mut leaves) {
                self.findings.push(format!("{}: {error}", file.path.display()));
                continue;
            }
            self.tree(&file.name, &leaves)?;
        }
        Ok(())
    }

    /// All files, in order, against the one tree.
    pub fn one_tree(&mut self, paths: &[PathBuf], name: &str, block_size: u64) -> Result<(), Failure> {
        let mut leaves = Vec::new();
        for file in IngestOptions::new(Exposure::Public).files(paths)? {
            let file = file?;
            hash_blocks(&file.path, block_size, &mut leaves)
                .map_err(|e| Failure::Failed(format!("{}: {e}", file.path.display())))?;
        }
        self.tree(name, &leaves)
    }

    /// Checks that no tree of the store was left out, and that all are complete.
    pub fn everything_was_compared(&mut self, drained: &Drained) -> Result<(), Failure> {
        let complete = drained.in_state(TreeState::Complete);
        self.expect("trees complete", complete, drained.survey.trees());
        self.expect("trees compared", self.counts.trees, complete);
        self.expect("leaves pending", drained.pending, 0);
        self.expect("leaves accepted", drained.sum().leaves + self.engine.stats().totals.oversized, self.counts.leaves);
        Ok(())
    }

    /// Checks balances, awards and the ledger's chain against each other.
    pub fn credits(&mut self, clients: &[Client], drained: &Drained) -> Result<(), Failure> {
        let sum = drained.sum();
        let mut balances = 0;
        for client in clients {
            balances += self.engine.balance(client.key.as_bytes())?.0;
        }
        let totals = self.engine.stats().totals;
        self.expect("credits reported to clients", sum.micro_joules, sum.nodes * 100);
        self.expect("credits on the accounts", balances, sum.micro_joules);
        self.expect("credits awarded in all", totals.awarded, sum.micro_joules);
        let (mut seq, mut amount, mut leaves, mut digest) = (0, 0, 0, [0; 32]);
        loop {
            let page = self.engine.ledger(seq, LEDGER_PAGE)?;
            if page.is_empty() {
                break;
            }
            for entry in page {
                if entry.seq != seq || !entry.follows(&digest) {
                    self.findings.push(format!("ledger entry {} does not follow entry {seq}", entry.seq));
                    return Ok(());
                }
                digest = entry.digest;
                amount += entry.amount.0;
                leaves += u64::from(entry.leaves);
                seq += 1;
            }
        }
        self.expect("ledger entries", seq, sum.units);
        self.expect("credits in the ledger", amount, sum.micro_joules);
        self.expect("leaves in the ledger", leaves, sum.leaves);
        self.counts.micro_joules = amount;
        self.counts.ledger_entries = seq;
        Ok(())
    }

    /// Root and both exports of one tree against leaves hashed from the files.
    fn tree(&mut self, name: &str, leaves: &[Checksum]) -> Result<(), Failure> {
        self.counts.trees += 1;
        self.counts.leaves += leaves.len() as u64;
        let shown = printable(name);
        let found = match self.engine.root(name) {
            Ok(found) => found,
            Err(error @ (TreeError::Unknown(_) | TreeError::NotComplete { .. })) => {
                self.findings.push(error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let expected = root(leaves);
        if expected != Some(found) {
            self.findings.push(format!("the root of {shown:?} differs from that of its file"));
            return Ok(());
        }
        self.counts.roots_matched += 1;
        let mut at = 0;
        let mut matching = true;
        self.engine.export_leaves(name, &mut |leaf| {
            matching &= leaves.get(at) == Some(leaf);
            at += 1;
            Ok(())
        })?;
        matching &= at == leaves.len();
        let nodes = Shape::new(leaves.len() as u64)?.node_count();
        let above = nodes - leaves.len() as u64;
        let mut at = 0;
        self.engine.export_addresses(name, &mut |node| {
            matching &= at > 0 || *node == found;
            matching &= at < above || leaves.get((at - above) as usize) == Some(node);
            at += 1;
            Ok(())
        })?;
        if matching && at == nodes {
            self.counts.exports_matched += 1;
        } else {
            self.findings.push(format!("an export of {shown:?} differs from the hashes of its file"));
        }
        Ok(())
    }

    fn expect(&mut self, what: &str, found: u64, expected: u64) {
        if found != expected {
            self.findings.push(format!("{what}: {found}, expected {expected}"));
        }
    }
}

/// Appends the hash of each block; an empty file is one empty block.
fn hash_blocks(path: &Path, block_size: u64, leaves: &mut Vec<Checksum>) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut block = Vec::new();
    let mut first = true;
    loop {
        block.clear();
        (&mut file).take(block_size).read_to_end(&mut block)?;
        if block.is_empty() && !first {
            return Ok(());
        }
        first = false;
        leaves.push(sha3_512(&block));
    }
}
