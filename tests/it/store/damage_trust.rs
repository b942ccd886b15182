//! One planted fault for each thing the check claims to find about who stands for a leaf: it finds exactly that.

use std::sync::{Arc, OnceLock};

use crate::support::clients::{HIGH, answer, apart, blocks, names, options, wrong};
use crate::support::house::House;
use crate::support::store_plant;
use crate::support::store_plant::{
    CLAIMS, DAMAGED, DOUBTED, Files, HASHES, LEDGER, META, PROVENANCE, QUORUMS, SUSPECTS, edit_head, edit_tree, flip,
    forge_entry, set_leaf,
};
use pouw::hash::{Checksum, sha3_512};
use pouw::internal::store::rows::{
    ClaimRow, GroupRow, LedgerRow, ProvenanceRow, QuorumRow, Submitter, VoteRow, seal, unseal,
};
use pouw::internal::store::{Command, RedbStore, Refuse, Store as _};
use pouw::protocol::{ClientDigest, WorkId};
use pouw::{Config, EntryKind, Issued, PouwEngine, StoreDirectory, StoreOptions, Strategy, SubmitError, TreeState};
use redb::{Database, ReadableDatabase, ReadableTable, WriteTransaction};

const AUDIT: Strategy = Strategy::SampledAudit { k: 2 };

/// Trees of the fixture, by the order of their ingest. Of the first tile 0 is audited, tile 1 doubted, tile 2 pending.
const AUDITED: u64 = 0;
/// One tile, audited: complete.
const WHOLE: u64 = 1;
/// Tile 0 agreed, tile 1 with one vote, tile 2 with one vote and three leaves of the server's.
const PAIRS: u64 = 2;
/// Two votes of three.
const THREE: u64 = 3;
/// Tile 0 known but for leaf 5, which is damaged; tile 1 pending.
const KNOWN: u64 = 4;

const LEAVES: [u64; 5] = [96, 32, 96, 32, 64];

// States of a leaf in its four bits.
const PENDING: u8 = 0;
const VERIFIED: u8 = 1;
const DOUBT: u8 = 5;
const DAMAGE: u8 = 6;

fn content(tree: u64) -> Vec<Vec<u8>> {
    blocks(LEAVES[tree as usize], 1 + tree)
}

/// The unit of this tile, for this client. What else it is handed out is lost to it until the store is opened again.
fn unit(house: &mut House, who: u64, tree: u64, tile: u64) -> Issued {
    house.checked();
    let first = content(tree)[tile as usize * 32].clone();
    loop {
        let issued = house.issue(who, HIGH).expect("the unit is ready");
        if issued.unit.input_data.starts_with(&first) {
            return issued;
        }
    }
}

fn give(
    house: &mut House,
    who: u64,
    (tree, tile): (u64, u64),
    lie: impl FnOnce(&mut Vec<Checksum>),
) -> Result<(), SubmitError> {
    let issued = unit(house, who, tree, tile);
    house.submit(who, &answer(&issued, lie)).map(drop)
}

fn honest(house: &mut House, number: u64, tree: u64, tile: u64) {
    give(house, apart(number), (tree, tile), |_| {}).unwrap();
}

fn ingest(house: &House) {
    house.ingest(AUDIT, "audited", &content(AUDITED));
    house.ingest(AUDIT, "whole", &content(WHOLE));
    house.ingest(Strategy::Redundant { quorum: 2 }, "pairs", &content(PAIRS));
    house.ingest(Strategy::Redundant { quorum: 3 }, "three", &content(THREE));
    let right = content(KNOWN);
    let mut given = right.clone();
    given[5][100] ^= 1;
    let given: Vec<(Checksum, &[u8])> =
        right.iter().zip(&given).map(|(right, given)| (sha3_512(right), given.as_slice())).collect();
    house.engine.ingest_known_blocks(&options(Strategy::KnownAddress), "known", &given).unwrap();
}

