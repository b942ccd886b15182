//! Reports of damaged blocks.

use pouw::hash::Checksum;
use pouw::{DamagedBlock, PouwEngine};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::complain;
use crate::words::{count, printable};

/// Most damaged blocks that `pouw status` lists; all are counted.
pub const DAMAGE_SHOWN: usize = 20;
/// The same for `pouw work`, after which they are restored.
pub const DAMAGE_NAMED: usize = 1_000;

/// A block that does not hash to its address, or is not what was ingested.
#[derive(Debug, Serialize)]
pub struct Damage {
    pub tree: String,
    pub leaf: u64,
    /// `None` where clients bring the hashes.
    pub address: Option<String>,
}

impl From<DamagedBlock> for Damage {
    fn from(block: DamagedBlock) -> Self {
        let address = (block.address != Checksum::ZERO).then(|| block.address.to_hex());
        Self { tree: block.tree, leaf: block.leaf.0, address }
    }
}

/// The first damaged blocks of the store, `most` of them.
pub fn first_damaged(engine: &PouwEngine, most: usize) -> Result<Vec<Damage>, Failure> {
    Ok(engine.damaged(None, most)?.into_iter().map(Damage::from).collect())
}

/// Reports on stderr which blocks are damaged, and what to do. `all` is their number.
pub fn report_damage(all: u64, first: &[Damage]) {
    for Damage { tree, leaf, address } in first {
        let why = match address {
            Some(address) => format!("its block does not hash to {address}"),
            None => "its block is not what was ingested".to_owned(),
        };
        complain(&format!("leaf {leaf} of tree {:?} is damaged: {why}", printable(tree)));
    }
    if all > 0 {
        let blocks = count(all, "block is", "blocks are");
        complain(&format!(
            "{blocks} damaged, so the trees cannot be exported; restore the files, run their `pouw ingest` again, then \
             this"
        ));
    }
}
