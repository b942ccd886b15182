//! A missing piece of block data: its leaves are kept back, and the same content given again puts it
//! back.

use std::collections::BTreeSet;

use super::rot::{ALL, From, completes, content, damaged, drain, give};
use crate::support::house::House;
use crate::support::store_plant::{BLOCKS, ReadableTable};
use pouw::{IngestError, Ingested, Strategy};

/// Three chunks of stored bytes and a bit.
const LEAVES: u64 = 400;

/// The leaves that have bytes in a chunk.
fn leaves_of(data: &[Vec<u8>], chunk: u64) -> BTreeSet<u64> {
    let mut at = 0;
    let chunks = data.iter().map(|leaf| {
        let first = at / 65_516;
        at += leaf.len() as u64;
        first..=(at - 1) / 65_516
    });
    (0..).zip(chunks).filter(|(_, chunks)| chunks.contains(&chunk)).map(|(leaf, _)| leaf).collect()
}

fn without_chunk(strategy: Strategy, sums: bool, chunk: u64, data: &[Vec<u8>]) -> House {
    let mut house = House::in_memory(1);
    assert_eq!(give(&house, (strategy, From::Blocks), data).unwrap(), Ingested::Added);
    if !sums {
        house.drop_sums();
    }
    house.edit_blocks(|txn| {
        let mut table = txn.open_table(BLOCKS).unwrap();
        assert_eq!(table.iter().unwrap().count(), 4);
        table.remove((0, chunk as u32)).unwrap().unwrap();
    });
    house
}

#[test]
fn a_missing_chunk_is_kept_back_and_the_same_content_mends_it() {
    for (strategy, sums, chunk) in ALL.into_iter().flat_map(|s| [(s, true, 1), (s, true, 3), (s, false, 1)]) {
        let data = content(strategy, LEAVES, 2);
        let mut house = without_chunk(strategy, sums, chunk, &data);
        // It asserts that every client was sent right bytes.
        drain(&house, &data);
        let lost = leaves_of(&data, chunk);
        let pending = house.engine.tree("t").unwrap().pending;
        let marked = damaged(&house);
        assert!(marked.iter().all(|leaf| lost.contains(leaf)), "{strategy:?}");
        assert_eq!(pending + marked.len() as u64, lost.len() as u64, "{strategy:?} {sums} {chunk}");
        let again = give(&house, (strategy, From::Blocks), &data);
        if !sums && !matches!(strategy, Strategy::Precomputed | Strategy::KnownAddress) {
            // Nothing proves what the bytes were.
            assert!(matches!(again, Err(IngestError::Conflict { .. })), "{strategy:?}: {again:?}");
            continue;
        }
        assert_eq!(again.unwrap(), Ingested::Repaired, "{strategy:?} {sums} {chunk}");
        // What was kept back is looked at.
        house.engine.sweep().unwrap();
        completes(&mut house, &data);
        assert_eq!(give(&house, (strategy, From::Blocks), &data).unwrap(), Ingested::Unchanged);
    }
}
