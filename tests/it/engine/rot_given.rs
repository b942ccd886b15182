//! The same content given again: which stored bytes and checksums it mends, which it leaves, and
//! what happens to it beside others who find the damage.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::rot::{ALL, From, completes, content, damaged, drain, give, name};
use crate::support::clients::{CLIENT, HIGH, audited, blocks, options};
use crate::support::disk::PAGE;
use crate::support::house::{House, open, parts};
use crate::support::store_plant::{BLOCKS, HASHES, ReadableTable, plant};
use crate::support::work::solve;
use pouw::hash::{Checksum, sha3_512};
use pouw::internal::store::sim::SimDisk;
use pouw::{
    Answer, EventSink, IngestError, IngestLayout, Ingested, IssueRequest, ScrubBudget, StorageProvider, StoreFile,
    StoreOptions, Strategy,
};

const AUDIT: Strategy = Strategy::SampledAudit { k: 2 };

fn scrubbed(house: &House) {
    let report = house.engine.scrub_all(&mut |_| ControlFlow::Continue(())).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}

#[test]
fn a_block_that_came_in_damaged_gets_the_checksum_of_the_right_one() {
    for met in [false, true] {
        let mut house = House::in_memory(1);
        let data = blocks(40, 1);
        let ids: Vec<Checksum> = data.iter().map(|block| sha3_512(block)).collect();
        let given = |wrong: Option<usize>| {
            let mut data = data.clone();
            wrong.into_iter().for_each(|leaf| data[leaf][0] ^= 1);
            let pairs: Vec<(Checksum, &[u8])> = ids.iter().copied().zip(data.iter().map(Vec::as_slice)).collect();
            house.engine.ingest_known_blocks(&options(Strategy::KnownAddress), "t", &pairs).unwrap()
        };
        assert_eq!(given(Some(7)), Ingested::Added);
        if met {
            // A client brings the right hash of the wrong bytes it was sent.
            let mut sent = data.clone();
            sent[7][0] ^= 1;
            drain(&house, &sent);
            assert_eq!(damaged(&house), [7]);
        }
        assert_eq!(given(None), Ingested::Repaired);
        assert_eq!(given(None), Ingested::Unchanged);
        scrubbed(&house);
        completes(&mut house, &data);
    }
}

#[test]
fn a_wrong_block_given_again_stays_damaged_although_the_hashes_are_lost_too() {
    let mut house = House::in_memory(1);
    let mut sent = blocks(40, 1);
    let ids: Vec<Checksum> = sent.iter().map(|block| sha3_512(block)).collect();
    let right = sent.clone();
    sent[7][0] ^= 1;
    let given = |house: &House, data: &[Vec<u8>]| {
        let pairs: Vec<(Checksum, &[u8])> = ids.iter().copied().zip(data.iter().map(Vec::as_slice)).collect();
        house.engine.ingest_known_blocks(&options(Strategy::KnownAddress), "t", &pairs).unwrap()
    };
    given(&house, &sent);
    drain(&house, &sent);
    assert_eq!(damaged(&house), [7]);
    house.engine.close();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), house.disk.bytes(StoreFile::State)).unwrap();
    plant(file.path(), |txn| drop(txn.open_table(HASHES).unwrap().remove((0, 0)).unwrap().unwrap()));
    house.disk = SimDisk::with_files(std::fs::read(file.path()).unwrap(), house.disk.bytes(StoreFile::Blocks));
    house.engine = open(parts(Arc::new(house.disk.clone()), &house.clock), audited(1));
    // Its own row is written again, and proves nothing about the block.
    assert_eq!(given(&house, &sent), Ingested::Repaired);
    assert_eq!((damaged(&house), house.engine.tree("t").unwrap().provenance.damaged), (vec![7], 1));
    assert_eq!(given(&house, &right), Ingested::Repaired);
    assert_eq!(damaged(&house), [0; 0]);
    house.settle();
    house.assert_right("t", &right);
}

#[test]
fn a_chunk_that_ends_early_lends_no_bytes_of_the_next_one() {
    for strategy in ALL {
        let data = content(strategy, 400, 3);
        let mut house = House::in_memory(1);
        assert_eq!(give(&house, (strategy, From::Blocks), &data).unwrap(), Ingested::Added);
        house.drop_sums();
        house.edit_chunk(1, |bytes| bytes.truncate(bytes.len() - 300));
        // It asserts that every client was sent right bytes.
        drain(&house, &data);
        let tree = house.engine.tree("t").unwrap();
        assert!((1..=2).contains(&(tree.pending + tree.provenance.damaged)), "{strategy:?}: {tree:?}");
    }
}

#[test]
fn shorter_content_beside_a_damaged_checksum_moves_no_bytes() {
    let mut house = House::in_memory(1);
    let mut data: Vec<Vec<u8>> = blocks(280, 4).into_iter().map(|block| block.repeat(127)).collect();
    data[3].truncate(1_000);
    let ingest = |house: &House, data: &[Vec<u8>]| {
        let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        house.engine.ingest_blocks(&options(AUDIT), "t", &data)
    };
    assert_eq!(ingest(&house, &data).unwrap(), Ingested::Added);
    house.edit_sums(0, |row| row[0] ^= 1);
    let mut shorter = data.clone();
    shorter[3].truncate(900);
    // More than a commit's worth of bytes lies behind the block.
    assert!(matches!(ingest(&house, &shorter), Err(IngestError::Conflict { .. })));
    assert_eq!(ingest(&house, &data).unwrap(), Ingested::Repaired);
    assert_eq!(ingest(&house, &data).unwrap(), Ingested::Unchanged);
    scrubbed(&house);
    house.checked();
}

