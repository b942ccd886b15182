//! What holds for trees of any size. Known answers and the independent oracle are in
//! `tests/known_answers.rs`.

use core::convert::Infallible;

use quickcheck::{TestResult, quickcheck};

use super::*;
use crate::hash::{Checksum, hash_batch, hash_parent, sha3_512};

fn leaves(count: u64) -> Vec<Checksum> {
    (0..count).map(|i| sha3_512(&i.to_le_bytes())).collect()
}

fn shape(leaves: u64) -> Shape {
    Shape::new(leaves).unwrap()
}

/// All levels, root first, by the plainest code there is.
fn levels(leaves: &[Checksum]) -> Vec<Vec<Checksum>> {
    let mut levels = vec![leaves.to_vec()];
    while levels[0].len() > 1 {
        let parents = levels[0].chunks(2).map(|pair| hash_parent(&pair[0], pair.get(1))).collect();
        levels.insert(0, parents);
    }
    levels
}

fn node_at(levels: &[Vec<Checksum>], position: Position) -> Checksum {
    levels[usize::from(position.level.0)][position.index as usize]
}

fn proof_of(levels: &[Vec<Checksum>], index: u64) -> InclusionProof {
    let shape = shape(levels[levels.len() - 1].len() as u64);
    let read = |position| Ok::<_, Infallible>(node_at(levels, position));
    prove(shape, LeafIndex(index), read).unwrap()
}

#[test]
fn a_tree_has_at_least_one_leaf_and_at_most_the_maximum() {
    assert_eq!(Shape::new(0), Err(ShapeError::NoLeaves));
    assert_eq!(shape(MAX_LEAVES).height(), MAX_ORDER);
    for leaves in [MAX_LEAVES + 1, u64::MAX] {
        assert_eq!(Shape::new(leaves), Err(ShapeError::TooManyLeaves { leaves }));
    }
}

#[test]
fn heights_step_behind_each_power_of_two() {
    for (leaves, height) in [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (9, 4), (32, 5), (33, 6)] {
        assert_eq!(shape(leaves).height(), height, "{leaves} leaves");
    }
    for order in 1..MAX_ORDER {
        assert_eq!(shape(1 << order).height(), order);
        assert_eq!(shape((1 << order) + 1).height(), order + 1);
    }
}

#[test]
fn node_counts_are_2n_minus_1_for_powers_of_two_only() {
    for (leaves, nodes) in [(1, 1), (2, 3), (3, 6), (8, 15), (33, 70), (1000, 2001)] {
        assert_eq!(shape(leaves).node_count(), nodes, "{leaves} leaves");
    }
    assert_eq!(shape(MAX_LEAVES).node_count(), 2 * MAX_LEAVES - 1);
    assert_eq!(shape(33).nodes_at(Level(7)), 0);
    assert_eq!(shape(33).nodes_at(Level(255)), 0);
}

#[test]
fn a_range_of_r_leaves_makes_the_nodes_that_the_protocol_lists() {
    let full = |order| AlignedRange::new(shape(64), 0, order).unwrap().node_count();
    assert_eq!([1, 2, 3, 4, 5].map(full), [3, 7, 15, 31, 63]);

    let ragged = AlignedRange::new(shape(35), 32, 2).unwrap();
    assert_eq!((ragged.len(), ragged.fold_levels(), ragged.node_count()), (3, 2, 6));

    let lone = shape(33).tile_range(1).unwrap();
    assert_eq!((lone.len(), lone.fold_levels(), lone.node_count()), (1, 5, 6));
    assert_eq!(lone.top(), Position { level: Level(1), index: 1 });

    let whole = shape(3).tile_range(0).unwrap();
    assert_eq!((whole.len(), whole.fold_levels(), whole.node_count()), (3, 2, 6));
    assert_eq!(whole.top(), Position { level: Level(0), index: 0 });
}