/// The files of a store with every kind of row about who stands for a leaf.
pub fn fixture() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let mut house = House::new();
        ingest(&house);
        honest(&mut house, 9, WHOLE, 0);
        honest(&mut house, 1, AUDITED, 0);
        honest(&mut house, 9, AUDITED, 1);
        honest(&mut house, 1, PAIRS, 0);
        honest(&mut house, 2, PAIRS, 0);
        honest(&mut house, 1, PAIRS, 1);
        // Three leaves of 32: some liar's audit of two misses them.
        let lie = |leaves: &mut Vec<Checksum>| [3, 4, 9].iter().for_each(|at| leaves[*at] = wrong(&leaves[*at]));
        let mut liar = 100;
        while give(&mut house, apart(liar), (PAIRS, 2), lie).is_err() {
            liar += 1;
        }
        honest(&mut house, 3, PAIRS, 2);
        honest(&mut house, 1, THREE, 0);
        honest(&mut house, 2, THREE, 0);
        honest(&mut house, 1, KNOWN, 0);
        house.settle();
        // Client 9 is caught, and followed back along one of its two answers.
        let client = house.engine.client_digest(&names(apart(9)).0);
        house.engine.close();
        let store = RedbStore::open(Arc::new(StoreDirectory::new(house.store())), StoreOptions::default()).unwrap();
        let now_ms = store.head().clock_ms;
        let strike =
            Refuse { id: WorkId::from_bytes([9; 16]), expires_ms: now_ms, client, strike: true, at_ms: now_ms };
        store.apply(&[Command::Refuse(strike), Command::Backtrack { client, limit: 1 }], now_ms).unwrap();
        store.close();
        let file = |name| std::fs::read(house.store().join(name)).unwrap();
        (file("state.redb"), file("blocks.redb"))
    })
}

/// The change makes the check find these things in this order, and nothing else.
#[track_caller]
fn exactly(wanted: &[&str], plant: impl FnOnce(&WriteTransaction)) {
    let found = store_plant::planted(fixture(), "state.redb", plant);
    let fits = found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, wanted)| found.contains(wanted));
    assert!(fits, "{wanted:#?} was planted, found was {found:#?}");
}

fn edit_claim(txn: &WriteTransaction, key: (u64, u64), edit: impl FnOnce(&mut ClaimRow)) {
    let mut table = txn.open_table(CLAIMS).unwrap();
    let mut row: ClaimRow = unseal("claims-0", key, table.get(key).unwrap().unwrap().value()).unwrap();
    edit(&mut row);
    table.insert(key, seal("claims-0", key, &row).unwrap().as_slice()).unwrap();
}

fn quorum(txn: &WriteTransaction, key: (u64, u64)) -> QuorumRow {
    let table = txn.open_table(QUORUMS).unwrap();
    let raw = table.get(key).unwrap().unwrap();
    unseal("quorums-0", key, raw.value()).unwrap()
}

fn put_quorum(txn: &WriteTransaction, key: (u64, u64), row: &QuorumRow) {
    txn.open_table(QUORUMS).unwrap().insert(key, seal("quorums-0", key, row).unwrap().as_slice()).unwrap();
}

fn edit_quorum(txn: &WriteTransaction, key: (u64, u64), edit: impl FnOnce(&mut QuorumRow)) {
    let mut row = quorum(txn, key);
    edit(&mut row);
    put_quorum(txn, key, &row);
}

fn edit_counts(txn: &WriteTransaction, tree: u64, edit: impl FnOnce(&mut ProvenanceRow)) {
    let mut table = txn.open_table(PROVENANCE).unwrap();
    let mut row = ProvenanceRow::decode(tree, table.get(tree).unwrap().unwrap().value()).unwrap();
    edit(&mut row);
    table.insert(tree, &row.encode(tree)[..]).unwrap();
}

/// The sequence number of the one entry of this kind on this range.
fn entry(txn: &WriteTransaction, kind: EntryKind, tree: u64, start: u64) -> u64 {
    let table = txn.open_table(LEDGER).unwrap();
    let mut rows = table.iter().unwrap().map(|entry| entry.unwrap());
    let is_it = |seq: u64, raw: &[u8]| {
        let row = LedgerRow::decode(seq, raw).unwrap();
        (row.kind, row.tree, row.start) == (kind, tree, start)
    };
    rows.find(|(seq, raw)| is_it(seq.value(), raw.value())).unwrap().0.value()
}

