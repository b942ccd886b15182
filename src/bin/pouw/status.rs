//! `pouw status`: a summary of a store.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::Args;
use data_encoding::HEXLOWER;
use indicatif::{HumanBytes, HumanCount};
use pouw::protocol::UnixMillis;
use pouw::{CopyOf, OpenQuorums, ScrubPosition, ScrubStats, Stats};
use serde::Serialize;

use crate::damage::{DAMAGE_SHOWN, Damage, first_damaged};
use crate::failure::{Failure, Verdict};
use crate::output::Output;
use crate::scrub::but_for;
use crate::store::StoreArguments;
use crate::survey::Survey;
use crate::usefulness::{self, Usefulness};
use crate::words::{count, printable, rounded};

/// Summarize a store.
///
/// Prints trees by state, pending leaves, accepted work, credits, file sizes, damaged blocks, and
/// how much hashing clients saved the server.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    store: StoreArguments,
}

const EXAMPLES: &str = "\
Examples:
  pouw status --db store
  pouw status --db store --json

The table counts Keccak permutations, the unit of SHA3-512's cost, since the store was created. `saved` is the accepted
work of clients minus the server's own. The strategy `precomputed` saves none: the server hashes each leaf first.";

/// Units with votes that are counted.
const QUORUMS_COUNTED: u64 = 16_384;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'d> {
    trees: BTreeMap<&'static str, u64>,
    pending_leaves: u64,
    doubted_leaves: u64,
    quorums: &'d OpenQuorums,
    damaged: Damaged<'d>,
    accepted: Accepted,
    synthetic_units: u64,
    wrong_answers: u64,
    oversized_leaves: u64,
    micro_joules: Credits,
    ledger_entries: u64,
    commits: u64,
    openings: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    copy_of: Option<Origin>,
    state_bytes: u64,
    block_bytes: u64,
    scrub: Scrub,
    usefulness: Usefulness,
}

/// Reading what is stored to find damage.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Scrub {
    last_full_pass: Option<String>,
    /// Damaged leaves and rows that it found.
    last_full_pass_found: u64,
    /// Pages that it could not read.
    last_full_pass_passed_over: u64,
    /// Part of the pass in progress that is done, 0 to 1; `None` if there is none.
    progress: Option<f64>,
    /// Damaged leaves and rows that it has found.
    found: u64,
}

impl From<&ScrubStats> for Scrub {
    fn from(scrub: &ScrubStats) -> Self {
        Self {
            last_full_pass: scrub.last_full_pass.map(UnixMillis::to_rfc3339),
            last_full_pass_found: scrub.last_full_pass_found,
            last_full_pass_passed_over: scrub.last_full_pass_passed_over,
            progress: (scrub.position != ScrubPosition::Idle).then(|| rounded(scrub.progress())),
            found: scrub.pass_found,
        }
    }
}

/// The store that this one was copied from.
#[derive(Debug, Serialize)]
struct Origin {
    store: String,
    commit: u64,
}

/// Blocks that do not hash to their addresses.
#[derive(Debug, Serialize)]
struct Damaged<'d> {
    blocks: u64,
    first: &'d [Damage],
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

struct Found {
    survey: Survey,
    stats: Stats,
    quorums: OpenQuorums,
    damaged: Vec<Damage>,
    copy_of: Option<CopyOf>,
}

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    let engine = options.store.look()?;
    let found = Found {
        survey: Survey::of(&engine)?,
        stats: engine.stats(),
        quorums: engine.open_quorums(QUORUMS_COUNTED)?,
        damaged: first_damaged(&engine, DAMAGE_SHOWN)?,
        copy_of: engine.copy_of(),
    };
    engine.close();
    out.show(&document(&found), |to| human(to, &found))?;
    Ok(Verdict::Done)
}

