//! The check over tables in memory.

use super::{CheckReport, rows};
use crate::hash::Checksum;
use crate::protocol::TreeHandle;
use crate::store::memory::Tables;
use crate::store::port::RowsMut;
use crate::store::rows::{DataPlace, Exposure, Head, Strategy, TreeRow, TreeState};
use crate::store::schema::{Blocks, Handles, Names, Trees};

fn checked(state: &Tables, blocks: Option<&Tables>, head: Head) -> CheckReport {
    rows(state, blocks, head, CheckReport::default(), 2, &mut |_| {}).unwrap()
}

fn texts(report: &CheckReport) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.what.as_str()).collect()
}

/// A tree without a leaf, still coming in.
fn tree() -> TreeRow {
    TreeRow {
        name: "t".into(),
        handle: TreeHandle::from_bytes([7; 16]),
        leaves: 0,
        block_len: 16,
        total_bytes: 0,
        send_cap: 1_024,
        data: DataPlace::Copied,
        strategy: Strategy::Precomputed,
        exposure: Exposure::Public,
        state: TreeState::Ingesting,
        done: 0,
        interior_done: 0,
        order: 0,
        root: Checksum::ZERO,
        groups: 0,
    }
}

#[test]
fn empty_tables_are_clean() {
    let (state, blocks) = (Tables::default(), Tables::default());
    assert_eq!(checked(&state, Some(&blocks), Head::default()), CheckReport::default());
    assert_eq!(checked(&state, None, Head { commit_seq: 3, ..Head::default() }).commit_seq, 3);
}

#[test]
fn a_tree_without_a_name_and_block_data_without_a_tree_are_found() {
    let (mut state, mut blocks) = (Tables::default(), Tables::default());
    let head = Head { next_tree: 3, next_order: 1, ..Head::default() };
    state.put(Trees, &1, &tree()).unwrap();
    state.put(Handles, &tree().handle, &1).unwrap();
    let report = checked(&state, Some(&blocks), head.clone());
    assert_eq!(texts(&report), ["trees-0 row 1: names-0 row \"t\" does not lead to it"]);
    assert_eq!((report.found, report.trees), (1, 1));
    state.put(Names, "t", &1).unwrap();
    assert_eq!(texts(&checked(&state, Some(&blocks), head.clone())), [""; 0]);
    for (tree, found) in [(1, 0), (2, 1), (3, 0)] {
        blocks = Tables::default();
        blocks.put(Blocks, &(tree, 0), &vec![1; 16]).unwrap();
        let report = checked(&state, Some(&blocks), head.clone());
        assert_eq!(report.found, found, "{tree}: {:?}", report.findings);
        assert!(texts(&report).iter().all(|text| text.starts_with("blocks-0 rows of tree 2: there is no such tree")));
    }
}
