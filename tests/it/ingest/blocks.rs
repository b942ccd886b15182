//! How leaves are cut and what the commitment binds: block sizes, oversized leaves, ambiguous lengths.

use std::fs::File;

use crate::support::clients::{blocks_of, noise};
use crate::support::house::House;
use crate::support::work::{BLOCK, cut, solve};
use pouw::hash::{StreamingHash, sha3_512};
use pouw::{BLOCK_SIZE_MAX, BLOCK_SIZE_MIN, IngestError, IngestLayout, TreeState};

#[test]
fn block_sizes_beyond_their_bounds_are_refused_by_field() {
    let house = House::new();
    for block_size in [0, BLOCK_SIZE_MIN - 1, BLOCK_SIZE_MAX + 1, u64::MAX] {
        let refused = house.engine.ingest_bytes(&cut().block_size(block_size), "a", b"x").unwrap_err();
        let IngestError::Option { field: "block_size", value, .. } = &refused else { panic!("{refused}") };
        assert_eq!(*value, block_size.to_string());
    }
    assert_eq!(house.names(), [""; 0]);
}

#[test]
fn the_smallest_block_cuts_at_512_bytes() {
    let house = House::new();
    for len in [511, 512, 513, 1_024, 33 * 512 + 1] {
        let (name, data) = (len.to_string(), noise(len, 5));
        house.engine.ingest_bytes(&cut(), &name, &data).unwrap();
        house.work_off();
        house.assert_right(&name, &blocks_of(&data, BLOCK));
    }
}

#[test]
fn the_largest_block_is_hashed_by_the_server_as_it_streams_and_its_short_last_one_is_sent_out() {
    let house = House::new();
    let path = house.path("sparse");
    File::create(&path).unwrap().set_len(BLOCK_SIZE_MAX + 1).unwrap();
    let report = house.ingest_paths(&cut().block_size(BLOCK_SIZE_MAX), &[&path]).unwrap();
    assert_eq!((report.oversized, report.read.leaves, report.read.bytes), (1, 2, BLOCK_SIZE_MAX + 1));
    let issued = house.unit().unwrap();
    assert_eq!(issued.unit.input_data, [0]);
    house.engine.submit(&pouw::Answer::new(b"client", &solve(&issued.unit))).unwrap();
    house.engine.upkeep().unwrap();
    let mut zeroes = StreamingHash::new();
    (0..BLOCK_SIZE_MAX >> 20).for_each(|_| zeroes.update(&[0; 1 << 20]));
    assert_eq!(house.leaves("sparse"), [zeroes.finish(), sha3_512(&[0])]);
    let commitment = house.engine.commitment("sparse").unwrap();
    assert_eq!(
        (commitment.leaves, commitment.block_len, commitment.total_bytes),
        (2, BLOCK_SIZE_MAX, BLOCK_SIZE_MAX + 1)
    );
}

#[test]
fn a_leaf_of_more_than_the_largest_block_is_refused_with_what_to_do() {
    let house = House::new();
    let path = house.path("in/sparse");
    std::fs::create_dir(house.path("in")).unwrap();
    File::create(&path).unwrap().set_len(BLOCK_SIZE_MAX + 1).unwrap();
    let options = cut().layout(IngestLayout::Blocks).tree("t");
    let refused = house.ingest_paths(&options, &[&house.path("in")]).unwrap_err();
    let IngestError::Read { path: named, what } = &refused else { panic!("{refused}") };
    assert_eq!(*named, path);
    assert!(what.contains("cut it into blocks"), "{what}");
    assert_eq!(house.names(), [""; 0]);
}

#[test]
fn a_tree_of_oversized_leaves_only_completes_without_any_client() {
    let house = House::new();
    let data = noise((1 << 20) - 5_000, 9);
    let options = cut().block_size(200_000);
    house.engine.ingest_bytes(&options, "big", &data[..1_000_000]).unwrap();
    assert_eq!(house.engine.tree("big").unwrap().state, TreeState::Assembling);
    assert_eq!(house.work_off(), 0);
    house.assert_right("big", &blocks_of(&data[..1_000_000], 200_000));
    let totals = house.engine.stats().totals;
    assert_eq!((totals.oversized, totals.leaves, totals.awarded), (5, 0, 0));
}

#[test]
fn oversized_leaves_among_others_are_hashed_by_the_server_and_the_others_by_clients() {
    let house = House::new();
    let cap = place_send_cap();
    // More than one tile, with the bound itself, one over it, and a whole oversized group.
    let lens: Vec<usize> = (0..70)
        .map(|i| match i {
            3 | 40 => cap,
            4 | 16..=31 | 69 => cap + 1 + i,
            _ => 100 + i * 7 % 20,
        })
        .collect();
    let data: Vec<Vec<u8>> = lens.iter().zip(0..).map(|(len, seed)| noise(*len, seed)).collect();
    let blocks: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    house.engine.ingest_blocks(&cut(), "mixed", &blocks).unwrap();
    assert_eq!(house.engine.stats().totals.oversized, 18);
    house.work_off();
    house.assert_right("mixed", &blocks);
    assert_eq!(house.engine.stats().totals.leaves, 70 - 18);
}

fn place_send_cap() -> usize {
    pouw::Config::new([7; 32]).unwrap().send_cap()
}

#[test]
fn oversized_blocks_of_a_file_leave_its_short_last_block_to_clients() {
    let house = House::new();
    let data = noise(450_000, 4);
    house.engine.ingest_bytes(&cut().block_size(200_000), "f", &data).unwrap();
    assert_eq!(house.work_off(), 1);
    house.assert_right("f", &blocks_of(&data, 200_000));
}

