//! Block data that is not what came in: it is neither handed out nor hashed, nobody is to blame, everything else goes
//! on, and the same content given again mends it.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

use crate::support::clients::{HIGH, answer, apart, audited, blocks, names, options, wrong};
use crate::support::house::House;
use crate::support::work::BLOCK;
use pouw::hash::{Checksum, sha3_512};
use pouw::{
    Event, ExportPolicy, IngestError, IngestLayout, IngestOptions, Ingested, Issued, StoreFile, Strategy, SubmitError,
    TreeError, TreeState,
};

pub(super) const AUDIT: Strategy = Strategy::SampledAudit { k: 2 };
/// Every leaf of an answer is hashed.
const AUDIT_ALL: Strategy = Strategy::SampledAudit { k: 32 };
pub(super) const PAIR: Strategy = Strategy::Redundant { quorum: 2 };
pub(super) const ALL: [Strategy; 4] = [Strategy::Precomputed, Strategy::KnownAddress, AUDIT, PAIR];

/// The damaged leaf of most tests, neither first nor last in its tile.
pub(super) const LEAF: usize = 37;

/// How content comes in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum From {
    /// Blocks from memory, each a leaf.
    Blocks,
    /// Bytes from memory, cut into leaves.
    Bytes,
    /// A file that is cut, by reference.
    File,
    /// A file for each leaf, by reference.
    Files,
}

const WAYS: [From; 4] = [From::Blocks, From::Bytes, From::File, From::Files];

/// Every way of every strategy; blocks with addresses have no other layout.
pub(super) fn all_ways() -> Vec<(Strategy, From)> {
    let ways = |strategy| WAYS.map(|from| (strategy, from));
    let is = |(strategy, from): &(Strategy, From)| {
        *strategy != Strategy::KnownAddress || matches!(from, From::Blocks | From::Files)
    };
    ALL.into_iter().flat_map(ways).filter(is).collect()
}

pub(super) fn give(
    house: &House,
    (strategy, from): (Strategy, From),
    data: &[Vec<u8>],
) -> Result<Ingested, IngestError> {
    let slices: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    match from {
        From::Blocks if strategy == Strategy::KnownAddress => {
            let given: Vec<(Checksum, &[u8])> = slices.iter().map(|block| (sha3_512(block), *block)).collect();
            house.engine.ingest_known_blocks(&options(strategy), "t", &given)
        }
        From::Blocks => house.engine.ingest_blocks(&options(strategy), "t", &slices),
        From::Bytes => house.engine.ingest_bytes(&options(strategy), "t", &data.concat()),
        From::File => {
            house.write("in/t", &data.concat());
            from_files(house, &options(strategy).by_reference(true))
        }
        From::Files => {
            data.iter().enumerate().for_each(|(leaf, block)| drop(house.write(&name(strategy, leaf, block), block)));
            from_files(house, &options(strategy).by_reference(true).layout(IngestLayout::Blocks).tree("t"))
        }
    }
}

pub(super) fn name(strategy: Strategy, leaf: usize, block: &[u8]) -> String {
    match strategy {
        Strategy::KnownAddress => format!("in/{}", sha3_512(block).to_hex()),
        _ => format!("in/{leaf:03}"),
    }
}

fn from_files(house: &House, options: &IngestOptions) -> Result<Ingested, IngestError> {
    let report = house.engine.ingest_paths(options, &[house.path("in")], &mut |_| ControlFlow::Continue(()))?;
    Ok(match (report.added, report.unchanged, report.repaired) {
        (1, ..) => Ingested::Added,
        (_, _, 1..) => Ingested::Repaired,
        (_, 1, _) => Ingested::Unchanged,
        _ => return Err(IngestError::Conflict { name: "t".into() }),
    })
}

