//! The client side: known answers, ragged ranges, progress, cancellation, and a client that was
//! written from the paper alone.

use std::ops::ControlFlow;

use pouw::hash::{Checksum, hash_batch, hash_parent, sha3_512};
use pouw::protocol::{
    DifficultyTier, TreeHandle, UnixMillis, WorkId, WorkResult, WorkUnit, WorkUnitOperation, subtree_nodes,
};
use pouw::solver::{SolveError, compute_work_unit, compute_work_unit_timed, compute_work_unit_with};
use quickcheck::QuickCheck;
use serde_json::{Value, json};
use sha3::{Digest, Sha3_512};
use shake::{ExtendableOutput, Shake256, Update, XofReader};

fn unit(operation: WorkUnitOperation, parts: &[Vec<u8>], fold_levels: u8) -> WorkUnit {
    let subtree = operation == WorkUnitOperation::SubtreeHash;
    let interior = operation == WorkUnitOperation::InteriorHash;
    let lengths = parts.iter().map(|part| part.len() as u64);
    WorkUnit {
        id: WorkId::from_parts(1_700_000_000_123, [7; 10]),
        tree_id: TreeHandle::from_bytes([0x22; 16]),
        tree_level: 0,
        tree_index: 0,
        operation,
        input_data: parts.concat(),
        leaf_lengths: if subtree { lengths.collect() } else { Vec::new() },
        fold_levels,
        child_count: if interior { parts.len() as u32 } else { 0 },
        node_count: match operation {
            WorkUnitOperation::SubtreeHash => subtree_nodes(parts.len() as u64, fold_levels),
            _ => 1,
        },
        synthetic: false,
        difficulty: DifficultyTier::Low,
        challenge_token: "the-token".into(),
        created_at: UnixMillis(1),
        expires_at: UnixMillis(60_001),
        not_before: UnixMillis(1),
        wait_ms: 0,
        ttl_ms: 60_000,
    }
}

fn solve(unit: &WorkUnit) -> WorkResult {
    compute_work_unit(unit).unwrap()
}

/// Leaf `index` of the known answers: SHAKE256("pouw-kat" || u32le(index)).
fn known_leaf(index: u32, length: usize) -> Vec<u8> {
    let mut shake = Shake256::default();
    shake.update(b"pouw-kat");
    shake.update(&index.to_le_bytes());
    let mut leaf = vec![0; length];
    shake.finalize_xof().read(&mut leaf);
    leaf
}

fn known_leaves(count: u32, length: usize) -> Vec<Vec<u8>> {
    (0..count).map(|index| known_leaf(index, length)).collect()
}

/// SHA3-512 from the crate, not through `pouw::hash`.
fn oracle(parts: &[&[u8]]) -> Checksum {
    let mut hasher = Sha3_512::new();
    for part in parts {
        Digest::update(&mut hasher, part);
    }
    Checksum::from_bytes(hasher.finalize().into())
}

#[test]
fn property_09_client_and_server_hash_any_input_to_the_same_bytes_and_digits() {
    fn holds(data: Vec<u8>, leaves: Vec<Vec<u8>>) -> bool {
        let single = solve(&unit(WorkUnitOperation::LeafHash, std::slice::from_ref(&data), 0));
        let mut parts = leaves;
        parts.truncate(31);
        parts.push(data.clone());
        let many = solve(&unit(WorkUnitOperation::SubtreeHash, &parts, 5));
        let borrowed: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        single.result_hash == oracle(&[&data])
            && single.result_hash == sha3_512(&data)
            && single.result_hash.to_hex() == data_encoding::HEXLOWER.encode(&Sha3_512::digest(&data))
            && many.leaf_hashes == hash_batch(&borrowed)
            && many.leaf_hashes.iter().zip(&parts).all(|(hash, part)| *hash == oracle(&[part]))
    }
    QuickCheck::new().quickcheck(holds as fn(Vec<u8>, Vec<Vec<u8>>) -> bool);
}

#[test]
fn whole_trees_solved_as_one_unit_have_the_known_roots() {
    for (leaves, length, height, root) in [
        (
            1,
            512,
            0,
            "74504d2c0114ff51cadf3621bab6b80eb4b0abfc210b0d7178fc97e4127a2c445170f08e8a71669c6d307721df31bac40c053e8ec1061d7ee60f6eacd6c2caa0",
        ),
        (
            2,
            512,
            1,
            "eaccc2858c44ecbbedc65632da407c2b5aa478d7a9f7ede456b3e29ec90134fa4dad3ac99e8185cb263878311eef82020cfd9b9e1fd829cfa982a2d43541512b",
        ),
        (
            3,
            512,
            2,
            "d111c7b1d7f164bd21fb7a85dbc93f835d0e5c0189a02963150bad93cc41c054cb0745bfdb34036c1b5d53b60b07d45c8eae5a888eb83acc5b704f5d94ea5861",
        ),
        (
            5,
            512,
            3,
            "fc2e51b641676b1f224bc134a57fb6a7eeb57e5f050da959209ad6ae77778fa5c1a3be03eef59a36a5c51eeba93907c5990753c9fc10865e961acb88928d6ecf",
        ),
        (
            8,
            512,
            3,
            "572b7b0df309f5fbd40395ac745ba9abea3bc9bce7b496dfc5c6b031a55d90eda81b74fa3e86287a745f88bd77f538aa618636a3bd6215d7f032ec9bba56b769",
        ),
        (
            3,
            4096,
            2,
            "d98c2d7f400f8b8fc1eb13aeca02486fc4ead86f5a305a5c1564d59c9d438dcdde846ec4803d506dce5db95c19867a66bf898abfc4dded958adcb7720c407c29",
        ),
    ] {
        let result = solve(&unit(WorkUnitOperation::SubtreeHash, &known_leaves(leaves, length), height));
        assert_eq!(result.result_hash.to_hex(), root, "{leaves} leaves");
        assert_eq!(result.leaf_hashes.len(), leaves as usize);
        assert_eq!(result.check_shape(leaves as usize, WorkUnitOperation::SubtreeHash), Ok(()));
    }
}