fn human(to: &mut dyn Write, found: &Found) -> io::Result<()> {
    let Found { survey, stats, quorums, .. } = found;
    let totals = &stats.totals;
    let present = survey.by_state().filter(|(_, count)| *count > 0);
    let by_state: Vec<String> = present.map(|(state, count)| format!("{} {state}", HumanCount(count))).collect();
    let by_state = if by_state.is_empty() { "none".to_owned() } else { by_state.join(", ") };
    writeln!(to, "trees      {by_state}")?;
    writeln!(to, "pending    {}", count(totals.pending, "leaf", "leaves"))?;
    if quorums.units > 0 {
        let more = if quorums.more { " or more" } else { "" };
        let (votes, units) = (count(quorums.votes, "vote", "votes"), count(quorums.units, "unit", "units"));
        writeln!(to, "waiting    {votes} on {units}{more} for the same answer from others")?;
    }
    if survey.doubted > 0 {
        writeln!(to, "doubted    {}, to be hashed by the server", count(survey.doubted, "leaf", "leaves"))?;
    }
    damage(to, found)?;
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
    let files = stats.file_bytes;
    writeln!(to, "files      {} state, {} blocks", HumanBytes(files.state), HumanBytes(files.blocks))?;
    scrubbed(to, &(&stats.scrub).into())?;
    if let Some(Origin { store, commit }) = found.copy_of.map(origin) {
        writeln!(to, "copy       of store {store} after its commit {commit}")?;
    }
    usefulness::print(to, &stats.account)
}

fn scrubbed(to: &mut dyn Write, scrub: &Scrub) -> io::Result<()> {
    let found = match scrub.found {
        0 => String::new(),
        found => format!(", {} so far", count(found, "finding", "findings")),
    };
    let progress = scrub.progress.map_or(String::new(), |done| format!("; {:.0} % of the next{found}", done * 100.0));
    match (&scrub.last_full_pass, scrub.last_full_pass_found) {
        (None, _) => writeln!(to, "scrubbed   no full pass yet{progress}"),
        (Some(at), 0) => writeln!(to, "scrubbed   {at}, nothing damaged{progress}"),
        (Some(at), found) => {
            let found = count(found, "finding", "findings");
            let but = but_for(scrub.last_full_pass_passed_over);
            writeln!(to, "scrubbed   {at}, {found}{but}; see: pouw scrub{progress}")
        }
    }
}

fn origin(of: CopyOf) -> Origin {
    Origin { store: HEXLOWER.encode(&of.store), commit: of.commit_seq }
}

fn damage(to: &mut dyn Write, found: &Found) -> io::Result<()> {
    let all = found.survey.damaged;
    if all == 0 {
        return Ok(());
    }
    writeln!(to, "damaged    {}; restore the files and run their `pouw ingest` again:", count(all, "block", "blocks"))?;
    for Damage { tree, leaf, address } in &found.damaged {
        let address = address.as_ref().map_or_else(String::new, |address| format!(", address {address}"));
        writeln!(to, "           leaf {leaf} of {:?}{address}", printable(tree))?;
    }
    match all.saturating_sub(found.damaged.len() as u64) {
        0 => Ok(()),
        more => writeln!(to, "           and {} more", HumanCount(more)),
    }
}

fn document(found: &Found) -> Document<'_> {
    let Found { survey, stats, quorums, damaged, copy_of } = found;
    let totals = &stats.totals;
    Document {
        trees: survey.by_state().map(|(state, count)| (state.as_str(), count)).collect(),
        pending_leaves: totals.pending,
        doubted_leaves: survey.doubted,
        quorums,
        damaged: Damaged { blocks: survey.damaged, first: damaged },
        accepted: Accepted { units: totals.units, leaves: totals.leaves, nodes: totals.nodes },
        synthetic_units: totals.synthetic,
        wrong_answers: totals.refused,
        oversized_leaves: totals.oversized,
        micro_joules: Credits { awarded: totals.awarded, debited: totals.debited },
        ledger_entries: stats.ledger_entries,
        commits: stats.commits,
        openings: stats.boot,
        copy_of: copy_of.map(origin),
        state_bytes: stats.file_bytes.state,
        block_bytes: stats.file_bytes.blocks,
        scrub: (&stats.scrub).into(),
        usefulness: (&stats.account).into(),
    }
}