/// The leaves in the order of their ingest.
pub(super) fn content(strategy: Strategy, count: u64, seed: u64) -> Vec<Vec<u8>> {
    let mut data = blocks(count, seed);
    if strategy == Strategy::KnownAddress {
        // Files are taken in the order of their names.
        data.sort_by_key(|block| sha3_512(block));
    }
    data
}

/// Flips a bit in the middle of a leaf, wherever the file has it.
fn flip(file: &mut [u8], block: &[u8]) {
    let needle = &block[BLOCK / 2 - 16..BLOCK / 2 + 16];
    let found: Vec<usize> = (0..file.len() - 32).filter(|at| file[*at..].starts_with(needle)).collect();
    assert!(!found.is_empty(), "the leaf is not in the file");
    found.into_iter().for_each(|at| file[at + 16] ^= 4);
}

/// The same in a file by reference, which keeps length, time and inode.
fn flip_source(path: &Path, block: &[u8]) {
    let at = path.metadata().unwrap().modified().unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    flip(&mut bytes, block);
    std::fs::write(path, bytes).unwrap();
    File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
}

pub(super) fn damage(house: &mut House, (strategy, from): (Strategy, From), data: &[Vec<u8>], leaf: usize) {
    match from {
        From::Blocks | From::Bytes => house.rot(|file| flip(file, &data[leaf])),
        From::File => flip_source(&house.path("in/t"), &data[leaf]),
        From::Files => flip_source(&house.path(&name(strategy, leaf, &data[leaf])), &data[leaf]),
    }
}

/// Reports of damage to this leaf.
pub(super) fn reports(house: &House, leaf: usize) -> usize {
    let text = format!("the bytes of leaf {leaf} of tree \"t\" are not those that were ingested");
    let is = |event: &&Event| match event {
        Event::CorruptionFound { what, .. } | Event::SourceChanged { what, .. } => what.starts_with(&text),
        Event::BlockDamaged { leaf: block, .. } => *block == leaf as u64,
        _ => false,
    };
    house.events.lock().iter().filter(is).count()
}

pub(super) fn damaged(house: &House) -> Vec<u64> {
    house.engine.damaged(None, 100).unwrap().iter().map(|block| block.leaf.0).collect()
}

/// Honest clients work off what there is. Everything they are sent is as it came in.
pub(super) fn drain(house: &House, data: &[Vec<u8>]) {
    let mut idle = 0;
    for who in (1..).map(apart) {
        let mut units = 0;
        while let Some(issued) = house.issue(who, HIGH) {
            assert!(is_right(&issued, data), "a client was sent other bytes than came in");
            house.submit(who, &answer(&issued, |_| {})).unwrap();
            units += 1;
        }
        idle = if units == 0 { idle + 1 } else { 0 };
        if idle == 2 {
            break;
        }
    }
    house.settle();
}

/// Honest clients work off the rest: the tree is right, and everything in the store fits.
pub(super) fn completes(house: &mut House, data: &[Vec<u8>]) {
    drain(house, data);
    house.assert_right("t", data);
    house.settle();
    house.checked();
}

fn is_right(issued: &Issued, data: &[Vec<u8>]) -> bool {
    issued.unit.input_data.chunks(BLOCK).all(|leaf| data.iter().any(|known| known == leaf))
}

