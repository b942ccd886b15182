//! The known answers, driven through the whole engine: ingest, issue, solve, submit, export, prove.
//!
//! `data/kat.json` was computed elsewhere; leaf i is SHAKE256("pouw-kat" || u32le(i)) of the leaf's length.

use crate::support::house::House;
use pouw::hash::{Checksum, StreamingHash};
use pouw::merkle::LeafIndex;
use pouw::{Exposure, IngestOptions};
use serde_json::Value;
use shake::Shake256;
use shake::digest::{ExtendableOutput as _, Update as _, XofReader as _};

#[test]
fn every_known_tree_comes_out_of_the_whole_engine_as_written() {
    let kat: Value = serde_json::from_str(include_str!("../../data/kat.json")).unwrap();
    let house = House::new();
    let trees = kat["trees"].as_array().unwrap();
    assert_eq!(trees.len(), 12);
    for (number, expected) in trees.iter().enumerate() {
        let name = format!("tree-{number}");
        let data: Vec<Vec<u8>> = (0..).zip(leaf_lens(expected)).map(|(i, len)| leaf_data(i, len)).collect();
        ingest(&house, &name, expected, &data);
        house.work_off();
        check(&house, &name, expected, &data);
    }
}

fn ingest(house: &House, name: &str, expected: &Value, data: &[Vec<u8>]) {
    let options = IngestOptions::new(Exposure::Public);
    match expected["block_len"].as_u64().unwrap() {
        0 => {
            let blocks: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
            house.engine.ingest_blocks(&options, name, &blocks).unwrap();
        }
        block_size => {
            house.engine.ingest_bytes(&options.block_size(block_size), name, &data.concat()).unwrap();
        }
    }
}

fn check(house: &House, name: &str, expected: &Value, data: &[Vec<u8>]) {
    let engine = &house.engine;
    let text = |key: &str| expected[key].as_str().unwrap();
    let number = |key: &str| expected[key].as_u64().unwrap();
    let info = engine.tree(name).unwrap();
    let shape = (info.leaves, u64::from(info.height), info.nodes, info.block_len, info.total_bytes);
    assert_eq!(shape, (number("n"), number("height"), number("nodes"), number("block_len"), number("total_bytes")));
    assert_eq!(engine.root(name).unwrap().to_hex(), text("root"));
    let commitment = engine.commitment(name).unwrap();
    assert_eq!(commitment.digest().unwrap().to_hex(), text("commit"));
    let mut export = StreamingHash::new();
    let mut feed = |node: &Checksum| {
        export.update(node.as_bytes());
        Ok(())
    };
    assert_eq!(engine.export_addresses(name, &mut feed).unwrap().nodes, number("nodes"));
    assert_eq!(export.finish().to_hex(), text("sha3_512_of_export"));
    let leaves = house.leaves(name);
    assert_eq!(leaves[0].to_hex(), text("leaf0"));
    assert_eq!(leaves[leaves.len() - 1].to_hex(), text("leaf_last"));
    let last = LeafIndex(number("n") - 1);
    let proof = engine.prove(name, last).unwrap();
    let siblings: Vec<String> = proof.siblings.iter().map(Checksum::to_hex).collect();
    let wanted: Vec<&str> =
        expected["proof_last"].as_array().unwrap().iter().map(|hex| hex.as_str().unwrap()).collect();
    assert_eq!(siblings, wanted);
    commitment.verify_leaf(last, &data[data.len() - 1], &proof).unwrap();
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
    let (n, block_len) = (described["n"].as_u64().unwrap(), described["block_len"].as_u64().unwrap() as usize);
    match &described["leaf_lens"] {
        Value::Null => vec![block_len; n as usize],
        Value::String(lens) => {
            assert_eq!((lens.as_str(), n, block_len), ("32 x 512, last 128", 33, 512));
            [vec![512; 32], vec![128]].concat()
        }
        lens => lens.as_array().unwrap().iter().map(|len| len.as_u64().unwrap() as usize).collect(),
    }
}
