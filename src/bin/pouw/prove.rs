//! `pouw prove`: makes an inclusion proof of a leaf.

use std::path::PathBuf;

use clap::Args;
use pouw::merkle::LeafIndex;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Verdict};
use crate::output::{Output, write_file, write_json};
use crate::store::TreeOf;
use crate::words::provenance_in_words;

/// Prove that a leaf is part of a complete tree.
///
/// Prints the proof as JSON. `pouw verify` checks it without the store. With -o, prints the command
/// that does so.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    of: TreeOf,
    /// Index of the leaf, from 0.
    #[arg(long, value_name = "I")]
    leaf: u64,
    /// Write the proof to this file, completely or not at all, instead of stdout.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  pouw prove --db store --tree cat.jpg --leaf 3
  pouw prove --db store --tree cat.jpg --leaf 3 -o cat.3.proof

The proof contains the provenance of the leaf: how its hash was verified. To check a proof, take the commitment from a
source you trust, not from the proof.";

/// The content of a proof file. Only the siblings are evidence; the other members help to find
/// mix-ups.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProofDocument {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<String>,
    pub leaf_index: Option<u64>,
    pub leaf_hash: Option<pouw::hash::Checksum>,
    /// How the store verified the hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<String>,
    #[serde(flatten)]
    pub proof: pouw::merkle::InclusionProof,
    #[serde(flatten)]
    pub claimed: Option<pouw::merkle::Commitment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitment: Option<pouw::hash::Checksum>,
}

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    let engine = options.of.store.look()?;
    let leaf = LeafIndex(options.leaf);
    let proof = engine.prove(&options.of.tree, leaf)?;
    let commitment = engine.commitment(&options.of.tree)?;
    let provenance = engine.provenance(&options.of.tree, leaf)?;
    let digest = commitment.digest()?;
    let document = ProofDocument {
        tree: Some(options.of.tree.clone()),
        leaf_index: Some(options.leaf),
        leaf_hash: Some(engine.leaf(&options.of.tree, leaf)?),
        provenance: provenance.map(|provenance| provenance.to_string()),
        proof,
        claimed: Some(commitment),
        commitment: Some(digest),
    };
    engine.close();
    let Some(path) = &options.output else {
        out.show(&document, |to| write_json(to, &document))?;
        return Ok(Verdict::Done);
    };
    write_file(path, |to| Ok(write_json(to, &document)?))?;
    out.show(&document, |to| {
        if let Some(provenance) = provenance {
            writeln!(to, "leaf {leaf} is {}", provenance_in_words(provenance))?;
        }
        writeln!(to, "wrote the proof to {}; check it against the data of leaf {leaf} with:", path.display())?;
        writeln!(
            to,
            "pouw verify --commitment {digest} --root {} --leaves {} --block-len {} --total-bytes {} --leaf {leaf} \
             --proof {} DATAFILE",
            commitment.root,
            commitment.leaves,
            commitment.block_len,
            commitment.total_bytes,
            path.display()
        )
    })?;
    Ok(Verdict::Done)
}