#[test]
fn a_leaf_that_is_marked_while_its_bytes_are_given_again_is_mended() {
    for strategy in ALL {
        let mut house = House::in_memory(1);
        let data = content(strategy, 75, 5);
        let ingest = |house: &House, hear: &mut dyn FnMut(u64)| {
            data.iter().enumerate().for_each(|(leaf, block)| drop(house.write(&name(strategy, leaf, block), block)));
            let options = options(strategy).layout(IngestLayout::Blocks).tree("t");
            house.engine.ingest_paths(&options, &[house.path("in")], &mut |read| {
                hear(read.leaves);
                ControlFlow::Continue(())
            })
        };
        assert_eq!(ingest(&house, &mut |_| {}).unwrap().added, 1);
        house.edit_chunk(0, |bytes| bytes[5 * 512 + 9] ^= 1);
        let engine = house.engine.clone();
        let mut marked = false;
        let report = ingest(&house, &mut |leaves| {
            // Its group was compared, and nothing of it is written yet.
            if leaves > 40 && !marked {
                engine.scrub(ScrubBudget::bytes(1 << 30)).unwrap();
                engine.upkeep().unwrap();
                marked = engine.damaged(None, 9).unwrap().len() == 1;
                assert!(marked, "{strategy:?}");
            }
        });
        assert!(marked);
        assert_eq!((report.as_ref().unwrap().repaired > 0, damaged(&house)), (true, vec![]), "{strategy:?} {report:?}");
        house.engine.sweep().unwrap();
        scrubbed(&house);
        completes(&mut house, &data);
    }
}

/// A store without a cache. Zeroes are written over the pages that begin a value with this text.
fn with_unreadable(house: &mut House, needle: &[u8]) {
    house.engine.close();
    let bytes = house.disk.bytes(StoreFile::Blocks);
    house.disk = SimDisk::with_files(house.disk.bytes(StoreFile::State), bytes.clone());
    let events = house.events.clone();
    let parts = parts(Arc::new(house.disk.clone()), &house.clock)
        .options(StoreOptions::new().state_cache_bytes(0).blocks_cache_bytes(0))
        .events(EventSink::new(move |event| events.lock().push(event)));
    house.engine = open(parts, audited(1));
    let file = house.disk.open(StoreFile::Blocks).unwrap();
    let has = |page: &[u8]| page[0] == 1 && page.windows(needle.len()).any(|part| part == needle);
    let pages: Vec<_> = (0..).zip(bytes.chunks(PAGE as usize)).filter(|(_, page)| has(page)).collect();
    assert!(!pages.is_empty(), "no page has the bytes");
    pages.iter().for_each(|(at, _)| file.write(at * PAGE, &[0; PAGE as usize]).unwrap());
}

#[test]
fn a_page_of_data_that_cannot_be_read_stops_neither_other_trees_nor_the_ingest_of_other_files() {
    let mut house = House::in_memory(1);
    let data = |name: &str| blocks(120, u64::from(name.as_bytes()[0])).concat();
    let given = options(Strategy::Precomputed);
    for name in ["a", "b"] {
        house.write(&format!("in/{name}"), &data(name));
    }
    assert_eq!(house.ingest_paths(&given, &[&house.path("in")]).unwrap().added, 2);
    with_unreadable(&mut house, &data("a")[..64]);
    // Without upkeep: removing the data of a tree that is complete may read pages beside it.
    let work_off = |house: &House| {
        loop {
            house.engine.refill().unwrap();
            let Ok(issued) = house.engine.issue(&IssueRequest::new(CLIENT, HIGH)) else { break };
            house.engine.submit(&Answer::new(CLIENT, &solve(&issued.unit))).unwrap();
        }
    };
    work_off(&house);
    let pending = |name: &str| house.engine.tree(name).unwrap().pending;
    assert_eq!((pending("a"), pending("b")), (120, 0));
    let blocked = house.engine.stats().blocked;
    assert!(blocked.len() == 1 && blocked[0].why.contains("blocks.redb"), "{blocked:?}");
    house.write("in/c", &data("c"));
    let report = house.ingest_paths(&given, &[&house.path("in")]).unwrap();
    assert_eq!((report.added, report.unchanged, report.damaged_trees), (1, 1, 1), "{report:?}");
    assert_eq!(house.engine.failure(), None);
    work_off(&house);
    assert_eq!(pending("c"), 0);
}

#[test]
fn only_leaves_that_were_lost_are_counted_as_repaired() {
    for strategy in ALL {
        let data = content(strategy, 400, 6);
        let mut house = House::in_memory(1);
        assert_eq!(give(&house, (strategy, From::Blocks), &data).unwrap(), Ingested::Added);
        house.edit_blocks(|txn| {
            let mut table = txn.open_table(BLOCKS).unwrap();
            assert_eq!(table.iter().unwrap().count(), 4);
            table.remove((0, 2)).unwrap().unwrap();
        });
        // Bytes 131 032 to 196 547: leaves 255 to 383.
        data.iter().enumerate().for_each(|(leaf, block)| {
            drop(house.write(&name(strategy, leaf, block), block));
        });
        let again = options(strategy).layout(IngestLayout::Blocks).tree("t");
        let report = house.ingest_paths(&again, &[&house.path("in")]).unwrap();
        assert_eq!((report.repaired, report.damaged), (129, 0), "{strategy:?} {report:?}");
        scrubbed(&house);
        completes(&mut house, &data);
    }
}
