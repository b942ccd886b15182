//! After the flood: every lease ends, and every leaf is handed out again.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use crate::load::child::Server;
use crate::load::wire::{Reply, member};
use crate::load::{Pool, hello};

use super::sender;

/// A token lives for a minute, and a sweep a second ends 4 096 leases.
const PATIENCE: Duration = Duration::from_secs(180);
/// Few, so that the bytes of all challenges together stay within their budget as far as that goes.
const CONNECTIONS: usize = 2;
/// New clients that ask at once.
const STEP: usize = 5_000;

/// Waits for the leases to end, then asks for every leaf; what is missing, if anything is.
pub async fn look(server: &Server, leaves: u64) -> Result<(), String> {
    let began = Instant::now();
    let left = loop {
        let left = metric(server, "pouw_leases").await;
        if left == 0 || began.elapsed() > PATIENCE {
            break left;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    let pending = metric(server, "pouw_pending_leaves").await;
    let expired = metric(server, "pouw_expired_total").await;
    let waited = began.elapsed().as_secs();
    println!("after {waited} s: {left} leases left, {expired} have expired, {pending} of {leaves} leaves pending");
    if left > 0 {
        return Err(format!("{left} leases are left {waited} s after the last request"));
    }
    if pending != leaves {
        return Err(format!("{pending} of {leaves} leaves are pending, though no client answered"));
    }
    let found = hand_out_all(server, leaves as usize).await;
    if found < leaves { Err(format!("only {found} of {leaves} leaves were handed out again")) } else { Ok(()) }
}

/// How many different leaves new clients are given.
async fn hand_out_all(server: &Server, leaves: usize) -> u64 {
    let began = Instant::now();
    let found = RefCell::new(HashSet::new());
    let reasons = RefCell::new(BTreeMap::new());
    let (twice, asked) = (Cell::new(0), Cell::new(0));
    let mut pool = Pool::open(server.address, CONNECTIONS).await;
    // Some are refused for the bytes of all together, or when nothing is ready at that moment.
    while found.borrow().len() < leaves && asked.get() < leaves * 5 {
        let first = asked.get();
        asked.set(first + STEP.min(leaves));
        // Each twice: one request is let through.
        let requests: Vec<_> = (first..asked.get()).map(|client| hello(&newcomer(client), &[])).collect();
        let seen = |_: usize, reply: &Reply<'_>| {
            *reasons.borrow_mut().entry(sender::kind(reply)).or_insert(0) += 1;
            if let Some(leaf) = real_leaf(reply) {
                let new = found.borrow_mut().insert(leaf);
                twice.set(twice.get() + usize::from(!new));
            }
        };
        pool.run(requests.len() * 2, |at| &requests[at / 2], seen).await;
    }
    let found = found.borrow().len();
    println!(
        "{found} of {leaves} leaves were handed out again to {} new clients within {} s ({} of them more than once): {}",
        asked.get(),
        began.elapsed().as_secs(),
        twice.get(),
        sender::list(&reasons.borrow()),
    );
    found as u64
}

/// The leaf of a real unit.
fn real_leaf(reply: &Reply<'_>) -> Option<u64> {
    if !reply.has_unit() || member(reply.body, "\"synthetic\":true").is_some() {
        return None;
    }
    let operation = member(reply.body, "\"operation\":\"")?;
    assert!(operation.starts_with("leaf_hash\""), "a new client gets one leaf, not {}", &operation[..20]);
    let index = member(reply.body, "\"treeIndex\":")?;
    index.split([',', '}']).next()?.trim_matches('"').parse().ok()
}

fn newcomer(client: usize) -> String {
    super::address_from(64, client)
}

/// The value of a sample in the Prometheus text.
async fn metric(server: &Server, name: &str) -> u64 {
    let value = Cell::new(None);
    let page = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".as_bytes();
    let seen = |_: usize, reply: &Reply<'_>| {
        let text = String::from_utf8_lossy(reply.body);
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.set(line.and_then(|value| value.parse::<f64>().ok()));
    };
    Pool::open(server.address, 1).await.run(1, |_| page, seen).await;
    value.get().unwrap_or_else(|| panic!("{name} is not among the metrics")) as u64
}
