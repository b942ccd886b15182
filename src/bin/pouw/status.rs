//! `pouw status`: the store at a glance.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use pouw::engine::Stats;
use serde::Serialize;

use crate::drain::count_states;
use crate::failure::{Failure, Verdict};
use crate::output::Output;
use crate::place::Place;
use crate::words::{STATES, count};

/// Show what is in the store: trees by state, pending leaves, accepted work, credits, sizes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    place: Place,
}

const EXAMPLES: &str = "\
Examples:
  pouw status --db store
  pouw status --db store --json";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    trees: BTreeMap<&'static str, u64>,
    pending_leaves: u64,
    accepted: Accepted,
    synthetic_units: u64,
    wrong_answers: u64,
    oversized_leaves: u64,
    micro_joules: Credits,
    ledger_entries: u64,
    commits: u64,
    openings: u64,
    state_bytes: u64,
    block_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Accepted {
    units: u64,
    leaves: u64,
    nodes: u64,
}

#[derive(Debug, Serialize)]
struct Credits {
    awarded: u64,
    debited: u64,
}

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    let engine = options.place.open()?;
    let states = count_states(&engine)?;
    let stats = engine.stats();
    engine.close();
    out.show(&document(&states, &stats), |to| human(to, &states, &stats))?;
    Ok(Verdict::Done)
}

fn human(to: &mut dyn Write, states: &[u64; STATES.len()], stats: &Stats) -> io::Result<()> {
    let totals = &stats.totals;
    let present = STATES.iter().zip(states).filter(|(_, count)| **count > 0);
    let by_state: Vec<String> = present.map(|((_, word), count)| format!("{} {word}", HumanCount(*count))).collect();
    let by_state = if by_state.is_empty() { "none".to_owned() } else { by_state.join(", ") };
    writeln!(to, "trees      {by_state}")?;
    writeln!(to, "pending    {}", count(totals.pending, "leaf", "leaves"))?;
    writeln!(
        to,
        "accepted   {}, {}, {}",
        count(totals.units, "unit", "units"),
        count(totals.leaves, "leaf", "leaves"),
        count(totals.nodes, "node", "nodes"),
    )?;
    writeln!(to, "refused    {}", count(totals.refused, "wrong answer", "wrong answers"))?;
    let (awarded, debited) = (HumanCount(totals.awarded), HumanCount(totals.debited));
    writeln!(to, "credits    {awarded} uJ awarded, {debited} uJ debited")?;
    let entries = count(stats.ledger_entries, "entry", "entries");
    writeln!(to, "ledger     {entries}, {}", count(stats.commits, "commit", "commits"))?;
    let (state, blocks) = stats.file_bytes;
    writeln!(to, "files      {} state, {} blocks", HumanBytes(state), HumanBytes(blocks))
}

fn document(states: &[u64; STATES.len()], stats: &Stats) -> Document {
    let totals = &stats.totals;
    Document {
        trees: STATES.iter().zip(states).map(|((_, word), count)| (*word, *count)).collect(),
        pending_leaves: totals.pending,
        accepted: Accepted { units: totals.units, leaves: totals.leaves, nodes: totals.nodes },
        synthetic_units: totals.synthetic,
        wrong_answers: totals.refused,
        oversized_leaves: totals.oversized,
        micro_joules: Credits { awarded: totals.awarded, debited: totals.debited },
        ledger_entries: stats.ledger_entries,
        commits: stats.commits,
        openings: stats.boot,
        state_bytes: stats.file_bytes.0,
        block_bytes: stats.file_bytes.1,
    }
}