#[test]
fn one_changed_bit_is_not_handed_out_the_rest_completes_and_the_same_content_mends_it() {
    for way in all_ways() {
        let (strategy, _) = way;
        let mut house = House::in_memory(1);
        let data = content(strategy, 75, 1);
        assert_eq!(give(&house, way, &data).unwrap(), Ingested::Added);
        house.checked();
        damage(&mut house, way, &data, LEAF);
        drain(&house, &data);
        let marked = marked(way.1, &[LEAF as u64]);
        let (lost, kept_back) = (marked.len() as u64, 1 - marked.len());
        assert_eq!((damaged(&house), reports(&house, LEAF)), (marked.clone(), 1), "{way:?}");
        let tree = house.engine.tree("t").unwrap();
        let expected = (TreeState::Active, kept_back as u64, lost);
        assert_eq!((tree.state, tree.pending, tree.provenance.damaged), expected, "{way:?}");
        assert_eq!(house.engine.stats().blocked.len(), kept_back, "{way:?}");
        let refused = house.engine.export_leaves("t", &mut |_| Ok(())).unwrap_err();
        let TreeError::NotComplete { pending, damaged: of_them, .. } = refused else { panic!("{way:?}: {refused}") };
        assert_eq!((pending, of_them), (kept_back as u64, lost), "{way:?}");
        house.engine.sweep().unwrap();
        house.settle();
        assert_eq!((reports(&house, LEAF), house.engine.stats().totals.refused), (1, 0), "{way:?}");

        let mut other = data.clone();
        other[LEAF][0] ^= 1;
        if !matches!(way, (Strategy::KnownAddress, _)) {
            assert!(matches!(give(&house, way, &other), Err(IngestError::Conflict { .. })), "{way:?}");
        }
        assert_eq!(damaged(&house), marked, "{way:?}: other content mends nothing");
        assert_eq!(give(&house, way, &data).unwrap(), repaired(way.1), "{way:?}");
        assert_eq!(damaged(&house), [0; 0], "{way:?}");
        let done = lost == 1 && knows_answers(strategy);
        assert_eq!(house.engine.tree("t").unwrap().pending, u64::from(!done), "{way:?}: no hash without work");
        house.checked();
        completes(&mut house, &data);
        assert_eq!(give(&house, way, &data).unwrap(), Ingested::Unchanged, "{way:?}");
    }
}

#[test]
fn damage_all_over_a_tree_is_named_leaf_by_leaf_and_mended_at_once() {
    for way in all_ways() {
        let mut house = House::in_memory(2);
        let data = content(way.0, 100, 2);
        give(&house, way, &data).unwrap();
        let leaves = [0, 31, 32, 33, 64, 98, 99];
        leaves.iter().for_each(|leaf| damage(&mut house, way, &data, *leaf));
        drain(&house, &data);
        let marked = marked(way.1, &leaves.map(|leaf| leaf as u64));
        assert_eq!(damaged(&house), marked, "{way:?}");
        assert_eq!(house.engine.tree("t").unwrap().pending, (leaves.len() - marked.len()) as u64, "{way:?}");
        house.reopen();
        assert_eq!(give(&house, way, &data).unwrap(), repaired(way.1), "{way:?}");
        house.engine.sweep().unwrap();
        completes(&mut house, &data);
    }
}

#[test]
fn bytes_that_change_below_a_running_engine_are_not_handed_out() {
    for strategy in [AUDIT] {
        let mut house = House::in_directory(audited(3).min_queue_depth(1));
        // More than the cache holds. Opening reads the first leaves, and the last.
        let (data, leaf) = (content(strategy, 6_000, 3), 3_000);
        give(&house, (strategy, From::Blocks), &data).unwrap();
        house.reopen();
        let path = house.store().join(StoreFile::Blocks.file_name());
        let mut bytes = std::fs::read(&path).unwrap();
        let before = bytes.clone();
        flip(&mut bytes, &data[leaf]);
        let file = File::options().write(true).open(&path).unwrap();
        for (at, _) in bytes.iter().zip(&before).enumerate().filter(|(_, (now, was))| now != was) {
            std::os::unix::fs::FileExt::write_all_at(&file, &bytes[at..=at], at as u64).unwrap();
        }
        drain(&house, &data);
        assert_eq!((damaged(&house), reports(&house, leaf)), (vec![leaf as u64], 1), "{strategy}");
        assert_eq!(give(&house, (strategy, From::Blocks), &data).unwrap(), Ingested::Repaired, "{strategy}");
        completes(&mut house, &data);
    }
}

