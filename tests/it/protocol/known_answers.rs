//! Trees whose every number was computed elsewhere: `data/kat.json` holds fixed answers, `merkle_oracle.py`
//! computes all sizes from 1 to 300 with Python's hashlib.
//!
//! In both, leaf i is SHAKE256("pouw-kat" || u32le(i)) squeezed to the leaf's length.

use std::convert::Infallible;
use std::process::Command;

use pouw::hash::{Checksum, StreamingHash, hash_batch, sha3_512};
use pouw::merkle::{
    Commitment, InclusionProof, LeafIndex, Level, LevelFolder, Position, Shape, StreamingRoot, TILE_LEAVES, fold,
    fold_level, prove, root,
};
use serde_json::Value;
use shake::Shake256;
use shake::digest::{ExtendableOutput as _, Update as _, XofReader as _};

#[test]
fn every_known_tree_comes_out_as_written() {
    let kat: Value = serde_json::from_str(include_str!("../../data/kat.json")).unwrap();
    assert_eq!(sha3_512(b"").to_hex(), text(&kat["empty"]));
    assert_eq!(sha3_512(b"abc").to_hex(), text(&kat["abc"]));
    let trees = kat["trees"].as_array().unwrap();
    assert_eq!(trees.len(), 12);
    for expected in trees {
        Tree::of(expected).check(expected);
    }
}

#[test]
fn every_size_from_1_to_300_agrees_with_the_python_oracle() {
    let mut sizes = 0;
    for line in python_oracle(300).lines() {
        let expected: Value = serde_json::from_str(line).unwrap();
        let tree = Tree::of(&expected);
        tree.check(&expected);
        tree.check_every_proof(&expected);
        sizes += 1;
        assert_eq!(number(&expected["n"]), sizes);
    }
    assert_eq!(sizes, 300);
}

/// A tree built from a description's leaf lengths alone; the rest of the description is what to expect.
struct Tree {
    data: Vec<Vec<u8>>,
    levels: Vec<Vec<Checksum>>,
    shape: Shape,
    commitment: Commitment,
}

impl Tree {
    fn of(described: &Value) -> Self {
        let lens = leaf_lens(described);
        let data: Vec<Vec<u8>> = (0..).zip(&lens).map(|(i, len)| leaf_data(i, *len)).collect();
        let messages: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        let mut levels = vec![hash_batch(&messages)];
        while levels[0].len() > 1 {
            levels.insert(0, fold_level(&levels[0]));
        }
        let leaves = lens.len() as u64;
        let commitment = Commitment {
            leaves,
            total_bytes: lens.iter().sum::<usize>() as u64,
            block_len: number(&described["block_len"]),
            root: levels[0][0],
        };
        Self { data, levels, shape: Shape::new(leaves).unwrap(), commitment }
    }

    fn check(&self, expected: &Value) {
        let leaves = self.leaves();
        let n = self.shape.leaves();
        let label = format!("n {n}, {}", expected["label"]);
        assert_eq!(n, number(&expected["n"]), "{label}");
        assert_eq!(u64::from(self.shape.height()), number(&expected["height"]), "{label}");
        assert_eq!(self.shape.node_count(), number(&expected["nodes"]), "{label}");
        let sizes: Vec<u64> = self.shape.level_sizes().collect();
        assert_eq!(sizes, numbers(&expected["levels_root_first"]), "{label}");
        assert_eq!(leaves[0].to_hex(), text(&expected["leaf0"]), "{label}");
        assert_eq!(leaves[leaves.len() - 1].to_hex(), text(&expected["leaf_last"]), "{label}");

        let expected_root: Checksum = text(&expected["root"]).parse().unwrap();
        assert_eq!(self.commitment.root, expected_root, "{label}");
        assert_eq!(root(leaves), Some(expected_root), "{label}");
        assert_eq!(self.root_leaf_by_leaf(), expected_root, "{label}");
        assert_eq!(self.root_tile_by_tile(), expected_root, "{label}");

        assert_eq!(self.commitment.total_bytes, number(&expected["total_bytes"]), "{label}");
        assert_eq!(self.commitment.check(), Ok(self.shape), "{label}");
        let commit: Checksum = text(&expected["commit"]).parse().unwrap();
        assert_eq!(self.commitment.digest(), Ok(commit), "{label}");

        let proof = self.proof(n - 1);
        assert_eq!(proof.siblings, checksums(&expected["proof_last"]), "{label}");
        let last = &self.data[self.data.len() - 1];
        self.commitment.verify_leaf(LeafIndex(n - 1), last, &proof).unwrap();

        let export = text(&expected["sha3_512_of_export"]);
        assert_eq!(self.export_digest().to_hex(), export, "{label}");
    }