#[test]
fn leaves_of_64_or_128_bytes_are_refused_among_mixed_lengths() {
    let house = House::new();
    for (lens, leaf, len) in [(vec![100, 64, 9], 1, 64), (vec![128, 100, 128], 0, 128), (vec![7, 8, 128], 2, 128)] {
        let data: Vec<Vec<u8>> = lens.iter().map(|len| noise(*len, 1)).collect();
        let blocks: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        let refused = house.engine.ingest_blocks(&cut(), "t", &blocks).unwrap_err();
        let IngestError::AmbiguousLeaf { leaf: at, len: of, .. } = &refused else { panic!("{refused}") };
        assert_eq!((*at, *of), (leaf, len));
        assert_eq!(house.names(), [""; 0]);
    }
}

#[test]
fn an_ambiguous_leaf_names_the_file_it_came_from() {
    let house = House::new();
    house.write("in/a", &noise(600, 1));
    house.write("in/b", &noise(512 + 64, 1));
    house.write("in/c", &noise(600, 1));
    let refused = house.ingest_paths(&cut().tree("t"), &[&house.path("in")]);
    let refused = refused.unwrap_err();
    let IngestError::AmbiguousLeaf { leaf: 3, len: 64, from, .. } = &refused else { panic!("{refused}") };
    assert_eq!(from, "b");
}

#[test]
fn leaves_of_64_or_128_bytes_are_allowed_where_the_commitment_binds_their_length() {
    let house = House::new();
    for (at, lens) in
        [vec![64, 64, 64], vec![128, 128], vec![128, 64], vec![512, 512, 128], vec![64]].iter().enumerate()
    {
        let data: Vec<Vec<u8>> = lens.iter().zip(0..).map(|(len, seed)| noise(*len, seed)).collect();
        let blocks: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        let name = at.to_string();
        house.engine.ingest_blocks(&cut(), &name, &blocks).unwrap();
        house.work_off();
        house.assert_right(&name, &blocks);
        assert_eq!(house.engine.commitment(&name).unwrap().block_len, lens[0] as u64);
    }
    house.engine.ingest_bytes(&cut(), "file", &noise(512 + 64, 1)).unwrap();
    assert_eq!(house.engine.tree("file").unwrap().block_len, 512);
}

#[test]
fn the_commitment_binds_the_block_length_exactly_when_every_leaf_but_the_last_has_it() {
    let house = House::new();
    let cases: [(&[usize], u64); 11] = [
        (&[100, 100, 100], 100),
        (&[100, 100, 40], 100),
        (&[100, 100, 0], 0),
        (&[100, 40, 100], 0),
        (&[40, 100], 0),
        (&[100, 40, 40], 0),
        (&[0, 100], 0),
        (&[0], 0),
        (&[0, 0], 0),
        (&[5], 5),
        (&[100, 1], 100),
    ];
    for (at, (lens, block_len)) in cases.into_iter().enumerate() {
        let data: Vec<Vec<u8>> = lens.iter().zip(0..).map(|(len, seed)| noise(*len, seed)).collect();
        let blocks: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        let name = format!("{at}");
        house.engine.ingest_blocks(&cut(), &name, &blocks).unwrap();
        house.work_off();
        house.assert_right(&name, &blocks);
        let commitment = house.engine.commitment(&name).unwrap();
        assert_eq!(commitment.block_len, block_len, "{lens:?}");
        assert_eq!(commitment.total_bytes, lens.iter().sum::<usize>() as u64, "{lens:?}");
        commitment.check().unwrap();
    }
}

#[test]
fn a_file_binds_its_block_length_whatever_its_length() {
    let house = House::new();
    for len in [0, 1, 64, 511, 512, 513, 512 + 128, 5_000] {
        let (name, data) = (len.to_string(), noise(len, 3));
        house.engine.ingest_bytes(&cut(), &name, &data).unwrap();
        house.work_off();
        let commitment = house.engine.commitment(&name).unwrap();
        assert_eq!((commitment.block_len, commitment.total_bytes), (512, len as u64));
        commitment.check().unwrap();
    }
}

#[test]
fn one_tree_over_several_files_keeps_each_files_short_last_block() {
    let house = House::new();
    for (at, (lens, block_len)) in [
        (vec![1_024, 512, 100], 512),
        (vec![1_000, 1_024], 0),
        (vec![512, 0, 512], 0),
        (vec![512, 512, 0], 0),
        (vec![20_000, 3, 20_000], 0),
    ]
    .into_iter()
    .enumerate()
    {
        let directory = format!("in-{at}");
        let data: Vec<Vec<u8>> = lens.iter().zip(0..).map(|(len, seed)| noise(*len, seed)).collect();
        for (name, bytes) in ["a", "b", "c"].iter().zip(&data) {
            house.write(&format!("{directory}/{name}"), bytes);
        }
        for by_reference in [false, true] {
            let name = format!("{at}-{by_reference}");
            let options = cut().tree(name.clone()).by_reference(by_reference);
            drop(house.ingest_paths(&options, &[&house.path(&directory)]).unwrap());
            house.work_off();
            let blocks: Vec<&[u8]> = data.iter().flat_map(|bytes| blocks_of(bytes, BLOCK)).collect();
            house.assert_right(&name, &blocks);
            assert_eq!(house.engine.commitment(&name).unwrap().block_len, block_len, "{lens:?}");
        }
    }
}