#[test]
fn the_fixture_is_clean_and_has_everything() {
    exactly(&[], |_| {});
    let dir = store_plant::copied(fixture());
    let report = PouwEngine::check_store(dir.path(), &mut |_| {}).unwrap();
    assert_eq!((report.claims, report.quorums, report.damaged), (4, 3, 1));
    let database = Database::open(dir.path().join("state.redb")).unwrap();
    let txn = database.begin_read().unwrap();
    let counts = |tree: u64| {
        let table = txn.open_table(PROVENANCE).unwrap();
        ProvenanceRow::decode(tree, table.get(tree).unwrap().unwrap().value()).unwrap()
    };
    let none = ProvenanceRow::default();
    assert_eq!(counts(AUDITED), ProvenanceRow { audited: 32, doubted: 32, ..none });
    assert_eq!(counts(WHOLE), ProvenanceRow { audited: 32, ..none });
    assert_eq!(counts(PAIRS), ProvenanceRow { agreed: 32, ..none });
    assert_eq!(counts(KNOWN), ProvenanceRow { known: 31, damaged: 1, ..none });
    let votes = |key| {
        let table = txn.open_table(QUORUMS).unwrap();
        let row: QuorumRow = unseal("quorums-0", key, table.get(key).unwrap().unwrap().value()).unwrap();
        (row.votes.len(), row.refereed.len())
    };
    assert_eq!([votes((PAIRS, 32)), votes((PAIRS, 64)), votes((THREE, 0))], [(1, 0), (1, 3), (2, 0)]);
    assert_eq!(txn.open_table(SUSPECTS).unwrap().iter().unwrap().count(), 1);
    assert!(txn.open_table(DOUBTED).unwrap().get((AUDITED, 1)).unwrap().is_some());
    drop(txn);
    drop(database);
    // And it goes on.
    let engine =
        PouwEngine::open(dir.path(), Config::builder([7; 32]).accept_clock_ahead(true).build().unwrap()).unwrap();
    assert_eq!(engine.tree("whole").unwrap().state, TreeState::Complete);
    engine.close();
}

#[test]
fn counts_that_do_not_fit_the_states_are_found() {
    exactly(&["provenance-0 row 0: it is ProvenanceRow { known: 1"], |txn| {
        edit_counts(txn, AUDITED, |row| row.known += 1)
    });
    exactly(&["provenance-0 row 2: it is"], |txn| edit_counts(txn, PAIRS, |row| row.agreed -= 1));
    exactly(&["provenance-0 row 1: it is"], |txn| edit_counts(txn, WHOLE, |row| row.audited += 1));
    exactly(&["provenance-0 row 0: it is"], |txn| edit_counts(txn, AUDITED, |row| row.doubted -= 1));
    // Damaged leaves are not pending, so that the totals show a wrong count of them too.
    exactly(&["provenance-0 row 4: it is", "meta-0 head: pending is"], |txn| {
        edit_counts(txn, KNOWN, |row| row.damaged += 1)
    });
    exactly(&["provenance-0 row 2: it is"], |txn| drop(txn.open_table(PROVENANCE).unwrap().remove(PAIRS)));
    // Without its count a complete tree seems to have nothing left for which its data is kept.
    exactly(&["trees-0 row 1: it is Complete, but chores-0 lacks (2, 1)", "provenance-0 row 1: it is"], |txn| {
        drop(txn.open_table(PROVENANCE).unwrap().remove(WHOLE))
    });
    exactly(&["provenance-0 row 4: it is"], |txn| set_leaf(txn, KNOWN, 9, VERIFIED));
}