#[test]
fn a_range_that_is_unaligned_or_outside_is_refused_with_what_was_asked() {
    let new = |start, order| AlignedRange::new(shape(100), start, order);
    assert_eq!(new(0, 41), Err(ShapeError::OrderTooHigh { order: 41 }));
    assert_eq!(new(0, 255), Err(ShapeError::OrderTooHigh { order: 255 }));
    assert_eq!(new(16, 5), Err(ShapeError::StartNotAligned { start: 16, order: 5 }));
    assert_eq!(new(100, 0), Err(ShapeError::StartOutOfRange { start: 100, leaves: 100 }));
    assert_eq!(new(u64::MAX, 0), Err(ShapeError::StartOutOfRange { start: u64::MAX, leaves: 100 }));
    assert_eq!(new(99, 0).unwrap().len(), 1);
    assert_eq!(new(0, 40).unwrap().fold_levels(), 7);
    for tile in [4, u64::MAX] {
        let refused = shape(100).tile_range(tile);
        assert_eq!(refused, Err(ShapeError::TileOutOfRange { tile, tiles: 4 }));
    }
    for group in [7, u64::MAX] {
        let refused = shape(100).group_range(group);
        assert_eq!(refused, Err(ShapeError::GroupOutOfRange { group, groups: 7 }));
    }
}

#[test]
fn ranges_overlap_exactly_when_they_share_a_leaf() {
    let shape = shape(21);
    let ranges: Vec<AlignedRange> = (0..=6)
        .flat_map(|order| (0..21).filter_map(move |start| AlignedRange::new(shape, start, order).ok()))
        .collect();
    assert_eq!(ranges.len(), 21 + 11 + 6 + 3 + 2 + 1 + 1);
    for a in &ranges {
        for b in &ranges {
            let shared = (0..21).map(LeafIndex).any(|leaf| a.contains(leaf) && b.contains(leaf));
            assert_eq!(a.overlaps(b), shared, "{a:?} {b:?}");
        }
    }
}

/// The arithmetic half of property 7; the other half needs the engine.
#[test]
fn property_07_units_of_any_order_cover_every_leaf_once_and_fold_to_nodes_of_the_tree() {
    for count in 1..=140 {
        let all = leaves(count);
        let levels = levels(&all);
        for order in 0..=8 {
            let starts = (0..count).step_by(1 << order);
            let units: Vec<AlignedRange> =
                starts.map(|start| AlignedRange::new(shape(count), start, order).unwrap()).collect();
            assert_eq!(units[0].start(), 0);
            assert!(units.windows(2).all(|pair| pair[0].end() == pair[1].start()));
            assert_eq!(units[units.len() - 1].end(), count);
            for unit in &units {
                let in_unit = &all[unit.start() as usize..unit.end() as usize];
                let top = fold(in_unit, unit.fold_levels());
                assert_eq!(top, Some(node_at(&levels, unit.top())), "{count} leaves, {unit:?}");
            }
        }
    }
}

#[test]
fn property_08_every_parent_is_the_hash_of_its_children_joined() {
    for count in 1..=100 {
        let mut nodes = leaves(count);
        while nodes.len() > 1 {
            let parents = fold_level(&nodes);
            assert_eq!(parents.len(), nodes.len().div_ceil(2));
            for (parent, children) in parents.iter().zip(nodes.chunks(2)) {
                let joined: Vec<u8> = children.iter().flat_map(|child| *child.as_bytes()).collect();
                assert_eq!(*parent, sha3_512(&joined));
            }
            nodes = parents;
        }
        assert_eq!(root(&leaves(count)), Some(nodes[0]));
    }
}

#[test]
fn a_fold_that_would_not_end_in_one_node_gives_none() {
    assert_eq!(fold(&[], 0), None);
    assert_eq!(fold(&[], 5), None);
    assert_eq!(root(&[]), None);
    for count in 1..=70_u64 {
        for steps in 0..shape(count).height() {
            assert_eq!(fold(&leaves(count), steps), None, "{count} leaves, {steps} steps");
        }
    }
}

