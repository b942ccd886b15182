//! `pouw ledger`: credits and debits.

use std::io::{BufWriter, StdoutLock, Write};

use clap::Args;
use data_encoding::HEXLOWER;
use indicatif::HumanCount;
use pouw::{EntryKind, LedgerEntry, PouwEngine, TreeId};
use serde::Serialize;

use crate::failure::{Failure, Verdict};
use crate::output::Output;
use crate::store::StoreArguments;

/// List the credits of clients.
///
/// Prints one line for each ledger entry: all entries, the oldest first, or those of one client,
/// the newest first, after its balance. Amounts are in micro-Joules (uJ).
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    store: StoreArguments,
    /// List only the entries of this client. The store knows clients by keyed digests of their
    /// names.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  pouw ledger --db store
  pouw ledger --db store --client client-0 | head
  pouw ledger --db store --json

Kinds:
  leaves      all leaves of a unit
  part        some leaves of a unit; the server had hashed the others
  vote        a correct answer whose leaves are credited to another member of its quorum
  interior    nodes above the leaves
  synthetic   made-up work
  debit       credits that were spent
  correction  the server corrected a leaf that this client had returned; the credit remains

Each entry has a digest over itself and the previous entry; `pouw check` verifies the whole chain.";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    seq: u64,
    at: String,
    kind: EntryKind,
    /// Micro-Joules; negative for a debit.
    micro_joules: i128,
    client: String,
    id: String,
    tree: u64,
    start: u64,
    order: u8,
    tier: &'static str,
    leaves: u32,
    nodes: u32,
    digest: String,
}

const PAGE: usize = 1_024;

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    let engine = options.store.look()?;
    let client = options.client.as_deref().map(str::as_bytes);
    let balance = client.map(|client| engine.balance(client)).transpose()?.map(|balance| balance.0);
    let mut page = next_page(&engine, client, None)?;
    let mut to = out.stream();
    match (out.json, balance) {
        (true, Some(balance)) => write!(to, "{{\"balanceMicroJoules\": {balance}, \"entries\": [")?,
        (true, None) => write!(to, "{{\"entries\": [")?,
        (false, balance) => {
            if let Some(balance) = balance {
                writeln!(to, "balance {} uJ", HumanCount(balance))?;
            }
            writeln!(
                to,
                "       seq  time                      kind            uJ  tier    leaves  nodes  client                            tree:first leaf"
            )?;
        }
    }
    let mut first = true;
    while let Some(last) = page.last().map(|entry| entry.seq) {
        for entry in page {
            print(&mut to, entry, out.json, std::mem::take(&mut first))?;
        }
        page = next_page(&engine, client, Some(last))?;
    }
    if out.json {
        to.write_all(b"\n]}\n")?;
    }
    to.flush()?;
    Ok(Verdict::Done)
}

fn next_page(engine: &PouwEngine, client: Option<&[u8]>, last: Option<u64>) -> Result<Vec<LedgerEntry>, Failure> {
    Ok(match client {
        Some(client) => engine.ledger_of(client, last, PAGE)?,
        None => engine.ledger(last.map_or(0, |last| last + 1), PAGE)?,
    })
}

fn print(to: &mut BufWriter<StdoutLock<'_>>, entry: LedgerEntry, json: bool, first: bool) -> Result<(), Failure> {
    let entry = Entry::from(entry);
    if json {
        to.write_all(if first { b"\n" } else { b",\n" })?;
        serde_json::to_writer(to, &entry)?;
        return Ok(());
    }
    let Entry { seq, at, kind, micro_joules, tier, leaves, nodes, client, tree, start, .. } = entry;
    let place = if kind == EntryKind::Debit { "-".to_owned() } else { format!("{tree}:{start}") };
    writeln!(
        to,
        "{seq:>10}  {at:<24}  {kind:<10} {micro_joules:>8}  {tier:<6}  {leaves:>6}  {nodes:>5}  {client}  {place}"
    )?;
    Ok(())
}

impl From<LedgerEntry> for Entry {
    fn from(entry: LedgerEntry) -> Self {
        let debit = entry.kind == EntryKind::Debit;
        let unpaid = debit || entry.kind == EntryKind::Correction;
        let amount = i128::from(entry.amount.0);
        Self {
            seq: entry.seq,
            at: entry.at.to_rfc3339(),
            kind: entry.kind,
            micro_joules: if debit { -amount } else { amount },
            client: entry.client.to_string(),
            id: if unpaid { HEXLOWER.encode(entry.id.as_bytes()) } else { entry.id.to_string() },
            tree: entry.tree.map_or(0, TreeId::get),
            start: entry.start,
            order: entry.order,
            tier: if unpaid { "-" } else { entry.tier.as_str() },
            leaves: entry.leaves,
            nodes: entry.nodes,
            digest: HEXLOWER.encode(&entry.digest),
        }
    }
}