#[test]
fn claims_that_do_not_fit_the_states_are_found() {
    exactly(&["tiles-0 row (0, 0): a leaf is below verified, but claims-0 names no client"], |txn| {
        drop(txn.open_table(CLAIMS).unwrap().remove((AUDITED, 0)))
    });
    exactly(&["tiles-0 row (2, 0): a leaf is below verified, but claims-0 names no client"], |txn| {
        edit_claim(txn, (PAIRS, 0), |row| row.order = 4)
    });
    let claim = |txn: &WriteTransaction, key, order| {
        let mut table = txn.open_table(CLAIMS).unwrap();
        let mut row: ClaimRow =
            unseal("claims-0", (AUDITED, 0), table.get((AUDITED, 0)).unwrap().unwrap().value()).unwrap();
        row.order = order;
        table.insert(key, seal("claims-0", key, &row).unwrap().as_slice()).unwrap();
    };
    let idle = "none of its leaves is below verified";
    exactly(&[&format!("claims-0 row (4, 8): {idle}")], |txn| claim(txn, (KNOWN, 8), 3));
    exactly(&[&format!("claims-0 row (0, 64): {idle}")], |txn| claim(txn, (AUDITED, 64), 5));
    let nobody = "it is not a claim on a unit";
    exactly(&[&format!("claims-0 row (0, 0): {nobody}")], |txn| {
        edit_claim(txn, (AUDITED, 0), |row| row.submitters.clear())
    });
    exactly(&[&format!("claims-0 row (0, 0): {nobody}")], |txn| edit_claim(txn, (AUDITED, 0), |row| row.order = 6));
    exactly(&[&format!("claims-0 row (0, 3): {nobody}")], |txn| claim(txn, (AUDITED, 3), 1));
    exactly(&["tiles-0 row (0, 0): a leaf is below verified", "claims-0 row (0, 0): row version 7"], |txn| {
        drop(txn.open_table(CLAIMS).unwrap().insert((AUDITED, 0), &[7, 0, 0][..]))
    });
}

#[test]
fn doubts_that_do_not_fit_the_states_are_found() {
    let wanted = |tree: u64, tile: u64| format!("doubted-0 row ({tree}, {tile}): it does not fit the states");
    exactly(&[&wanted(0, 1)], |txn| drop(txn.open_table(DOUBTED).unwrap().remove((AUDITED, 1))));
    exactly(&[&wanted(0, 0)], |txn| drop(txn.open_table(DOUBTED).unwrap().insert((AUDITED, 0), ())));
    exactly(&[&wanted(0, 2)], |txn| drop(txn.open_table(DOUBTED).unwrap().insert((AUDITED, 2), ())));
    exactly(&[&wanted(2, 0)], |txn| {
        set_leaf(txn, PAIRS, 3, DOUBT);
        edit_counts(txn, PAIRS, |row| (row.agreed, row.doubted) = (31, 1));
    });
}

#[test]
fn damage_that_does_not_fit_the_states_is_found() {
    let wanted = |tile: u64| format!("damaged-0 rows of tile (4, {tile}): they do not fit the states");
    exactly(&[&wanted(0)], |txn| drop(txn.open_table(DAMAGED).unwrap().remove((KNOWN, 5))));
    exactly(&[&wanted(0)], |txn| drop(txn.open_table(DAMAGED).unwrap().insert((KNOWN, 6), ())));
    exactly(&[&wanted(1)], |txn| drop(txn.open_table(DAMAGED).unwrap().insert((KNOWN, 40), ())));
    exactly(&[&wanted(0)], |txn| {
        set_leaf(txn, KNOWN, 6, DAMAGE);
        edit_counts(txn, KNOWN, |row| (row.known, row.damaged) = (30, 2));
        edit_tree(txn, KNOWN, |row| row.done -= 1);
    });
}

#[test]
fn votes_on_what_is_no_unit_with_pending_leaves_are_found() {
    let said = |start: u64, what: &str| format!("quorums-0 row (2, {start}): {what}");
    exactly(&["quorums-0 row (0, 64): its tree takes no votes"], |txn| {
        let row = quorum(txn, (PAIRS, 32));
        put_quorum(txn, (AUDITED, 64), &row);
    });
    exactly(&[&said(0, "one of its leaves is not pending")], |txn| {
        let row = quorum(txn, (PAIRS, 32));
        put_quorum(txn, (PAIRS, 0), &row);
    });
    exactly(&[&said(96, "its range is not a unit")], |txn| {
        let row = quorum(txn, (PAIRS, 32));
        put_quorum(txn, (PAIRS, 96), &row);
    });
    exactly(&[&said(32, "its range is not a unit")], |txn| edit_quorum(txn, (PAIRS, 32), |row| row.order = 6));
    exactly(&[&said(33, "its range is not a unit")], |txn| {
        let row = quorum(txn, (PAIRS, 32));
        put_quorum(txn, (PAIRS, 33), &QuorumRow { order: 4, ..row });
    });
    exactly(&["quorums-0 row (1, 0): its tree takes no votes"], |txn| {
        let row = quorum(txn, (PAIRS, 32));
        put_quorum(txn, (WHOLE, 0), &row);
    });
    let inactive = ["trees-0 row 3: it is Inconsistent", "ready-0 row", "quorums-0 row (3, 0): its tree is not active"];
    exactly(&inactive, |txn| edit_tree(txn, THREE, |row| row.state = TreeState::Inconsistent));
    exactly(&[&said(32, "row version 9")], |txn| {
        drop(txn.open_table(QUORUMS).unwrap().insert((PAIRS, 32), &[9, 0][..]))
    });
}