#[test]
fn three_leaves_folded_twice_make_six_nodes() {
    let parts = known_leaves(3, 100);
    let unit = unit(WorkUnitOperation::SubtreeHash, &parts, 2);
    assert_eq!(unit.node_count, 6);
    let [a, b, c] = [0, 1, 2].map(|leaf| oracle(&[&parts[leaf]]));
    let left = oracle(&[a.as_bytes(), b.as_bytes()]);
    let right = oracle(&[c.as_bytes()]);
    assert_eq!(solve(&unit).result_hash, oracle(&[left.as_bytes(), right.as_bytes()]));
}

#[test]
fn one_leaf_folded_five_times_makes_six_nodes() {
    let parts = known_leaves(1, 100);
    let unit = unit(WorkUnitOperation::SubtreeHash, &parts, 5);
    assert_eq!(unit.node_count, 6);
    let top = (0..5).fold(oracle(&[&parts[0]]), |node, _| oracle(&[node.as_bytes()]));
    assert_eq!(solve(&unit).result_hash, top);
}

#[test]
fn an_interior_node_is_the_hash_of_its_children() {
    let [left, right] = [b"left".as_slice(), b"right"].map(sha3_512);
    let children = [left, right].map(|child| child.as_bytes().to_vec());
    let both = solve(&unit(WorkUnitOperation::InteriorHash, &children, 0));
    assert_eq!(both.result_hash, hash_parent(&left, Some(&right)));
    assert!(both.leaf_hashes.is_empty());
    let alone = solve(&unit(WorkUnitOperation::InteriorHash, &children[..1], 0));
    assert_eq!(alone.result_hash, hash_parent(&left, None));
}

#[test]
fn progress_is_told_after_each_leaf_and_at_the_end() {
    let unit = unit(WorkUnitOperation::SubtreeHash, &known_leaves(11, 9), 4);
    let mut told = Vec::new();
    compute_work_unit_with(&unit, |progress| {
        told.push((progress.done, progress.total));
        ControlFlow::Continue(())
    })
    .unwrap();
    let total = 11 + 6 + 3 + 2 + 1;
    let expected: Vec<_> = (1..=11).chain([total]).map(|done| (done, total)).collect();
    assert_eq!(told, expected);
}

#[test]
fn a_unit_is_cancelled_at_any_report() {
    let unit = unit(WorkUnitOperation::SubtreeHash, &known_leaves(11, 9), 4);
    for stop_after in 1..=12 {
        let mut reports = 0;
        let outcome = compute_work_unit_with(&unit, |_| {
            reports += 1;
            match reports == stop_after {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        let done = if stop_after == 12 { 23 } else { stop_after };
        assert_eq!(outcome, Err(SolveError::Cancelled { done, total: 23 }));
    }
}

#[test]
fn a_unit_that_does_not_add_up_costs_nothing() {
    let broken = WorkUnit { node_count: 7, ..unit(WorkUnitOperation::SubtreeHash, &known_leaves(3, 9), 2) };
    let outcome = compute_work_unit_with(&broken, |_| panic!("hashed a broken unit"));
    assert!(matches!(outcome, Err(SolveError::Invalid(_))));
    assert_eq!(compute_work_unit(&broken).unwrap_err(), broken.validate().unwrap_err());
}

#[test]
fn the_timed_solver_gives_the_same_answer_with_a_date() {
    let unit = unit(WorkUnitOperation::LeafHash, &known_leaves(1, 9), 0);
    let timed = compute_work_unit_timed(&unit, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(timed.result_hash, solve(&unit).result_hash);
    assert!(timed.completed_at > UnixMillis(1_700_000_000_000));
}

/// Paper, 5.1, step 6: result_hash = H(W.inputData); step 7: send it with the token.
#[test]
fn a_client_written_only_from_the_paper_is_understood_at_low() {
    let issued = unit(WorkUnitOperation::LeafHash, &known_leaves(1, 4096), 0);
    let body: Value = serde_json::from_str(&issued.to_json()).unwrap();

    let data = data_encoding::BASE64.decode(body["inputData"].as_str().unwrap().as_bytes()).unwrap();
    let answer = json!({ "resultHash": data_encoding::HEXLOWER.encode(&Sha3_512::digest(&data)) });
    let token = body["challengeToken"].as_str().unwrap();

    let result = WorkResult::from_json_beside(answer.to_string().as_bytes(), token, issued.id).unwrap();
    assert_eq!(result.check_shape(1, issued.operation), Ok(()));
    assert_eq!(result.result_hash, solve(&issued).result_hash);
}

/// The members that the public TypeScript client of the paper sends.
#[test]
fn a_client_that_sends_the_five_members_of_the_paper_is_understood_at_low() {
    let issued = unit(WorkUnitOperation::LeafHash, &known_leaves(1, 4096), 0);
    let answer = json!({
        "workUnitId": issued.id,
        "resultHash": oracle(&[&issued.input_data]),
        "challengeToken": issued.challenge_token,
        "computeTimeMs": 1.2345,
        "completedAt": "2024-01-01T00:00:00.000Z",
    });
    let result = WorkResult::from_json(answer.to_string().as_bytes()).unwrap();
    assert_eq!(result.result_hash, solve(&issued).result_hash);
}
