//! The demo's table.

use std::io::{self, Write};

use indicatif::{HumanBytes, HumanCount};
use pouw::Stats;
use pouw::protocol::DifficultyTier;
use serde::Serialize;

use super::CLIENTS;
use super::audit::Counts;
use crate::drain::Drained;
use crate::words::{count, per_second, rounded};

/// The results of the demo.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    trees: u64,
    leaves: u64,
    roots_matched: u64,
    exports_matched: u64,
    one_tree_block_size: Option<u64>,
    clients: usize,
    tiers: Vec<TierRow>,
    nodes: u64,
    seconds: f64,
    nodes_per_second: u64,
    commits: u64,
    credits_micro_joules: u64,
    ledger_entries: u64,
    bytes_sent: u64,
    /// There was enough work for every client.
    #[serde(skip)]
    plenty: bool,
}

#[derive(Debug, Serialize)]
struct TierRow {
    tier: DifficultyTier,
    units: u64,
    shortfalls: u64,
    leaves: u64,
    nodes: u64,
}

/// With fewer leaves than this, one High client's first unit may be all there is.
const PLENTY_LEAVES: u64 = 32 * CLIENTS as u64;

impl Table {
    pub fn new(drained: &Drained, stats: &Stats, counts: &Counts, one_tree: Option<u64>, pending: u64) -> Self {
        let sum = drained.sum();
        let row = |(tier, tally): (DifficultyTier, &crate::drain::Tally)| TierRow {
            tier,
            units: tally.units,
            shortfalls: tally.shortfalls,
            leaves: tally.leaves,
            nodes: tally.nodes,
        };
        Self {
            trees: counts.trees,
            leaves: counts.leaves,
            roots_matched: counts.roots_matched,
            exports_matched: counts.exports_matched,
            one_tree_block_size: one_tree,
            clients: CLIENTS,
            tiers: DifficultyTier::ALL.into_iter().zip(&drained.tiers).map(row).collect(),
            nodes: sum.nodes,
            seconds: rounded(drained.seconds),
            nodes_per_second: per_second(sum.nodes, drained.seconds),
            commits: drained.commits,
            credits_micro_joules: counts.micro_joules,
            ledger_entries: counts.ledger_entries,
            bytes_sent: stats.bytes_this_boot,
            plenty: pending >= PLENTY_LEAVES,
        }
    }

    /// Returns a finding for each tier that issued no unit although there was enough work.
    pub fn tiers_without_units(&self) -> impl Iterator<Item = String> {
        let idle = self.tiers.iter().filter(|row| self.plenty && row.units == 0);
        idle.map(|row| format!("tier {} issued no unit", row.tier.as_str()))
    }

    pub fn document<'t>(&'t self, findings: &'t [String]) -> impl Serialize + 't {
        #[derive(Serialize)]
        struct Document<'t> {
            #[serde(flatten)]
            table: &'t Table,
            findings: &'t [String],
        }
        Document { table: self, findings }
    }

    pub fn print(&self, to: &mut dyn Write, findings: &[String]) -> io::Result<()> {
        let verdict = |matched| if matched == self.trees { "every one matched" } else { "NOT all matched" };
        writeln!(to, "trees     {:>9}", HumanCount(self.trees).to_string())?;
        match self.one_tree_block_size {
            Some(size) => writeln!(to, "                     one of them of all files, in blocks of {size}")?,
            None => writeln!(to, "                     none of all files: no block size fits them")?,
        }
        writeln!(to, "leaves    {:>9}", HumanCount(self.leaves).to_string())?;
        let matched = HumanCount(self.roots_matched).to_string();
        writeln!(to, "roots     {matched:>9}  recomputed from the files: {}", verdict(self.roots_matched))?;
        let matched = HumanCount(self.exports_matched).to_string();
        writeln!(to, "exports   {matched:>9}  compared: {}", verdict(self.exports_matched))?;
        writeln!(to)?;
        writeln!(to, "tier          units  shortfalls     leaves      nodes")?;
        for TierRow { tier, units, shortfalls, leaves, nodes } in &self.tiers {
            writeln!(to, "{:<8} {units:>10}  {shortfalls:>10} {leaves:>10} {nodes:>10}", tier.as_str())?;
        }
        writeln!(to)?;
        let (nodes, rate) = (count(self.nodes, "node", "nodes"), HumanCount(self.nodes_per_second));
        writeln!(to, "work      {nodes} by {} clients in {:.2} s: {rate} nodes/s", self.clients, self.seconds)?;
        writeln!(to, "sent      {}", HumanBytes(self.bytes_sent))?;
        writeln!(to, "commits   {}", HumanCount(self.commits))?;
        let entries = count(self.ledger_entries, "ledger entry", "ledger entries");
        writeln!(to, "credits   {} uJ in {entries}, 100 uJ for each node", HumanCount(self.credits_micro_joules))?;
        match findings.len() {
            0 => writeln!(to, "\nAll roots, exports and credits are correct, and `pouw check` is clean."),
            wrong => writeln!(to, "\n{}; see above.", count(wrong as u64, "check failed", "checks failed")),
        }
    }
}