#[test]
fn more_steps_than_needed_hash_the_last_node_alone() {
    for count in [1, 3, 32, 33, 100] {
        let mut expected = root(&leaves(count)).unwrap();
        for steps in shape(count).height()..12 {
            assert_eq!(fold(&leaves(count), steps), Some(expected), "{count} leaves, {steps} steps");
            expected = hash_parent(&expected, None);
        }
    }
}

#[test]
fn a_stream_has_the_root_of_the_leaves_so_far_at_every_step() {
    let all = leaves(200);
    let mut stream = StreamingRoot::new();
    assert_eq!(stream.finish(), None);
    for count in 1..=all.len() {
        stream.push(all[count - 1]);
        assert_eq!(stream.leaves(), count as u64);
        assert_eq!(stream.finish(), root(&all[..count]), "{count} leaves");
    }
}

#[test]
fn tiles_pushed_by_their_tops_and_a_ragged_last_one_make_the_root() {
    for count in 1..=140_u64 {
        let all = leaves(count);
        for order in 0..=8 {
            let mut stream = StreamingRoot::new();
            let last_start = (count - 1) >> order << order;
            let unit = |start| AlignedRange::new(shape(count), start, order).unwrap();
            let top = |unit: AlignedRange| {
                fold(&all[unit.start() as usize..unit.end() as usize], unit.fold_levels()).unwrap()
            };
            for start in (0..last_start).step_by(1 << order) {
                stream.push_subtree(order, top(unit(start))).unwrap();
            }
            let last = unit(last_start);
            let computed = stream.finish_with(last, top(last));
            assert_eq!(computed.ok(), root(&all), "{count} leaves, order {order}");
        }
    }
}

#[test]
fn a_stream_refuses_subtrees_that_do_not_fit_and_stays_as_it_was() {
    let top = sha3_512(b"top");
    let mut stream = StreamingRoot::new();
    stream.push(top);
    let before = stream.finish();
    assert_eq!(stream.push_subtree(1, top), Err(StreamError::NotAligned { leaves: 1, order: 1 }));
    for order in [40, 41, 64, 255] {
        assert_eq!(stream.push_subtree(order, top), Err(StreamError::TooManyLeaves { leaves: 1, order }));
    }
    let elsewhere = shape(100).tile_range(1).unwrap();
    let refused = stream.finish_with(elsewhere, top);
    assert_eq!(refused, Err(StreamError::RangeStart { leaves: 1, start: 32 }));
    assert_eq!((stream.leaves(), stream.finish()), (1, before));
}

#[test]
fn a_stream_ends_at_the_maximum_number_of_leaves_and_not_behind_it() {
    let top = sha3_512(b"top");
    let mut stream = StreamingRoot::new();
    for order in (0..MAX_ORDER).rev() {
        stream.push_subtree(order, top).unwrap();
    }
    assert_eq!(stream.leaves(), MAX_LEAVES - 1);
    let expected = (0..MAX_ORDER)
        .fold(hash_parent(&top, None), |node, order| if order == 0 { node } else { hash_parent(&top, Some(&node)) });
    assert_eq!(stream.finish(), Some(expected));
    stream.push_subtree(0, top).unwrap();
    assert_eq!(stream.leaves(), MAX_LEAVES);
    let refused = stream.push_subtree(0, top);
    assert_eq!(refused, Err(StreamError::TooManyLeaves { leaves: MAX_LEAVES, order: 0 }));
}

#[test]
fn a_level_folder_gives_every_level_from_every_level() {
    for count in 1..=70 {
        let levels = levels(&leaves(count));
        for from in 0..levels.len() {
            for to in 0..=from {
                let (from_level, to_level) = (Level(from as u8), Level(to as u8));
                let mut folder = LevelFolder::new(shape(count), from_level, to_level).unwrap();
                let mut out: Vec<Checksum> = levels[from].iter().filter_map(|node| folder.push(*node)).collect();
                out.extend(folder.finish().unwrap());
                assert_eq!(out, levels[to], "{count} leaves, level {from} to {to}");
            }
        }
    }
}