#[test]
fn a_strict_export_of_damaged_data_names_the_leaf_and_gives_no_hash() {
    for way in all_ways().into_iter().filter(|(strategy, _)| !knows_answers(*strategy)) {
        let mut house = House::in_memory(4);
        let data = content(way.0, 75, 4);
        give(&house, way, &data).unwrap();
        drain(&house, &data);
        let weak = house.engine.tree("t").unwrap().provenance.weak();
        assert!(weak > 60);
        damage(&mut house, way, &data, LEAF);
        for _ in 0..2 {
            let refused = house.engine.export_leaves("t", &mut |_| panic!("not a leaf")).unwrap_err();
            let text = "the bytes of leaf 37 of tree \"t\" are not those that were ingested; ingest the same content";
            assert!(refused.to_string().starts_with(text), "{refused}");
            assert!(matches!(&refused, TreeError::Damaged { name, leaf: 37 } if name == "t"), "{refused}");
            assert!(!refused.is_retryable());
            house.engine.upkeep().unwrap();
        }
        assert_eq!(reports(&house, LEAF), 1, "{way:?}");
        let attested = house.engine.export_leaves_under(ExportPolicy::Attested, "t", &mut |_| Ok(())).unwrap();
        assert_eq!(attested.nodes, 75);
        assert_eq!(give(&house, way, &data).unwrap(), repaired(way.1), "{way:?}");
        assert_eq!(house.engine.tree("t").unwrap().state, TreeState::Complete);
        house.assert_right("t", &data);
        assert_eq!(house.engine.stats().totals.refused, 0);
        house.settle();
        house.checked();
    }
}

pub(super) fn knows_answers(strategy: Strategy) -> bool {
    matches!(strategy, Strategy::Precomputed | Strategy::KnownAddress)
}

/// Leaves in files are kept back, and not marked: the file may be put back.
pub(super) fn marked(from: From, leaves: &[u64]) -> Vec<u64> {
    if matches!(from, From::File | From::Files) { Vec::new() } else { leaves.to_vec() }
}

/// What is in a file that was put back is not known to have been damaged.
pub(super) fn repaired(from: From) -> Ingested {
    if matches!(from, From::File | From::Files) { Ingested::Unchanged } else { Ingested::Repaired }
}

#[test]
fn an_answer_that_would_be_judged_by_damaged_bytes_is_withdrawn_and_counts_against_nobody() {
    for (strategy, lies) in [(AUDIT_ALL, false), (AUDIT_ALL, true), (Strategy::Precomputed, true)] {
        for from in [From::Bytes, From::File] {
            let mut house = House::in_memory(5);
            let data = blocks(32, 5);
            give(&house, (strategy, from), &data).unwrap();
            let who = apart(1);
            let issued = house.issue(who, HIGH).unwrap();
            damage(&mut house, (strategy, from), &data, 7);
            let given = answer(&issued, |leaves| {
                if lies {
                    leaves[9] = wrong(&leaves[9])
                }
            });
            let refused = house.submit(who, &given).unwrap_err();
            assert!(matches!(refused, SubmitError::Withdrawn), "{strategy}: {refused}");
            house.written();
            house.settle();
            let marked = marked(from, &[7]);
            assert_eq!((damaged(&house), reports(&house, 7)), (marked.clone(), 1), "{strategy}, {from:?}");
            assert_eq!(house.engine.balance(&names(who).0).unwrap().0, 0);
            assert_eq!((house.engine.stats().totals.refused, house.engine.stats().refused_waiting), (0, 0));
            drain(&house, &data);
            assert_eq!(house.engine.tree("t").unwrap().pending, 1 - marked.len() as u64);
            assert_eq!(give(&house, (strategy, from), &data).unwrap(), repaired(from));
            house.engine.sweep().unwrap();
            drain(&house, &data);
            house.assert_right("t", &data);
        }
    }
}

