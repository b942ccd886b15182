//! The memory part of 9.4: what a tracked client costs, in the gate's own count and in resident memory.

use std::path::Path;

use pouw::Gate;
use pouw::protocol::DifficultyTier;
use serde::Serialize;

use super::failure::Failure;
use super::machine::resident_bytes;
use super::rig::{Asked, DAY_MS, Rig, address, ask, challenge, unhindered};
use super::services::PlainLimiter;
use super::table::{Table, figure};

/// The paper's default: requests of one client in a window.
const LIMIT: u32 = 100;
/// Each open challenge needs a leaf, so there are fewer.
const CHALLENGED_PART: u32 = 5;

/// A limiter that tracks `clients` clients.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    limiter: &'static str,
    state: &'static str,
    clients: u32,
    /// Found in the limiter's own count, where it has one.
    tracked: Option<u64>,
    /// By the limiter's own count.
    held_bytes_per_client: Option<f64>,
    /// By what the process grew.
    resident_bytes_per_client: Option<f64>,
}

/// Should run before anything else in the process: freed memory that is used again does not show as growth.
pub fn measure(place: &Path, clients: u32) -> Result<Vec<Row>, Failure> {
    // Without a backlog: what an ingest frees, the limiters would grow into.
    let rig = Rig::empty(place, DifficultyTier::Low)?;
    let mut rows = Vec::new();
    // Kept until the end, so that the gate does not grow into what it leaves.
    let plain = PlainLimiter::new(LIMIT, DAY_MS);
    let start = resident_bytes();
    let mut plain_row = |state, requests: u32| {
        for _ in 0..requests {
            (0..clients).for_each(|client| {
                plain.admits(address(client));
            });
        }
        rows.push(Row::new("plain limiter", state, clients, start));
    };
    plain_row("one request logged", 1);
    plain_row("at its limit of 100", LIMIT - 1);

    let gate = rig.gate(unhindered().rate_limit(LIMIT))?;
    let start = resident_bytes();
    for (state, requests) in [("one request logged", 1), ("at its limit of 100", LIMIT - 1)] {
        for _ in 0..requests {
            (0..clients).try_for_each(|client| passes(&gate, client))?;
        }
        let stats = gate.stats();
        rows.push(Row {
            tracked: Some(stats.clients as u64),
            held_bytes_per_client: Some(stats.memory_bytes as f64 / f64::from(clients)),
            ..Row::new("gate", state, clients, start)
        });
    }
    rows.push(challenged_row(place, clients.div_ceil(CHALLENGED_PART))?);
    Ok(rows)
}

/// Over its limit with a challenge open: window and account in the gate, lease and difficulty in the engine.
fn challenged_row(place: &Path, clients: u32) -> Result<Row, Failure> {
    let rig = Rig::open(place, clients.into(), DifficultyTier::Low)?;
    let gate = rig.gate(unhindered())?;
    let held = || {
        let stats = rig.engine.stats();
        gate.stats().memory_bytes as f64 + stats.memory_bytes.saturating_sub(stats.ready_bytes) as f64
    };
    let before = held();
    for client in 0..clients {
        challenge(&gate, client)?;
    }
    Ok(Row {
        tracked: Some(gate.stats().accounts as u64),
        held_bytes_per_client: Some((held() - before) / f64::from(clients)),
        // Blocks are read for the challenges, so the process grows for other reasons too.
        ..Row::new("gate and engine", "challenge open", clients, None)
    })
}

fn passes(gate: &Gate, client: u32) -> Result<(), Failure> {
    match ask(gate, client)? {
        Asked::Passed => Ok(()),
        _ => Err(Failure::failed("a request under the limit was refused")),
    }
}

impl Row {
    fn new(limiter: &'static str, state: &'static str, clients: u32, start: Option<u64>) -> Self {
        let grown = start.zip(resident_bytes()).map(|(start, now)| now.saturating_sub(start) as f64);
        Self {
            limiter,
            state,
            clients,
            tracked: None,
            held_bytes_per_client: None,
            resident_bytes_per_client: grown.map(|bytes| bytes / f64::from(clients)),
        }
    }

    /// What does not add up, if anything.
    pub fn finding(&self) -> Option<String> {
        let Self { state, clients, tracked, .. } = self;
        let tracked = (*tracked)?;
        (tracked != u64::from(*clients))
            .then(|| format!("9.4 memory, {state}: {tracked} of {clients} clients are tracked"))
    }
}

/// The part as text.
pub fn text(rows: &[Row]) -> String {
    let mut table = Table::new(["memory of a tracked client", "clients", "held, bytes", "resident, bytes"]);
    for row in rows {
        let shown = |bytes: Option<f64>| bytes.map_or_else(|| "-".to_owned(), figure);
        table.row([
            format!("{}: {}", row.limiter, row.state),
            row.clients.to_string(),
            shown(row.held_bytes_per_client),
            shown(row.resident_bytes_per_client),
        ]);
    }
    format!(
        "{}\nHeld is the limiter's own count, resident what the process grew by. The plain limiter never forgets a client;\n\
         the gate's memory is bounded by its configuration.\n",
        table.text()
    )
}
