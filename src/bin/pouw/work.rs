//! `pouw work`: drains the real backlog.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use indicatif::HumanCount;
use pouw::{OpenQuorums, PouwEngine, TreeState};
use serde::Serialize;

use crate::args::Tier;
use crate::damage::{Damage, report_damage};
use crate::drain::{Client, Drained, drain};
use crate::failure::{Failure, Verdict};
use crate::output::{Output, complain};
use crate::store::StoreArguments;
use crate::survey::Survey;
use crate::words::{count, per_second, printable, rounded};

/// Hash all pending leaves with clients on this machine.
///
/// Each client requests a unit, hashes it and submits the answer, as a client of a server does.
/// Ends when no leaf is pending and every tree is complete. Prints the numbers of units, leaves and
/// nodes, and the credits. It can be stopped at any time and started again.
///
/// Each client counts as a client in a network of its own. So in a tree with the strategy quorum:Q,
/// Q of them hash each unit.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    store: StoreArguments,
    /// Number of concurrent clients, 1 to 256; at least the largest quorum of a tree. Their names
    /// are client-0, client-1 and so on.
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=256))]
    clients: u16,
    /// Size of the units.
    #[arg(long, value_enum, default_value = "high")]
    tier: Tier,
}

const EXAMPLES: &str = "\
Examples:
  pouw work --db store
  pouw work --db store --clients 64 --tier low

Exit code 1 if leaves remain that cannot be issued, and if the store has damaged blocks. stderr lists the reasons: for
instance, a file ingested with --reference has changed, or a quorum needs more clients.";

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
    /// Units that were taken as votes, and the credits for them once their quorums are complete.
    votes: u64,
    deferred_micro_joules: u64,
    commits: u64,
    pending: u64,
    trees_complete: u64,
    /// Votes that wait now.
    quorums: &'d OpenQuorums,
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
    let engine = options.store.open_to_work()?;
    let tier = options.tier.into();
    let clients: Vec<Client> = (0..options.clients).map(|i| Client { key: format!("client-{i}"), tier }).collect();
    warn_of_quorums(&engine, options.clients)?;
    let pending = engine.stats().totals.pending;
    let template = "{bar:32} {human_pos}/{human_len} leaves, {per_sec}, {eta} left {msg}";
    let bar = out.progress(Some(pending), template);
    let drained = drain(&engine, &clients, &bar);
    bar.finish_and_clear();
    let wait = engine.config().quorum_wait();
    engine.close();
    let drained = drained?;
    let done = report_rest(&drained, options, wait);
    out.show(&document(&drained), |to| human(to, &drained))?;
    Ok(Verdict::of(done))
}

/// Trees whose quorum is larger than the crew cannot be finished by it.
fn warn_of_quorums(engine: &PouwEngine, clients: u16) -> Result<(), Failure> {
    if let Some((trees, quorum)) = Survey::of(engine)?.beyond(clients.into()) {
        let trees = count(trees, "tree waits", "trees wait");
        let clients = count(clients.into(), "client", "clients");
        let wait = minutes(engine.config().quorum_wait());
        complain(&format!(
            "{trees} for the same answer from up to {quorum} clients, but this run has {clients}: use --clients {quorum}, \
             or run this again after {wait}, when the server hashes the leaves with too few votes"
        ));
    }
    Ok(())
}

fn minutes(time: Duration) -> String {
    count(u64::try_from(time.as_millis().div_ceil(60_000)).unwrap_or(u64::MAX), "minute", "minutes")
}

/// Reports on stderr what remains, and returns whether nothing does.
fn report_rest(drained: &Drained, options: &Options, wait: Duration) -> bool {
    for (tree, why) in &drained.blocked {
        complain(&format!("tree {:?}: its data cannot be read: {why}", printable(tree)));
    }
    report_votes(drained, options, wait);
    if drained.pending > 0 {
        let left = count(drained.pending, "leaf is", "leaves are");
        let advice = match (drained.blocked.is_empty(), drained.quorums.units) {
            (false, _) => "restore the files and run this again",
            (true, 1..) => "see above",
            (true, 0) => "run: pouw check",
        };
        complain(&format!("{left} still pending and cannot be issued; {advice}"));
    }
    report_damage(drained.survey.damaged, &drained.damaged);
    if let unfinished @ 1.. = drained.in_state(TreeState::Ingesting) {
        let trees = count(unfinished, "tree is", "trees are");
        complain(&format!("{trees} not ingested completely; run the same `pouw ingest` again, then this"));
    }
    if let broken @ 1.. = drained.in_state(TreeState::Inconsistent) {
        let trees = count(broken, "tree contradicts itself", "trees contradict themselves");
        complain(&format!("{trees} and cannot be exported; run: pouw check"));
        return false;
    }
    drained.pending == 0 && drained.survey.damaged == 0
}

/// Reports votes that no client of this run may join.
fn report_votes(drained: &Drained, options: &Options, wait: Duration) {
    let quorums = &drained.quorums;
    if quorums.units == 0 {
        return;
    }
    let (votes, units) = (count(quorums.votes, "vote", "votes"), count(quorums.units, "unit", "units"));
    let largest = drained.survey.beyond(options.clients.into()).map(|(_, quorum)| quorum);
    let advice = match largest {
        Some(quorum) => format!("use --clients {quorum}"),
        // A tier takes no unit with votes that is larger than its own.
        None if options.tier != Tier::High => "use --tier high".to_owned(),
        None => "use more --clients".to_owned(),
    };
    complain(&format!(
        "{votes} on {units} wait for the same answer from other clients: {advice}, or run this again {} after the \
         votes, when the server hashes their leaves itself",
        minutes(wait)
    ));
}

fn human(to: &mut dyn Write, drained: &Drained) -> io::Result<()> {
    let sum = drained.sum();
    writeln!(
        to,
        "{}, {}, {} in {:.1} s ({}/s); {} uJ credited, {}",
        count(sum.units, "unit", "units"),
        count(sum.leaves, "leaf", "leaves"),
        count(sum.nodes, "node", "nodes"),
        drained.seconds,
        count(per_second(sum.nodes, drained.seconds), "node", "nodes"),
        HumanCount(drained.credited),
        count(drained.commits, "commit", "commits"),
    )?;
    if sum.votes > 0 {
        let (votes, deferred) = (count(sum.votes, "unit was a vote", "units were votes"), HumanCount(sum.deferred));
        let waiting = count(drained.quorums.votes, "vote waits", "votes wait");
        let later = HumanCount(drained.quorums.deferred);
        writeln!(to, "{votes}, for {deferred} uJ once a quorum agrees; {waiting}, for {later} uJ")?;
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
        quorums: &drained.quorums,
        damaged_blocks: drained.survey.damaged,
        damaged: &drained.damaged,
        blocked: drained.blocked.iter().map(|(tree, why)| Blocked { tree, why }).collect(),
    }
}