#[test]
fn a_right_answer_counts_although_the_bytes_were_damaged_after_they_were_sent() {
    for strategy in [Strategy::Precomputed, Strategy::KnownAddress] {
        let mut house = House::in_memory(6);
        let data = content(strategy, 32, 6);
        give(&house, (strategy, From::Blocks), &data).unwrap();
        let issued = house.issue(apart(1), HIGH).unwrap();
        damage(&mut house, (strategy, From::Blocks), &data, 7);
        assert!(house.submit(apart(1), &answer(&issued, |_| {})).unwrap().award.0 > 0);
        house.settle();
        assert_eq!(damaged(&house), [0; 0], "a leaf with a hash needs no bytes");
        house.assert_right("t", &data);
    }
}

#[test]
fn doubted_leaves_with_damaged_bytes_stay_doubted_and_are_reported_once() {
    let mut house = House::in_memory(7);
    let data = blocks(64, 7);
    give(&house, (AUDIT, From::Bytes), &data).unwrap();
    for _ in 0..2 {
        house.work(apart(1), |_| {}).unwrap().unwrap();
    }
    house.ingest(AUDIT_ALL, "bait", &blocks(32, 8));
    house.work(apart(1), |leaves| leaves[3] = wrong(&leaves[3])).unwrap().unwrap_err();
    house.written();
    damage(&mut house, (AUDIT, From::Bytes), &data, LEAF);
    for _ in 0..3 {
        house.engine.upkeep().unwrap();
        house.engine.sweep().unwrap();
    }
    let refused = house.engine.export_leaves_under(ExportPolicy::Attested, "t", &mut |_| Ok(())).unwrap_err();
    assert!(matches!(refused, TreeError::Damaged { leaf: 37, .. }), "{refused}");
    house.engine.upkeep().unwrap();
    assert_eq!(reports(&house, LEAF), 1);
    assert_eq!(house.engine.tree("t").unwrap().provenance.count(pouw::Provenance::Doubted), 32);
    assert_eq!(give(&house, (AUDIT, From::Bytes), &data).unwrap(), Ingested::Repaired);
    house.assert_right("t", &data);
}

#[test]
fn damaged_checksums_are_renewed_by_the_same_content() {
    for strategy in ALL {
        let mut house = House::in_memory(8);
        let data = content(strategy, 75, 9);
        give(&house, (strategy, From::Blocks), &data).unwrap();
        house.edit_sums(1, |row| row[5] ^= 1);
        drain(&house, &data);
        assert_eq!(damaged(&house), (16..32).collect::<Vec<u64>>(), "{strategy}");
        assert_eq!(give(&house, (strategy, From::Blocks), &data).unwrap(), Ingested::Repaired, "{strategy}");
        completes(&mut house, &data);
    }
}

#[test]
fn a_tree_of_a_store_without_checksums_works_as_before() {
    for strategy in ALL {
        let mut house = House::in_memory(9);
        let data = content(strategy, 75, 10);
        give(&house, (strategy, From::Blocks), &data).unwrap();
        house.drop_sums();
        house.checked();
        assert_eq!(give(&house, (strategy, From::Blocks), &data).unwrap(), Ingested::Unchanged, "{strategy}");
        let mut other = data.clone();
        other[LEAF][0] ^= 1;
        let refused = give(&house, (strategy, From::Blocks), &other);
        assert!(matches!(refused, Err(IngestError::Conflict { .. })), "{strategy}");
        completes(&mut house, &data);
    }
}

#[test]
fn checksums_go_with_the_data() {
    for strategy in ALL {
        let mut house = House::in_memory(10);
        let data = content(strategy, 75, 11);
        give(&house, (strategy, From::Blocks), &data).unwrap();
        assert_eq!(house.block_rows(), (1, 5), "{strategy}");
        drain(&house, &data);
        house.assert_right("t", &data);
        house.settle();
        assert_eq!(house.block_rows(), (0, 0), "{strategy}");
    }
}