    fn check_every_proof(&self, expected: &Value) {
        let mut hash = StreamingHash::new();
        let mut counts = Vec::new();
        for (index, data) in (0..).zip(&self.data) {
            let proof = self.proof(index);
            self.commitment.verify_leaf(LeafIndex(index), data, &proof).unwrap();
            counts.push(proof.siblings.len() as u64);
            proof.siblings.iter().for_each(|sibling| hash.update(sibling.as_bytes()));
        }
        assert_eq!(counts, numbers(&expected["siblings"]));
        assert_eq!(hash.finish().to_hex(), text(&expected["sha3_512_of_proofs"]));
    }

    fn leaves(&self) -> &[Checksum] {
        &self.levels[self.levels.len() - 1]
    }

    fn proof(&self, index: u64) -> InclusionProof {
        let read = |Position { level, index }| Ok::<_, Infallible>(self.levels[usize::from(level.0)][index as usize]);
        prove(self.shape, LeafIndex(index), read).unwrap()
    }

    fn root_leaf_by_leaf(&self) -> Checksum {
        let mut stream = StreamingRoot::new();
        self.leaves().iter().for_each(|leaf| stream.push(*leaf));
        stream.finish().unwrap()
    }

    fn root_tile_by_tile(&self) -> Checksum {
        let mut stream = StreamingRoot::new();
        let last = self.shape.tiles() - 1;
        for (tile, leaves) in (0..).zip(self.leaves().chunks(TILE_LEAVES as usize)) {
            let range = self.shape.tile_range(tile).unwrap();
            let top = fold(leaves, range.fold_levels()).unwrap();
            if tile == last {
                return stream.finish_with(range, top).unwrap();
            }
            stream.push_subtree(range.order(), top).unwrap();
        }
        unreachable!("a tree has a last tile");
    }

    /// All nodes, root first, level by level, each level folded from the leaves anew.
    fn export_digest(&self) -> Checksum {
        let mut hash = StreamingHash::new();
        for level in 0..=self.shape.height() {
            let from = self.shape.leaf_level();
            let mut folder = LevelFolder::new(self.shape, from, Level(level)).unwrap();
            for node in self.leaves().iter().filter_map(|leaf| folder.push(*leaf)) {
                hash.update(node.as_bytes());
            }
            if let Some(last) = folder.finish().unwrap() {
                hash.update(last.as_bytes());
            }
        }
        hash.finish()
    }
}

fn leaf_data(index: u32, len: usize) -> Vec<u8> {
    let mut shake = Shake256::default();
    shake.update(b"pouw-kat");
    shake.update(&index.to_le_bytes());
    let mut data = vec![0; len];
    shake.finalize_xof().read(&mut data);
    data
}

/// Lengths are a list, absent (all `block_len`), or the one text that stands in `kat.json`.
fn leaf_lens(described: &Value) -> Vec<usize> {
    let (n, block_len) = (number(&described["n"]), number(&described["block_len"]));
    let lens = match &described["leaf_lens"] {
        Value::Null => vec![block_len; n as usize],
        Value::String(lens) => {
            assert_eq!((lens.as_str(), n, block_len), ("32 x 512, last 128", 33, 512));
            [vec![512; 32], vec![128]].concat()
        }
        lens => numbers(lens),
    };
    assert_eq!(lens.len() as u64, n);
    lens.into_iter().map(|len| len as usize).collect()
}

fn python_oracle(largest: u64) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/merkle_oracle.py");
    let output = Command::new("python3").args([script, &largest.to_string()]).output().unwrap_or_else(|error| {
        panic!("this test compares with Python's hashlib and needs python3 on the path: {error}")
    });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "python3 {script} failed, it needs Python 3.6 or newer:\n{errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn numbers(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn checksums(value: &Value) -> Vec<Checksum> {
    value.as_array().unwrap().iter().map(|hex| text(hex).parse().unwrap()).collect()
}
