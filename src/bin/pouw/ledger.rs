//! `pouw ledger`: credits and debits.

use std::io::{BufWriter, StdoutLock, Write};

use clap::Args;
use data_encoding::HEXLOWER;
use indicatif::HumanCount;
use pouw::protocol::{UnixMillis, WorkId};
use pouw::{EntryKind, LedgerEntry, PouwEngine};
use serde::Serialize;

use crate::failure::{Failure, Verdict};
use crate::output::Output;
use crate::place::Place;
use crate::words::{TIERS, entry_kind};

/// List ledger entries: all of them, oldest first; or one client's, newest first, and its balance.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    place: Place,
    /// Only the entries of the client with this key. The store keeps keyed digests of keys, no keys.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  pouw ledger --db store
  pouw ledger --db store --client client-0 | head
  pouw ledger --db store --json

Kinds: `leaves`, `part` (some of the leaves of a unit; the server has the others), `vote` (a right answer whose leaves
are credited to another member of its quorum), `interior`, `synthetic`, `debit`, and `correction` (the server found a
leaf wrong that this client had returned; nothing is taken back).

Each entry carries a digest over itself and the entry before it; `pouw check` follows the whole chain.";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    seq: u64,
    at: String,
    kind: &'static str,
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
    let engine = options.place.open()?;
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
    let place = if kind == "debit" { "-".to_owned() } else { format!("{tree}:{start}") };
    writeln!(
        to,
        "{seq:>10}  {at:<24}  {kind:<10} {micro_joules:>8}  {tier:<6}  {leaves:>6}  {nodes:>5}  {client}  {place}"
    )?;
    Ok(())
}

impl From<LedgerEntry> for Entry {
    fn from(LedgerEntry { seq, row, .. }: LedgerEntry) -> Self {
        let debit = row.kind == EntryKind::Debit;
        let unpaid = debit || row.kind == EntryKind::Correction;
        let amount = i128::from(row.amount);
        Self {
            seq,
            at: UnixMillis(row.at_ms).to_rfc3339(),
            kind: entry_kind(row.kind),
            micro_joules: if debit { -amount } else { amount },
            client: HEXLOWER.encode(&row.client),
            id: if unpaid { HEXLOWER.encode(&row.id) } else { WorkId::from_bytes(row.id).to_string() },
            tree: row.tree,
            start: row.start,
            order: row.order,
            tier: if unpaid { "-" } else { TIERS.get(usize::from(row.tier)).copied().unwrap_or("?") },
            leaves: row.leaves,
            nodes: row.nodes,
            digest: HEXLOWER.encode(&row.digest),
        }
    }
}
