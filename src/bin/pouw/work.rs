//! `pouw work`: drains the real backlog.

use std::io::{self, Write};

use clap::Args;
use indicatif::HumanCount;
use pouw::store::records::TreeState;
use serde::Serialize;

use crate::args::Tier;
use crate::drain::{Client, Drained, drain};
use crate::failure::{Failure, Verdict};
use crate::output::{Output, complain};
use crate::place::Place;
use crate::words::{count, per_second, printable, rounded};

/// Hash everything that is pending, through the same challenges a paying client answers.
///
/// Each client asks for a unit, hashes it and submits the answer, which is durable before it counts. Ends when
/// no leaf is pending and every complete tree is assembled. It can be stopped at any moment and started again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    place: Place,
    /// Clients that work at the same time, with the keys client-0, client-1 and so on; 1 to 256.
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=256))]
    clients: u16,
    /// How hard the units are.
    #[arg(long, value_enum, default_value = "high")]
    tier: Tier,
}

const EXAMPLES: &str = "\
Examples:
  pouw work --db store
  pouw work --db store --clients 64 --tier low

Exit code 1 and a list of reasons if leaves are left that cannot be handed out, for instance because a file
ingested by reference has changed or is gone.";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'d> {
    units: u64,
    shortfalls: u64,
    leaves: u64,
    nodes: u64,
    seconds: f64,
    nodes_per_second: u64,
    credits_micro_joules: u64,
    commits: u64,
    pending: u64,
    trees_complete: u64,
    blocked: Vec<Blocked<'d>>,
}

#[derive(Debug, Serialize)]
struct Blocked<'d> {
    tree: &'d str,
    why: &'d str,
}

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    let engine = options.place.open_to_work()?;
    let tier = options.tier.into();
    let clients: Vec<Client> = (0..options.clients).map(|i| Client { key: format!("client-{i}"), tier }).collect();
    let pending = engine.stats().totals.pending;
    let template = "{bar:32} {human_pos}/{human_len} leaves, {per_sec}, {eta} left {msg}";
    let bar = out.progress(Some(pending), template);
    let drained = drain(&engine, &clients, &bar);
    bar.finish_and_clear();
    engine.close();
    let drained = drained?;
    let done = tell_rest(&drained);
    out.show(&document(&drained), |to| human(to, &drained))?;
    Ok(Verdict::of(done))
}

/// Says on stderr what is left over; whether nothing is.
fn tell_rest(drained: &Drained) -> bool {
    for (tree, why) in &drained.blocked {
        complain(&format!("tree {:?} waits for its data: {why}", printable(tree)));
    }
    if drained.pending > 0 {
        let left = count(drained.pending, "leaf is", "leaves are");
        let advice = match drained.blocked.is_empty() {
            true => "run: pouw check",
            false => "put the files back as they were and run this again",
        };
        complain(&format!("{left} left that cannot be handed out; {advice}"));
    }
    if let unfinished @ 1.. = drained.in_state(TreeState::Ingesting) {
        let trees = count(unfinished, "tree is", "trees are");
        complain(&format!("{trees} not ingested to the end; run the same `pouw ingest` again, then this"));
    }
    if let broken @ 1.. = drained.in_state(TreeState::Inconsistent) {
        let trees = count(broken, "tree contradicts itself", "trees contradict themselves");
        complain(&format!("{trees} and will not export; run: pouw check"));
        return false;
    }
    drained.pending == 0
}

fn human(to: &mut dyn Write, drained: &Drained) -> io::Result<()> {
    let sum = drained.sum();
    writeln!(
        to,
        "{}, {}, {} in {:.1} s ({} nodes/s); {} uJ credited, {}",
        count(sum.units, "unit", "units"),
        count(sum.leaves, "leaf", "leaves"),
        count(sum.nodes, "node", "nodes"),
        drained.seconds,
        HumanCount(per_second(sum.nodes, drained.seconds)),
        HumanCount(sum.micro_joules),
        count(drained.commits, "commit", "commits"),
    )?;
    let complete = drained.in_state(TreeState::Complete);
    writeln!(to, "{} complete, {} pending", count(complete, "tree", "trees"), count(drained.pending, "leaf", "leaves"))
}

fn document(drained: &Drained) -> Document<'_> {
    let sum = drained.sum();
    Document {
        units: sum.units,
        shortfalls: sum.shortfalls,
        leaves: sum.leaves,
        nodes: sum.nodes,
        seconds: rounded(drained.seconds),
        nodes_per_second: per_second(sum.nodes, drained.seconds),
        credits_micro_joules: sum.micro_joules,
        commits: drained.commits,
        pending: drained.pending,
        trees_complete: drained.in_state(TreeState::Complete),
        blocked: drained.blocked.iter().map(|(tree, why)| Blocked { tree, why }).collect(),
    }
}
