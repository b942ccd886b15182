//! How values are written for people and programs.

use std::collections::BTreeMap;
use std::fmt::Display;

use pouw::{DataPlace, EntryKind, Exposure, OpenQuorums, Provenance, Provenances, TreeInfo, TreeState};
use serde::Serialize;

/// All states, in the order of a tree's life, with their words.
pub const STATES: [(TreeState, &str); 6] = [
    (TreeState::Ingesting, "ingesting"),
    (TreeState::Active, "active"),
    (TreeState::Folding, "folding"),
    (TreeState::Assembling, "assembling"),
    (TreeState::Complete, "complete"),
    (TreeState::Inconsistent, "inconsistent"),
];

pub fn state(state: TreeState) -> &'static str {
    STATES.iter().find(|(known, _)| *known == state).map_or("unknown", |(_, word)| word)
}

pub fn exposure(exposure: Exposure) -> &'static str {
    match exposure {
        Exposure::Public => "public",
        Exposure::Ciphertext => "ciphertext",
        _ => "unknown",
    }
}

pub fn data(place: DataPlace) -> &'static str {
    match place {
        DataPlace::Copied => "copied",
        DataPlace::Referenced => "referenced",
        DataPlace::Dropped => "dropped",
        _ => "unknown",
    }
}

pub fn entry_kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Leaves => "leaves",
        EntryKind::Interior => "interior",
        EntryKind::Synthetic => "synthetic",
        EntryKind::Debit => "debit",
        EntryKind::Part => "part",
        EntryKind::Vote => "vote",
        EntryKind::Correction => "correction",
        _ => "unknown",
    }
}

/// Why the hash of a leaf counts.
pub fn provenance(provenance: Provenance) -> &'static str {
    match provenance {
        Provenance::Verified => "verified",
        Provenance::Known => "known",
        Provenance::Agreed => "agreed",
        Provenance::Audited => "audited",
        Provenance::Doubted => "doubted",
        _ => "unknown",
    }
}

/// The same in a sentence, behind `leaf 3 is`.
pub fn provenance_told(provenance: Provenance) -> &'static str {
    match provenance {
        Provenance::Verified => "verified: the server has hashed it",
        Provenance::Known => "known: it is the block's address, and a client returned the same",
        Provenance::Agreed => "agreed: a quorum of clients returned it, and the server has not hashed it",
        Provenance::Audited => "audited: a client returned it, and a sample of its answer was right",
        Provenance::Doubted => "doubted: a client behind it lied, and the server has not hashed it yet",
        _ => "of unknown provenance",
    }
}

pub const TIERS: [&str; 3] = ["low", "medium", "high"];

/// A name from a file system, safe for a terminal: control characters are escaped.
pub fn printable(name: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    name.chars().map(escaped).collect()
}

/// `1 leaf`, `2 leaves`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", indicatif::HumanCount(number), if number == 1 { one } else { many })
}

/// A rate per second, 0 where no time has passed.
pub fn per_second(amount: u64, seconds: f64) -> u64 {
    if seconds > 0.0 { (amount as f64 / seconds) as u64 } else { 0 }
}

/// Milliseconds are enough of a number of seconds.
pub fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// What there is to say about a tree.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TreeDocument {
    pub name: String,
    pub id: u64,
    pub state: &'static str,
    pub leaves: u64,
    pub pending: u64,
    pub damaged: u64,
    pub strategy: String,
    pub provenance: BTreeMap<&'static str, u64>,
    /// Of the leaves that are done; none while there is none.
    pub weakest: Option<&'static str>,
    pub height: u8,
    pub nodes: u64,
    pub block_len: u64,
    pub total_bytes: u64,
    pub exposure: &'static str,
    pub data: &'static str,
    pub root: Option<String>,
    pub commitment: Option<String>,
}

impl From<TreeInfo> for TreeDocument {
    fn from(tree: TreeInfo) -> Self {
        let hex = |sum: &dyn Display| sum.to_string();
        Self {
            id: tree.id,
            state: state(tree.state),
            leaves: tree.leaves,
            pending: tree.pending,
            damaged: tree.provenance.damaged,
            strategy: tree.strategy.to_string(),
            provenance: by_provenance(&tree.provenance),
            weakest: tree.provenance.weakest().map(provenance),
            height: tree.height,
            nodes: tree.nodes,
            block_len: tree.block_len,
            total_bytes: tree.total_bytes,
            exposure: exposure(tree.exposure),
            data: data(tree.data),
            root: tree.root.as_ref().map(|sum| hex(sum)),
            commitment: tree.commitment.as_ref().map(|sum| hex(sum)),
            name: tree.name,
        }
    }
}

fn by_provenance(counts: &Provenances) -> BTreeMap<&'static str, u64> {
    Provenance::ALL.into_iter().map(|of| (provenance(of), counts.count(of))).collect()
}

/// Votes that wait for answers like them.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuorumsDocument {
    pub units: u64,
    pub leaves: u64,
    pub votes: u64,
    /// Credited when the quorums are complete.
    pub deferred_micro_joules: u64,
    /// There are more than were counted.
    pub more: bool,
}

impl From<&OpenQuorums> for QuorumsDocument {
    fn from(open: &OpenQuorums) -> Self {
        let OpenQuorums { units, leaves, votes, deferred, more, .. } = *open;
        Self { units, leaves, votes, deferred_micro_joules: deferred, more }
    }
}
