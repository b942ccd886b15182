//! `pouw work` on a store of which bytes of block data have changed: it ends, completes what it can and names the rest;
//! the same files ingested again, and more work, complete that too.

use std::collections::BTreeSet;
use std::fs;

use pouw::hash::{Checksum, sha3_512};
use pouw::merkle::root;
use serde_json::Value;

use crate::support::cli::{Sandbox, text};

const BLOCK: usize = 512;
const TREES: usize = 6;
const LEAVES: usize = 40;

/// A tree with its blocks, in the order of its leaves.
struct Tree {
    name: String,
    blocks: Vec<Vec<u8>>,
}

impl Tree {
    fn leaves(&self) -> Vec<Checksum> {
        self.blocks.iter().map(|block| sha3_512(block)).collect()
    }
}

/// Blocks that repeat nowhere.
fn trees(strategy: &str) -> Vec<Tree> {
    let block = |tree: usize, leaf: usize| -> Vec<u8> {
        let pieces = (0..BLOCK / 64).map(|at| sha3_512(format!("{tree} {leaf} {at}").as_bytes()));
        pieces.flat_map(|piece| piece.as_bytes().to_vec()).collect()
    };
    let tree = |tree| {
        let mut blocks: Vec<Vec<u8>> = (0..LEAVES).map(|leaf| block(tree, leaf)).collect();
        if strategy == "known-address" {
            // Files are taken in the order of their names.
            blocks.sort_by_key(|block| sha3_512(block));
        }
        Tree { name: format!("tree-{tree}"), blocks }
    };
    (0..TREES).map(tree).collect()
}

fn write(sandbox: &Sandbox, strategy: &str, trees: &[Tree]) {
    for Tree { name, blocks } in trees {
        if strategy == "known-address" {
            let file = |block: &Vec<u8>| sandbox.write(&format!("{name}/{}", sha3_512(block).to_hex()), block);
            blocks.iter().for_each(file);
        } else {
            sandbox.write(&format!("in/{name}"), blocks.concat());
        }
    }
}

/// Ingests all of them. Returns how many were mended.
fn ingest(sandbox: &Sandbox, strategy: &str, trees: &[Tree]) -> u64 {
    let common = format!("ingest --db store --exposure public --strategy {strategy}");
    if strategy != "known-address" {
        return number(&sandbox.json(&format!("{common} --block-size {BLOCK} in")), "/repaired");
    }
    let one = |tree: &Tree| sandbox.json(&format!("{common} --layout blocks --tree {0} {0}", tree.name));
    trees.iter().map(|tree| number(&one(tree), "/repaired")).sum()
}

fn number(document: &Value, pointer: &str) -> u64 {
    document.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no number at {pointer}: {document}"))
}

/// Flips a bit of each of these leaves in the block file.
fn flip(sandbox: &Sandbox, trees: &[Tree], leaves: &BTreeSet<(usize, usize)>) {
    let path = sandbox.path("store/blocks.redb");
    let mut bytes = fs::read(&path).unwrap();
    for (tree, leaf) in leaves {
        let middle = &trees[*tree].blocks[*leaf][BLOCK / 2..BLOCK / 2 + 32];
        let places: Vec<usize> = (0..bytes.len() - 32).filter(|at| bytes[*at..].starts_with(middle)).collect();
        assert!(!places.is_empty(), "leaf {leaf} of tree {tree} is not in the file");
        places.into_iter().for_each(|at| bytes[at] ^= 16);
    }
    fs::write(path, bytes).unwrap();
}

/// `count` leaves in the first trees; at least one tree has none.
fn chosen(count: usize) -> BTreeSet<(usize, usize)> {
    let trees = if count == 1 { 1 } else { TREES - 1 };
    (0..count).map(|at| (at % trees, (at / trees * 7 + 3) % LEAVES)).collect()
}

fn assert_right(sandbox: &Sandbox, tree: &Tree) {
    let leaves = tree.leaves();
    let told = sandbox.json(&format!("tree --db store --tree {}", tree.name));
    assert_eq!(told["root"], root(&leaves).unwrap().to_hex(), "{told}");
    let exported = sandbox.ok(&format!("export --db store --tree {} --nodes leaves", tree.name));
    assert_eq!(exported.lines().collect::<Vec<_>>(), leaves.iter().map(Checksum::to_hex).collect::<Vec<_>>());
}

fn work_through_damage(strategy: &str) {
    for count in [1, 10, 100] {
        let (sandbox, trees) = (Sandbox::new(), trees(strategy));
        write(&sandbox, strategy, &trees);
        ingest(&sandbox, strategy, &trees);
        let damaged = chosen(count);
        assert_eq!(damaged.len(), count);
        flip(&sandbox, &trees, &damaged);

        let output = sandbox.run("work --db store --json");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{strategy}, {count}: {said}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let bad: BTreeSet<usize> = damaged.iter().map(|(tree, _)| *tree).collect();
        assert_eq!(number(&report, "/treesComplete"), (TREES - bad.len()) as u64, "{strategy}, {count}: {report}");
        assert_eq!((number(&report, "/damagedBlocks"), number(&report, "/pending")), (count as u64, 0), "{report}");
        let named: BTreeSet<(usize, usize)> = report["damaged"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                let tree = one["tree"].as_str().unwrap().strip_prefix("tree-").unwrap().parse().unwrap();
                (tree, number(one, "/leaf") as usize)
            })
            .collect();
        assert_eq!(named, damaged, "{strategy}, {count}");
        for (tree, leaf) in &damaged {
            let line = format!("leaf {leaf} of tree \"tree-{tree}\" is damaged");
            assert!(said.contains(&line), "{strategy}, {count}: no {line:?} in {said}");
        }
        (0..TREES).filter(|at| !bad.contains(at)).for_each(|at| assert_right(&sandbox, &trees[at]));
        let refused = sandbox.run(&format!("export --db store --tree {}", trees[0].name));
        assert_eq!(refused.status.code(), Some(1), "{strategy}, {count}: {}", text(&refused.stderr));

        assert!(ingest(&sandbox, strategy, &trees) > 0, "{strategy}, {count}");
        let report = sandbox.json("work --db store");
        assert_eq!((number(&report, "/treesComplete"), number(&report, "/damagedBlocks")), (TREES as u64, 0));
        trees.iter().for_each(|tree| assert_right(&sandbox, tree));
        assert_eq!(sandbox.json("check --db store")["clean"], true, "{strategy}, {count}");
    }
}

#[test]
fn work_goes_on_beside_damaged_blocks_of_known_hashes() {
    work_through_damage("precomputed");
}

#[test]
fn work_goes_on_beside_damaged_blocks_with_addresses() {
    work_through_damage("known-address");
}

#[test]
fn work_goes_on_beside_damaged_blocks_that_are_audited() {
    work_through_damage("audit:2");
}

#[test]
fn work_goes_on_beside_damaged_blocks_of_a_quorum() {
    work_through_damage("quorum:2");
}
