//! Formats of values.

use std::collections::BTreeMap;

use pouw::hash::Checksum;
use pouw::{DataPlace, Exposure, Provenance, Strategy, TreeId, TreeInfo, TreeState};
use serde::Serialize;

/// Describes a provenance in a sentence, after `leaf 3 is`.
pub fn provenance_in_words(provenance: Provenance) -> &'static str {
    match provenance {
        Provenance::Verified => "verified: the server computed the hash",
        Provenance::Known => "known: the hash is the block's address, and a client returned the same",
        Provenance::Agreed => "agreed: a quorum of clients returned the hash, and the server has not computed it",
        Provenance::Audited => "audited: a client returned the hash, and a sample of its answer was correct",
        Provenance::Doubted => {
            "doubted: its client returned a wrong hash elsewhere, and the server has not computed this one yet"
        }
        _ => "of unknown provenance",
    }
}

/// Escapes the control characters of a file name, for a terminal.
pub fn printable(name: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    name.chars().map(escaped).collect()
}

/// `1 leaf`, `2 leaves`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", indicatif::HumanCount(number), if number == 1 { one } else { many })
}

/// Returns a rate per second, 0 if no time has passed.
pub fn per_second(amount: u64, seconds: f64) -> u64 {
    if seconds > 0.0 { (amount as f64 / seconds) as u64 } else { 0 }
}

/// Rounds seconds to milliseconds.
pub fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// The description of a tree.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TreeDocument {
    pub name: String,
    pub id: TreeId,
    pub state: TreeState,
    pub leaves: u64,
    pub pending: u64,
    pub damaged: u64,
    pub strategy: Strategy,
    pub provenance: BTreeMap<&'static str, u64>,
    /// Of the hashed leaves; `None` if there is none.
    pub weakest: Option<Provenance>,
    pub height: u8,
    pub nodes: u64,
    pub block_len: u64,
    pub total_bytes: u64,
    pub exposure: Exposure,
    pub data: DataPlace,
    pub root: Option<Checksum>,
    pub commitment: Option<Checksum>,
}

impl From<TreeInfo> for TreeDocument {
    fn from(tree: TreeInfo) -> Self {
        let counts = Provenance::ALL.into_iter().map(|of| (of.as_str(), tree.provenance.count(of)));
        Self {
            id: tree.id,
            state: tree.state,
            leaves: tree.leaves,
            pending: tree.pending,
            damaged: tree.provenance.damaged,
            strategy: tree.strategy,
            provenance: counts.collect(),
            weakest: tree.provenance.weakest(),
            height: tree.height,
            nodes: tree.nodes,
            block_len: tree.block_len,
            total_bytes: tree.total_bytes,
            exposure: tree.exposure,
            data: tree.data,
            root: tree.root,
            commitment: tree.commitment,
            name: tree.name,
        }
    }
}
