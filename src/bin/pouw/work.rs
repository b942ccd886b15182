//! `pouw work`: drains the real backlog.

use std::io::{self, Write};

use clap::Args;
use indicatif::HumanCount;
use pouw::{PouwEngine, TreeState};
use serde::Serialize;

use crate::args::Tier;
use crate::damage::{Damage, tell_damage};
use crate::drain::{Client, Drained, drain};
use crate::failure::{Failure, Verdict};
use crate::output::{Output, complain};
use crate::place::Place;
use crate::survey::Survey;
use crate::words::{QuorumsDocument, count, per_second, printable, rounded};

/// Hash everything that is pending, through the same challenges a paying client answers.
///
/// Each client asks for a unit, hashes it and submits the answer, which is durable before it counts. Ends when
/// no leaf is pending and every complete tree is assembled. It can be stopped at any moment and started again.
///
/// The clients count as distinct and as networks of their own, although one machine does all the work: of a tree that
/// is verified by a quorum each unit is hashed by several of them.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    place: Place,
    /// Clients that work at the same time, with the keys client-0, client-1 and so on; 1 to 256. At least as many as
    /// the largest quorum of a tree.
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
ingested by reference has changed or is gone, or because their votes wait for clients that are not in this run;
and if damaged blocks were found, now or earlier.";

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
    /// Units that were taken as votes, and what is or was to be credited for them when their quorums are complete.
    votes: u64,
    deferred_micro_joules: u64,
    commits: u64,
    pending: u64,
    trees_complete: u64,
    /// Votes that wait now.
    quorums: QuorumsDocument,
    damaged_blocks: u64,
    damaged: &'d [Damage],
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
    warn_of_quorums(&engine, options.clients)?;
    let pending = engine.stats().totals.pending;
    let template = "{bar:32} {human_pos}/{human_len} leaves, {per_sec}, {eta} left {msg}";
    let bar = out.progress(Some(pending), template);
    let drained = drain(&engine, &clients, &bar);
    bar.finish_and_clear();
    let wait_ms = engine.quorum_wait_ms();
    engine.close();
    let drained = drained?;
    let done = tell_rest(&drained, options, wait_ms);
    out.show(&document(&drained), |to| human(to, &drained))?;
    Ok(Verdict::of(done))
}

/// Trees whose quorum is larger than the crew cannot be finished by it.
fn warn_of_quorums(engine: &PouwEngine, clients: u16) -> Result<(), Failure> {
    if let Some((trees, quorum)) = Survey::of(engine)?.beyond(clients.into()) {
        let trees = count(trees, "tree waits", "trees wait");
        let clients = count(clients.into(), "client", "clients");
        let wait = minutes(engine.quorum_wait_ms());
        complain(&format!(
            "{trees} for the same answer from up to {quorum} clients, and {clients} will work: give --clients {quorum}, \
             or run this again {wait} later, when the server hashes what still has too few votes"
        ));
    }
    Ok(())
}

fn minutes(ms: u64) -> String {
    count(ms.div_ceil(60_000), "minute", "minutes")
}

/// Says on stderr what is left over; whether nothing is.
fn tell_rest(drained: &Drained, options: &Options, wait_ms: u64) -> bool {
    for (tree, why) in &drained.blocked {
        complain(&format!("tree {:?} waits for its data: {why}", printable(tree)));
    }
    tell_votes(drained, options, wait_ms);
    if drained.pending > 0 {
        let left = count(drained.pending, "leaf is", "leaves are");
        let advice = match (drained.blocked.is_empty(), drained.quorums.units) {
            (false, _) => "put the files back as they were and run this again",
            (true, 1..) => "see above",
            (true, 0) => "run: pouw check",
        };
        complain(&format!("{left} left that cannot be handed out; {advice}"));
    }
    tell_damage(drained.survey.damaged, &drained.damaged);
    if let unfinished @ 1.. = drained.in_state(TreeState::Ingesting) {
        let trees = count(unfinished, "tree is", "trees are");
        complain(&format!("{trees} not ingested to the end; run the same `pouw ingest` again, then this"));
    }
    if let broken @ 1.. = drained.in_state(TreeState::Inconsistent) {
        let trees = count(broken, "tree contradicts itself", "trees contradict themselves");
        complain(&format!("{trees} and will not export; run: pouw check"));
        return false;
    }
    drained.pending == 0 && drained.survey.damaged == 0
}

/// Votes that nobody of this run may join.
fn tell_votes(drained: &Drained, options: &Options, wait_ms: u64) {
    let quorums = &drained.quorums;
    if quorums.units == 0 {
        return;
    }
    let (votes, units) = (count(quorums.votes, "vote", "votes"), count(quorums.units, "unit", "units"));
    let largest = drained.survey.beyond(options.clients.into()).map(|(_, quorum)| quorum);
    let advice = match largest {
        Some(quorum) => format!("give --clients {quorum}"),
        // A tier takes no unit with votes that is larger than its own.
        None if options.tier != Tier::High => "give --tier high".to_owned(),
        None => "give more --clients".to_owned(),
    };
    complain(&format!(
        "{votes} on {units} wait for the same answer from other clients: {advice}, or run this again {} after they \
         came, when the server hashes their leaves itself",
        minutes(wait_ms)
    ));
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
        HumanCount(drained.credited),
        count(drained.commits, "commit", "commits"),
    )?;
    if sum.votes > 0 {
        let (votes, deferred) = (count(sum.votes, "unit was a vote", "units were votes"), HumanCount(sum.deferred));
        let (waiting, later) = (HumanCount(drained.quorums.votes), HumanCount(drained.quorums.deferred));
        writeln!(to, "{votes}, for {deferred} uJ once a quorum agrees; {waiting} votes wait, for {later} uJ")?;
    }
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
        credits_micro_joules: drained.credited,
        votes: sum.votes,
        deferred_micro_joules: sum.deferred,
        commits: drained.commits,
        pending: drained.pending,
        trees_complete: drained.in_state(TreeState::Complete),
        quorums: (&drained.quorums).into(),
        damaged_blocks: drained.survey.damaged,
        damaged: &drained.damaged,
        blocked: drained.blocked.iter().map(|(tree, why)| Blocked { tree, why }).collect(),
    }
}