#[test]
fn a_level_folder_refuses_levels_that_are_not_there_and_another_number_of_nodes() {
    let new = |from, to| LevelFolder::new(shape(5), Level(from), Level(to));
    let refused = new(4, 0).unwrap_err();
    assert_eq!(refused, StreamError::LevelOutOfRange { level: Level(4), leaf_level: Level(3) });
    let refused = new(1, 2).unwrap_err();
    assert_eq!(refused, StreamError::LevelOrder { from: Level(1), to: Level(2) });
    for actual in [0, 4, 6, 9] {
        let mut folder = new(3, 0).unwrap();
        for leaf in leaves(actual) {
            folder.push(leaf);
        }
        assert_eq!(folder.finish(), Err(StreamError::NodeCount { expected: 5, actual }));
    }
}

#[test]
fn the_proof_of_every_leaf_verifies_and_of_every_other_leaf_does_not() {
    for count in 1..=40 {
        let all = leaves(count);
        let levels = levels(&all);
        let root = levels[0][0];
        for index in 0..count {
            let proof = proof_of(&levels, index);
            for claimed in 0..count {
                let verdict = proof.verify(shape(count), LeafIndex(claimed), &all[index as usize], &root);
                assert_eq!(verdict.is_ok(), claimed == index, "{count}: {index} as {claimed}");
            }
        }
    }
}

#[test]
fn each_way_to_break_a_proof_has_its_own_error() {
    let all = leaves(5);
    let levels = levels(&all);
    let root = levels[0][0];
    let proof = proof_of(&levels, 1);
    let verify = |proof: &InclusionProof, index| proof.verify(shape(5), LeafIndex(index), &all[1], &root).unwrap_err();
    let index = LeafIndex(5);
    assert_eq!(verify(&proof, 5), ProofError::IndexOutOfRange { index, leaves: 5 });
    let mut short = proof.clone();
    short.siblings.pop();
    assert_eq!(verify(&short, 1), ProofError::SiblingCount { expected: 3, actual: 2 });
    let mut long = proof.clone();
    long.siblings.push(root);
    assert_eq!(verify(&long, 1), ProofError::SiblingCount { expected: 3, actual: 4 });
    let mut swapped = proof.clone();
    swapped.siblings.swap(0, 1);
    assert!(matches!(verify(&swapped, 1), ProofError::RootMismatch { .. }));
    let unread: Result<_, ProveError<u8>> = prove(shape(5), LeafIndex(1), |_| Err(7));
    let position = Position { level: Level(3), index: 0 };
    assert_eq!(unread, Err(ProveError::Node { position, source: 7 }));
    let outside: Result<_, ProveError<u8>> = prove(shape(5), index, |_| Err(7));
    assert_eq!(outside, Err(ProveError::IndexOutOfRange { index, leaves: 5 }));
}

#[test]
fn the_proof_of_the_last_leaf_pins_the_number_of_leaves() {
    for count in 1..=130_u64 {
        let levels = levels(&leaves(count));
        let (root, last) = (levels[0][0], levels[levels.len() - 1][count as usize - 1]);
        let proof = proof_of(&levels, count - 1);
        for claimed in 1..=300 {
            let verdict = proof.verify(shape(claimed), LeafIndex(count - 1), &last, &root);
            assert_eq!(verdict.is_ok(), claimed == count, "{count} leaves claimed to be {claimed}");
        }
    }
}

#[test]
fn a_proof_is_an_object_of_hex_texts_and_of_bounded_length() {
    let proof = InclusionProof { siblings: leaves(MAX_SIBLINGS as u64) };
    let json = serde_json::to_string(&proof).unwrap();
    assert!(json.starts_with(&format!("{{\"siblings\":[\"{}\",", proof.siblings[0])));
    assert_eq!(serde_json::from_str::<InclusionProof>(&json).unwrap(), proof);
    let one_more = InclusionProof { siblings: leaves(MAX_SIBLINGS as u64 + 1) };
    let json = serde_json::to_string(&one_more).unwrap();
    let message = serde_json::from_str::<InclusionProof>(&json).unwrap_err().to_string();
    assert!(message.contains("siblings: at most 40 checksums"), "{message}");
}

