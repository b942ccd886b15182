//! `pouw verify`: checks a proof against a published commitment. Needs no store.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use pouw::hash::{Checksum, StreamingHash};
use pouw::merkle::{Commitment, LeafIndex};
use serde::Serialize;

use crate::args;
use crate::failure::{Failure, Verdict};
use crate::output::Output;
use crate::prove::ProofDocument;

/// Check that a file's content is a leaf of a committed tree.
///
/// Needs no store. Prints `verified: ...` and exits with 0, or fails with exit code 1. The root,
/// the number of leaves and their lengths come from the arguments and are checked against the
/// commitment. Only the siblings come from the proof.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// The published commitment, 128 hex digits, from a source you trust.
    #[arg(long, value_name = "HEX", value_parser = args::checksum)]
    commitment: Checksum,
    /// Root of the tree, 128 hex digits.
    #[arg(long, value_name = "HEX", value_parser = args::checksum)]
    root: Checksum,
    /// Number of leaves.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    leaves: u64,
    /// Bytes in every leaf except the last; 0 for mixed lengths.
    #[arg(long, value_name = "N")]
    block_len: u64,
    /// Bytes in all leaves.
    #[arg(long, value_name = "N")]
    total_bytes: u64,
    /// Index of the leaf, from 0.
    #[arg(long, value_name = "I")]
    leaf: u64,
    /// File with the proof, as `pouw prove` writes it.
    #[arg(long, value_name = "FILE")]
    proof: PathBuf,
    /// File with exactly the bytes of the leaf; - reads standard input.
    #[arg(value_name = "DATAFILE")]
    data: PathBuf,
}

const EXAMPLES: &str = "\
Example: the fourth block of 4 KiB of cat.jpg, which has 10 blocks
  dd if=cat.jpg bs=4096 skip=3 count=1 of=block.3
  pouw verify --commitment 8f...2a --root 11...e0 --leaves 10 --block-len 4096 --total-bytes 40000 \\
    --leaf 3 --proof cat.3.proof block.3

`pouw prove -o FILE` prints this command with all values filled in.";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    verified: bool,
    leaf_index: u64,
    leaf_hash: String,
    bytes: u64,
}

pub fn run(options: &Options, out: &Output) -> Result<Verdict, Failure> {
    let index = LeafIndex(options.leaf);
    let commitment = Commitment {
        leaves: options.leaves,
        total_bytes: options.total_bytes,
        block_len: options.block_len,
        root: options.root,
    };
    commitment.check_digest(&options.commitment)?;
    let document = read_proof(&options.proof)?;
    let (hash, bytes) = hash_data(&options.data, |bytes| Ok(commitment.check_leaf_len(index, bytes)?))?;
    commitment.verify_leaf_hash(index, bytes, &hash, &document.proof).map_err(|error| {
        Failure::Failed(match hint(options, &document, &hash) {
            Some(hint) => format!("not verified: {error}; {hint}"),
            None => format!("not verified: {error}"),
        })
    })?;
    let document = Document { verified: true, leaf_index: options.leaf, leaf_hash: hash.to_hex(), bytes };
    out.show(&document, |to| {
        writeln!(to, "verified: {bytes} bytes are leaf {index} of {} of the committed tree", options.leaves)
    })?;
    Ok(Verdict::Done)
}

/// More than the longest proof there is: 40 siblings and a name of 4 KiB.
const PROOF_BYTES_MAX: u64 = 64 << 10;

fn read_proof(path: &Path) -> Result<ProofDocument, Failure> {
    let fail = |what: String| Failure::Failed(format!("proof {}: {what}", path.display()));
    let mut text = Vec::new();
    let file = File::open(path).map_err(|e| fail(e.to_string()))?;
    file.take(PROOF_BYTES_MAX + 1).read_to_end(&mut text).map_err(|e| fail(e.to_string()))?;
    if text.len() as u64 > PROOF_BYTES_MAX {
        return Err(fail(format!(
            "longer than {PROOF_BYTES_MAX} bytes, so not a proof; name the file that `pouw prove` wrote"
        )));
    }
    serde_json::from_slice(&text).map_err(|e| fail(format!("not a proof ({e}); name the file that `pouw prove` wrote")))
}

/// Hashes a file in pieces. Checks its length before, where it is known, and after.
fn hash_data(path: &Path, check: impl Fn(u64) -> Result<(), Failure>) -> Result<(Checksum, u64), Failure> {
    let fail = |e: io::Error| Failure::Failed(format!("{}: {e}; name the file with the leaf's bytes", path.display()));
    let mut source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(path).map_err(fail)?;
        let found = file.metadata().map_err(fail)?;
        if found.is_dir() {
            return Err(fail(io::ErrorKind::IsADirectory.into()));
        }
        if found.is_file() {
            check(found.len())?;
        }
        Box::new(file)
    };
    let mut hash = StreamingHash::new();
    let mut buffer = vec![0; 64 << 10];
    let mut bytes = 0;
    loop {
        match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                hash.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fail(error)),
        }
    }
    check(bytes)?;
    Ok((hash.finish(), bytes))
}

/// Returns what in the proof file indicates a mix-up.
fn hint(options: &Options, document: &ProofDocument, hash: &Checksum) -> Option<String> {
    if let Some(other) = document.leaf_index.filter(|leaf| *leaf != options.leaf) {
        return Some(format!("the proof file is for leaf {other}"));
    }
    if document.commitment.as_ref().is_some_and(|other| *other != options.commitment) {
        return Some("the proof file is for another commitment".into());
    }
    document.leaf_hash.as_ref().filter(|leaf| *leaf != hash).map(|_| "the data is not the proved leaf".into())
}