#[test]
fn votes_that_cannot_stand_together_are_found() {
    let edit = |start: u64, what: &str, edit: &dyn Fn(&mut QuorumRow)| {
        exactly(&[&format!("quorums-0 row (2, {start}): {what}")], |txn| edit_quorum(txn, (PAIRS, start), edit));
    };
    let other = |row: &QuorumRow| VoteRow {
        client: ClientDigest::from_bytes([1; 16]),
        network: [1; 16],
        ..row.votes[0].clone()
    };
    edit(32, "its quorum is complete", &|row| row.votes.push(other(row)));
    edit(32, "it has no votes", &|row| row.votes.clear());
    edit(32, "a vote is for another number of leaves", &|row| row.votes[0].leaves.truncate(31));
    edit(64, "a vote differs from the server's own hash", &|row| flip(&mut row.votes[0].leaves[3], 0));
    edit(64, "a vote differs from the server's own hash", &|row| flip(&mut row.refereed[1].1, 0));
    let edit = |what: &str, edit: &dyn Fn(&mut QuorumRow)| {
        exactly(&[&format!("quorums-0 row (3, 0): {what}")], |txn| edit_quorum(txn, (THREE, 0), edit));
    };
    edit("two votes are of one client or network", &|row| row.votes[1].client = row.votes[0].client);
    edit("two votes are of one client or network", &|row| row.votes[1].network = row.votes[0].network);
    edit("its votes differ", &|row| flip(&mut row.votes[1].leaves[31], 63));
    // A range of which only the server has said something is sound.
    exactly(&[], |txn| edit_quorum(txn, (PAIRS, 64), |row| row.votes.clear()));
}

#[test]
fn a_suspect_or_an_account_that_does_not_read_is_found() {
    exactly(&["is not of this client"], |txn| {
        drop(txn.open_table(SUSPECTS).unwrap().insert([7; 16], (0, 0, 0, false)))
    });
    exactly(&["ledger-0 row 77 is not of this client"], |txn| {
        let mut table = txn.open_table(SUSPECTS).unwrap();
        let client = table.first().unwrap().unwrap().0.value();
        table.insert(client, (77, 77, 77, false)).unwrap();
    });
    exactly(&["meta-0 row \"account\": row version 3"], |txn| {
        drop(txn.open_table(META).unwrap().insert("account", &[3, 1][..]))
    });
}

#[test]
fn rows_about_a_tree_that_is_not_there_are_found() {
    let orphans = |table: &str| format!("{table} rows of tree 77: there is no such tree");
    exactly(&[&orphans("provenance-0")], |txn| {
        drop(txn.open_table(PROVENANCE).unwrap().insert(77, &ProvenanceRow::default().encode(77)[..]))
    });
    exactly(&[&orphans("claims-0")], |txn| {
        let row = ClaimRow {
            order: 0,
            submitters: vec![Submitter {
                client: ClientDigest::from_bytes([1; 16]),
                network: [1; 16],
                seq: 0,
                data_digest: 0,
            }],
        };
        drop(txn.open_table(CLAIMS).unwrap().insert((77, 0), seal("claims-0", (77, 0), &row).unwrap().as_slice()))
    });
    exactly(&[&orphans("quorums-0")], |txn| {
        let row = quorum(txn, (PAIRS, 32));
        put_quorum(txn, (77, 0), &row);
    });
    exactly(&[&orphans("doubted-0")], |txn| drop(txn.open_table(DOUBTED).unwrap().insert((77, 0), ())));
    exactly(&[&orphans("damaged-0")], |txn| drop(txn.open_table(DAMAGED).unwrap().insert((77, 0), ())));
}