#[test]
fn rule_1_a_root_of_three_leaves_is_a_root_of_two_chosen_ones_but_the_commitments_differ() {
    let [a, b, c] = [b"a", b"b", b"c"].map(|block| sha3_512(block));
    let forged = [[*a.as_bytes(), *b.as_bytes()].concat(), c.as_bytes().to_vec()];
    let forged_leaves = [sha3_512(&forged[0]), sha3_512(&forged[1])];
    let root = root(&[a, b, c]).unwrap();
    assert_eq!(super::root(&forged_leaves), Some(root));

    let honest = Commitment { leaves: 3, total_bytes: 3, block_len: 1, root };
    let two = Commitment { leaves: 2, total_bytes: 192, block_len: 128, root };
    let mixed = Commitment { leaves: 2, total_bytes: 192, block_len: 0, root };
    assert_ne!(honest.digest().unwrap(), two.digest().unwrap());
    assert_ne!(honest.digest().unwrap(), mixed.digest().unwrap());

    let proof = InclusionProof { siblings: vec![forged_leaves[1]] };
    proof.verify(shape(2), LeafIndex(0), &forged_leaves[0], &root).unwrap();
    let refused = |commitment: Commitment| commitment.verify_leaf(LeafIndex(0), &forged[0], &proof).unwrap_err();
    let index = LeafIndex(0);
    let length = CommitmentError::LeafLength { index, expected: 1, actual: 128 };
    assert_eq!(refused(honest), length);
    assert_eq!(refused(mixed), CommitmentError::AmbiguousLeaf { index, len: 128 });
}

#[test]
fn rule_5_doubling_the_last_leaf_changes_the_root() {
    for count in 1..=40 {
        let mut all = leaves(count);
        let before = root(&all);
        all.push(all[all.len() - 1]);
        assert_ne!(root(&all), before, "{count} leaves");
    }
}

#[test]
fn rule_2_every_leaf_of_a_cut_file_has_exactly_one_length() {
    let commitment =
        |leaves, total_bytes, block_len| Commitment { leaves, total_bytes, block_len, root: Checksum::ZERO };
    let lengths = |commitment: Commitment, index| -> Vec<u64> {
        let fits = |len: &u64| commitment.check_leaf_len(LeafIndex(index), *len).is_ok();
        (0..1200).filter(fits).collect()
    };
    let file = commitment(3, 1124, 512);
    assert_eq!([0, 1, 2].map(|index| lengths(file, index)), [[512], [512], [100]]);
    assert_eq!(lengths(commitment(2, 1024, 512), 1), [512]);
    assert_eq!(lengths(commitment(1, 0, 512), 0), [0]);
    assert_eq!(lengths(commitment(1, 64, 512), 0), [64]);
    assert_eq!(lengths(commitment(1, 100, 0), 0), [100]);
    let outside = file.check_leaf_len(LeafIndex(3), 512);
    let index = LeafIndex(3);
    assert_eq!(outside, Err(ProofError::IndexOutOfRange { index, leaves: 3 }.into()));
}

#[test]
fn rule_3_leaves_of_one_or_two_checksums_are_ambiguous_where_no_length_is_bound() {
    let ambiguous: Vec<u64> = (0..300).filter(|len| ambiguous_leaf(0, *len)).collect();
    assert_eq!(ambiguous, [64, 128]);
    assert!((0..300).all(|len| !ambiguous_leaf(64, len)));
    let mixed = Commitment { leaves: 3, total_bytes: 200, block_len: 0, root: Checksum::ZERO };
    let refused: Vec<u64> = (0..300).filter(|len| mixed.check_leaf_len(LeafIndex(1), *len).is_err()).collect();
    assert_eq!(refused, [64, 128].into_iter().chain(201..300).collect::<Vec<_>>());
}

#[test]
fn a_commitment_whose_fields_disagree_is_refused_whatever_the_numbers() {
    let check =
        |leaves, total_bytes, block_len| Commitment { leaves, total_bytes, block_len, root: Checksum::ZERO }.check();
    assert_eq!(check(0, 0, 512), Err(ShapeError::NoLeaves.into()));
    for (leaves, total) in [(1, 0), (1, 1), (1, 512), (2, 513), (2, 1024), (3, 1025)] {
        assert!(check(leaves, total, 512).is_ok(), "{leaves} leaves, {total} bytes");
    }
    for (leaves, total_bytes) in [(1, 513), (2, 0), (2, 512), (2, 1025), (3, u64::MAX)] {
        let blocks = u64::div_ceil(total_bytes, 512).max(1);
        let error = CommitmentError::TotalBytes { leaves, total_bytes, block_len: 512, blocks };
        assert_eq!(check(leaves, total_bytes, 512), Err(error));
    }
    assert!(check(MAX_LEAVES, u64::MAX, u64::MAX).is_err());
    assert!(check(1, u64::MAX, u64::MAX).is_ok());
    assert!(check(MAX_LEAVES, u64::MAX, 0).is_ok());
}

#[test]
fn a_commitment_digest_binds_every_field() {
    let base = Commitment { leaves: 3, total_bytes: 1124, block_len: 512, root: sha3_512(b"root") };
    let digest = base.digest().unwrap();
    base.check_digest(&digest).unwrap();
    let others = [
        Commitment { leaves: 4, ..base },
        Commitment { total_bytes: 1125, ..base },
        Commitment { block_len: 0, ..base },
        Commitment { root: Checksum::ZERO, ..base },
    ];
    for other in others {
        assert_ne!(other.digest().unwrap(), digest, "{other:?}");
        assert!(other.check_digest(&digest).is_err(), "{other:?}");
    }
}

quickcheck! {
    fn property_09_every_way_to_hash_an_input_gives_the_same_64_bytes_and_hex(data: Vec<u8>) -> bool {
        let mut stream = crate::hash::StreamingHash::new();
        data.iter().for_each(|byte| stream.update(&[*byte]));
        let one = sha3_512(&data);
        one == stream.finish()
            && hash_batch(&[&data, &data]) == [one, one]
            && fold(&hash_batch(&[&data]), 0) == Some(one)
            && Checksum::from_hex(&one.to_hex()) == Ok(one)
    }

    fn a_stream_of_random_aligned_subtrees_has_the_root_of_the_batch(count: u16, orders: Vec<u8>) -> TestResult {
        let count = u64::from(count % 3000);
        let all = leaves(count);
        let mut stream = StreamingRoot::new();
        let mut orders = orders.iter().cycle();
        while stream.leaves() < count {
            let start = stream.leaves();
            let wanted = orders.next().map_or(0, |order| order % 12);
            let fits = |order: &u8| start.is_multiple_of(1 << order) && start + (1 << order) <= count;
            let order = (0..=wanted).rev().find(fits).unwrap();
            let top = fold(&all[start as usize..start as usize + (1 << order)], order).unwrap();
            stream.push_subtree(order, top).unwrap();
        }
        TestResult::from_bool(stream.finish() == root(&all))
    }

    fn flipping_any_bit_of_leaf_root_or_sibling_breaks_the_proof(count: u8, index: u8, at: u8, bit: u16) -> bool {
        let count = u64::from(count).max(1);
        let index = u64::from(index) % count;
        let levels = levels(&leaves(count));
        let mut proof = proof_of(&levels, index);
        let (mut leaf, mut root) = (levels[levels.len() - 1][index as usize], levels[0][0]);
        let flip = |sum: &mut Checksum| {
            let mut bytes = *sum.as_bytes();
            bytes[usize::from(bit % 512) / 8] ^= 1 << (bit % 8);
            *sum = Checksum::from_bytes(bytes);
        };
        match usize::from(at) % (proof.siblings.len() + 2) {
            0 => flip(&mut leaf),
            1 => flip(&mut root),
            sibling => flip(&mut proof.siblings[sibling - 2]),
        }
        let verdict = proof.verify(shape(count), LeafIndex(index), &leaf, &root);
        matches!(verdict, Err(ProofError::RootMismatch { .. }))
    }
}