#[test]
fn hashes_of_clients_that_do_not_fold_are_found() {
    let edit = |txn: &WriteTransaction, key: (u64, u64), edit: &dyn Fn(&mut GroupRow)| {
        let mut table = txn.open_table(HASHES).unwrap();
        let mut row = GroupRow::decode(key, table.get(key).unwrap().unwrap().value()).unwrap();
        edit(&mut row);
        table.insert(key, row.encode(key).as_slice()).unwrap();
    };
    let fold = "its leaves do not fold to its top";
    exactly(&[&format!("hashes-0 row (0, 1): {fold}")], |txn| edit(txn, (AUDITED, 1), &|row| row.top = Checksum::ZERO));
    exactly(&[&format!("hashes-0 row (0, 4): {fold}")], |txn| edit(txn, (AUDITED, 4), &|row| row.top = sha3_512(b"")));
    exactly(&["trees-0 row 1: its leaves do not fold to its root"], |txn| {
        edit_tree(txn, WHOLE, |row| flip(&mut row.root, 3))
    });
    exactly(&[&format!("hashes-0 row (1, 0): {fold}")], |txn| {
        edit(txn, (WHOLE, 0), &|row| row.leaves[3] = Checksum::ZERO)
    });
}

#[test]
fn credits_that_do_not_fit_the_states_are_found() {
    // The part of the known tree moves over an audited tile, and leaves its own tile without credit.
    exactly(&["are credited a second time", "tiles-0 row (4, 0): a leaf is done, but no client was credited"], |txn| {
        let seq = entry(txn, EntryKind::Part, KNOWN, 0);
        forge_entry(txn, seq, |row| (row.tree, row.start) = (AUDITED, 0));
    });
    exactly(&["it credits tile (0, 2), which has no row", "tiles-0 row (4, 0): a leaf is done"], |txn| {
        let seq = entry(txn, EntryKind::Part, KNOWN, 0);
        forge_entry(txn, seq, |row| (row.tree, row.start) = (AUDITED, 64));
    });
    exactly(&["31 leaves from 0 on are not part of a unit", "tiles-0 row (4, 0): a leaf is done"], |txn| {
        let seq = entry(txn, EntryKind::Part, KNOWN, 0);
        forge_entry(txn, seq, |row| row.order = 6);
    });
    // A vote credits no leaf: without the entry of the last one nobody is credited.
    exactly(&["0 leaves from 0 on are not a unit"], |txn| {
        let seq = entry(txn, EntryKind::Vote, PAIRS, 0);
        forge_entry(txn, seq, |row| row.kind = EntryKind::Leaves);
    });
    exactly(&["tiles-0 row (2, 0): a leaf is done, but no client was credited"], |txn| {
        let seq = entry(txn, EntryKind::Leaves, PAIRS, 0);
        forge_entry(txn, seq, |row| row.kind = EntryKind::Vote);
    });
    // A correction pays nothing and counts no answer.
    let lost = ["leaves is", "units is", "nodes is", "tiles-0 row (0, 0): a leaf is done", "clients-0 row"];
    exactly(&lost, |txn| {
        let seq = entry(txn, EntryKind::Leaves, AUDITED, 0);
        forge_entry(txn, seq, |row| row.kind = EntryKind::Correction);
    });
    // Leaves that the server hashed itself need no credit, but in a tree it had hashed before they do.
    exactly(&[], |txn| {
        let claims = txn.open_table(CLAIMS).unwrap().remove((PAIRS, 0)).unwrap().is_some();
        assert!(claims);
        (0..32).for_each(|leaf| set_leaf(txn, PAIRS, leaf, VERIFIED));
        edit_counts(txn, PAIRS, |row| row.agreed = 0);
    });
}

#[test]
fn totals_count_no_damaged_leaf_as_pending() {
    exactly(&["meta-0 head: pending is"], |txn| edit_head(txn, |head| head.totals.pending += 1));
    exactly(&["damaged-0 rows of tile (4, 0)", "meta-0 head: pending is"], |txn| {
        set_leaf(txn, KNOWN, 5, PENDING);
        edit_counts(txn, KNOWN, |row| row.damaged = 0);
    });
}
