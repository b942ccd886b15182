//! Every row of a store, damaged byte by byte: none is believed. Rows of older stores are read,
//! and get checksums.

use std::path::Path;
use std::sync::Arc;

use crate::store::{damage, damage_trust};
use crate::support::store_plant::{
    Bytes, CHORES, CLAIMS, CLIENTS, CONSUMED, DAMAGED, DEBITS, DOUBTED, FOLLOWED, Files, HANDLES, HASHES, INTERIOR,
    LEDGER, LENGTHS, META, NAMES, PROVENANCE, QUORUMS, READY, RECEIPTS, ReadableTable, SOURCES, STANDINGS, SUMS,
    SUSPECTS, TILES, TREES, copied, plant,
};
use pouw::PouwEngine;
use pouw::internal::store::rows::{LedgerRow, LengthRow, StandingRow};
use pouw::internal::store::{Command, OlderRow, RedbStore, RowCursor, RowFinding, Store as _, StoreError};
use pouw::protocol::ClientDigest;
use pouw::{Config, StoreDirectory, StoreOptions};
use redb::{Key, TableDefinition, Value, WriteTransaction};

/// Changes the bytes of every value of a table.
fn edit<K: Key + 'static, V: Value + 'static>(
    txn: &WriteTransaction,
    definition: TableDefinition<'static, K, V>,
    edit: &mut dyn FnMut(&[u8], &mut Vec<u8>),
) {
    let mut table = txn.open_table(definition).unwrap();
    let rows: Vec<(Vec<u8>, Vec<u8>)> = table
        .iter()
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|(key, value)| {
            (K::as_bytes(&key.value()).as_ref().to_vec(), V::as_bytes(&value.value()).as_ref().to_vec())
        })
        .collect();
    for (key, mut value) in rows {
        edit(&key, &mut value);
        table.insert(K::from_bytes(&key), V::from_bytes(&value)).unwrap();
    }
}

type Edit = fn(&WriteTransaction, &mut dyn FnMut(&[u8], &mut Vec<u8>));

/// Tables of the state file whose rows have values.
const STATE: [(&str, Edit); 19] = [
    ("trees-0", |txn, with| edit(txn, TREES, with)),
    ("names-0", |txn, with| edit(txn, NAMES, with)),
    ("handles-0", |txn, with| edit(txn, HANDLES, with)),
    ("hashes-0", |txn, with| edit(txn, HASHES, with)),
    ("lengths-0", |txn, with| edit(txn, LENGTHS, with)),
    ("tiles-0", |txn, with| edit(txn, TILES, with)),
    ("interior-0", |txn, with| edit(txn, INTERIOR, with)),
    ("ready-0", |txn, with| edit(txn, READY, with)),
    ("consumed-0", |txn, with| edit(txn, CONSUMED, with)),
    ("clients-0", |txn, with| edit(txn, CLIENTS, with)),
    ("ledger-0", |txn, with| edit(txn, LEDGER, with)),
    ("receipts-0", |txn, with| edit(txn, RECEIPTS, with)),
    ("debits-0", |txn, with| edit(txn, DEBITS, with)),
    ("standings-0", |txn, with| edit(txn, STANDINGS, with)),
    ("provenance-0", |txn, with| edit(txn, PROVENANCE, with)),
    ("claims-0", |txn, with| edit(txn, CLAIMS, with)),
    ("quorums-0", |txn, with| edit(txn, QUORUMS, with)),
    // The last byte is a truth value, of which redb itself refuses all but two.
    ("suspects-0", |txn, with| edit(txn, SUSPECTS, with)),
    ("followed-0", |txn, with| edit(txn, FOLLOWED, with)),
];

const BLOCKS_FILE: [(&str, Edit); 2] =
    [("sources-0", |txn, with| edit(txn, SOURCES, with)), ("sums-0", |txn, with| edit(txn, SUMS, with))];

/// A store with a row in every table: those of the two fixtures of the offline check, and two more.
fn stores() -> [Files; 2] {
    let mut stores = [damage::fixture().clone(), damage_trust::fixture().clone()];
    for (state, _) in &mut stores {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &*state).unwrap();
        plant(file.path(), |txn| {
            let row = StandingRow { tier: 1, violations: 0, first_violation_ms: 0, last_ms: 7 };
            txn.open_table(STANDINGS)
                .unwrap()
                .insert([1; 16], &row.encode(ClientDigest::from_bytes([1; 16]))[..])
                .unwrap();
            let suspects = txn.open_table(SUSPECTS).unwrap();
            let table = txn.open_table(LEDGER).unwrap();
            let entries = table.iter().unwrap().map(|entry| entry.unwrap());
            let mut entries =
                entries.map(|(seq, raw)| (seq.value(), LedgerRow::decode(seq.value(), raw.value()).unwrap()));
            let (seq, entry) = entries.find(|(_, row)| suspects.get(row.client.as_bytes()).unwrap().is_none()).unwrap();
            txn.open_table(FOLLOWED).unwrap().insert(entry.client.as_bytes(), seq).unwrap();
        });
        *state = std::fs::read(file.path()).unwrap();
    }
    stores
}

fn seen(dir: &Path) -> Result<RedbStore, StoreError> {
    RedbStore::open_read_only(Arc::new(StoreDirectory::new(dir)), StoreOptions::new())
}

/// All rows, `bytes` at a time.
fn walked(store: &RedbStore, bytes: u64) -> (u64, Vec<RowFinding>, Vec<OlderRow>) {
    let (mut rows, mut found, mut older) = (0, Vec::new(), Vec::new());
    let mut next = Some(RowCursor::default());
    while let Some(from) = next {
        let step = store.verify_rows(&from, bytes).unwrap();
        assert!(step.bytes < bytes + 70_000 && step.next.as_ref() != Some(&from), "{from:?} {step:?}");
        rows += step.rows;
        found.extend(step.found);
        older.extend(step.older);
        next = step.next;
    }
    (rows, found, older)
}

#[test]
fn a_sound_store_has_no_findings_however_it_is_walked() {
    for files in stores() {
        let dir = copied(&files);
        let store = seen(dir.path()).unwrap();
        let (rows, found, older) = walked(&store, u64::MAX / 2);
        assert_eq!((found, older), (Vec::new(), Vec::new()));
        assert!(rows > 100);
        for bytes in [1, 5_000] {
            assert_eq!(walked(&store, bytes), (rows, Vec::new(), Vec::new()));
        }
    }
}

#[test]
fn a_stretch_is_bounded_by_what_its_rows_cost_the_disk() {
    const RECEIPTS: u8 = 13;
    let [files, _] = stores();
    let dir = copied(&files);
    let store = seen(dir.path()).unwrap();
    let whole = store.verify_rows(&RowCursor { table: RECEIPTS, key: Vec::new() }, u64::MAX).unwrap();
    assert!(whole.rows <= 1_024 && whole.cost >= whole.rows * 256, "{whole:?}");
    let few = store.verify_rows(&RowCursor { table: RECEIPTS, key: Vec::new() }, 8_192).unwrap();
    assert!(few.rows == 2 && few.cost == 2 * (4_096 + 256) && few.next.unwrap().table == RECEIPTS);
}

/// Changes byte `at` of each row of a table; returns how many have one.
fn damaged(dir: &Path, file: &str, change: Edit, at: usize) -> usize {
    let mut changed = 0;
    plant(&dir.join(file), |txn| {
        change(txn, &mut |_, value| {
            if let Some(byte) = value.get_mut(at) {
                *byte ^= 0x10;
                changed += 1;
            }
        });
    });
    changed
}

fn longest(dir: &Path, file: &str, change: Edit) -> usize {
    let mut longest = 0;
    plant(&dir.join(file), |txn| change(txn, &mut |_, value| longest = longest.max(value.len())));
    longest
}

#[test]
fn no_row_is_believed_that_has_a_changed_byte() {
    let mut met = std::collections::BTreeSet::new();
    for files in stores() {
        let state = STATE.map(|(table, change)| ("state.redb", table, change));
        let blocks = BLOCKS_FILE.map(|(table, change)| ("blocks.redb", table, change));
        for (file, table, change) in state.into_iter().chain(blocks) {
            let dir = copied(&files);
            let original = std::fs::read(dir.path().join(file)).unwrap();
            let mut len = longest(dir.path(), file, change);
            len -= usize::from(table == "suspects-0" && len > 0);
            // Every byte of short rows, and some of each part of long ones.
            let stride = if len <= 32 { 1 } else { len / 12 };
            for at in (0..len).filter(|at| at % stride == 0 || at + 10 > len) {
                std::fs::write(dir.path().join(file), &original).unwrap();
                let changed = damaged(dir.path(), file, change, at);
                met.extend((changed > 0).then_some(table));
                match seen(dir.path()) {
                    Ok(store) => {
                        let (_, found, _) = walked(&store, u64::MAX / 2);
                        let count = found.iter().filter(|found| found.table == table).count();
                        assert_eq!(count, changed, "{table}, byte {at}: {found:#?}");
                    }
                    // A part of them is read when the store is opened.
                    Err(StoreError::Record { table: refused, .. }) => assert_eq!(refused, table, "byte {at}"),
                    Err(other) => panic!("{table}, byte {at}: {other}"),
                }
                if at % 4 != 0 {
                    continue;
                }
                let report = PouwEngine::check_store(dir.path(), &mut |_| {});
                assert!(report.is_err() || report.is_ok_and(|report| !report.is_clean()), "{table}, byte {at}");
            }
        }
    }
    assert_eq!(met.len(), STATE.len() + BLOCKS_FILE.len(), "{met:?}");
}

#[test]
fn no_label_is_believed_that_has_a_changed_byte() {
    let files = damage::fixture();
    let dir = copied(files);
    for (file, bytes) in [("state.redb", &files.0), ("blocks.redb", &files.1)] {
        let mut values = Vec::new();
        plant(&dir.path().join(file), |txn| {
            edit(txn, META, &mut |key, value| values.push((String::from_utf8(key.to_vec()).unwrap(), value.len())));
        });
        assert!(values.len() >= 4, "{values:?}");
        for (label, len) in values {
            for at in (0..len).step_by((len / 20).max(1)) {
                plant(&dir.path().join(file), |txn| {
                    edit(txn, META, &mut |key, value| {
                        if key == label.as_bytes() {
                            value[at] ^= 0x10;
                        }
                    });
                });
                let refused = seen(dir.path()).unwrap_err();
                assert!(!refused.is_retryable(), "{file}, {label}, byte {at}: {refused}");
                std::fs::write(dir.path().join(file), bytes).unwrap();
            }
        }
    }
}

/// Rewrites all rows as a build without checksums wrote them.
fn made_older(files: &Files) -> Files {
    let dir = copied(files);
    let fixed = |value: &mut Vec<u8>| value.truncate(value.len() - 9);
    let sealed = |value: &mut Vec<u8>| {
        value.truncate(value.len() - 8);
        value[0] = 0;
    };
    plant(&dir.path().join("state.redb"), |txn| {
        edit(txn, TREES, &mut |_, value| sealed(value));
        edit(txn, CLIENTS, &mut |_, value| sealed(value));
        edit(txn, CLAIMS, &mut |_, value| sealed(value));
        edit(txn, QUORUMS, &mut |_, value| sealed(value));
        edit(txn, HASHES, &mut |_, value| fixed(value));
        edit(txn, TILES, &mut |_, value| fixed(value));
        edit(txn, INTERIOR, &mut |_, value| fixed(value));
        edit(txn, LEDGER, &mut |_, value| fixed(value));
        edit(txn, STANDINGS, &mut |_, value| fixed(value));
        edit(txn, PROVENANCE, &mut |_, value| fixed(value));
        edit(txn, LENGTHS, &mut |_, value| {
            assert_eq!(value.len(), LengthRow::LEN);
            let count = usize::from(value[72]);
            value.truncate(8 + 4 * count);
        });
        edit(txn, META, &mut |key, value| match key {
            b"head" | b"account" => sealed(value),
            b"kind" | b"format" => {}
            _ => fixed(value),
        });
    });
    plant(&dir.path().join("blocks.redb"), |txn| {
        edit(txn, SOURCES, &mut |_, value| sealed(value));
        edit(txn, META, &mut |key, value| {
            if !matches!(key, b"kind" | b"format") {
                fixed(value);
            }
        });
    });
    let file = |name| std::fs::read(dir.path().join(name)).unwrap();
    (file("state.redb"), file("blocks.redb"))
}

/// Rows with bytes in the state file, but for its labels.
fn rows_with_bytes(dir: &Path) -> usize {
    let mut rows = 0;
    plant(&dir.join("state.redb"), |txn| {
        let mut count = |_: &[u8], _: &mut Vec<u8>| rows += 1;
        for (table, change) in STATE {
            let plain = ["names-0", "handles-0", "ready-0", "consumed-0", "receipts-0", "debits-0", "suspects-0"];
            if !plain.contains(&table) && table != "followed-0" {
                change(txn, &mut count);
            }
        }
    });
    rows
}

#[test]
fn a_store_without_checksums_opens_is_clean_and_gets_them() {
    for files in stores() {
        let dir = copied(&made_older(&files));
        let report = PouwEngine::check_store(dir.path(), &mut |_| {}).unwrap();
        assert!(report.is_clean(), "{:?}", report.findings);
        let rows = rows_with_bytes(dir.path());
        let store = RedbStore::open(Arc::new(StoreDirectory::new(dir.path())), StoreOptions::new()).unwrap();
        let (_, found, older) = walked(&store, 3_000);
        let labels = usize::from(older.len() > rows);
        assert_eq!((found, older.len()), (Vec::new(), rows + labels), "the account may be one");
        let now_ms = store.head().clock_ms;
        for part in older.chunks(100) {
            store.apply(&[Command::SumRows(part.to_vec())], now_ms).unwrap();
        }
        // A second time, and for rows that are not there.
        store.apply(&[Command::SumRows(older), Command::Forget { tree: 4 }], now_ms).unwrap();
        let (_, found, older) = walked(&store, u64::MAX / 2);
        assert_eq!((found, older), (Vec::new(), Vec::new()));
        store.close();
        drop(store);
        let report = PouwEngine::check_store(dir.path(), &mut |_| {}).unwrap();
        assert!(report.is_clean(), "{:?}", report.findings);
        // And what changes from now on is noticed.
        assert!(damaged(dir.path(), "state.redb", STATE[5].1, 3) > 0);
        let (_, found, _) = walked(&seen(dir.path()).unwrap(), u64::MAX / 2);
        assert!(found.iter().any(|found| found.table == "tiles-0" && found.tree.is_some()), "{found:?}");
    }
}

#[test]
fn an_engine_goes_on_with_a_store_without_checksums() {
    for files in stores() {
        let dir = copied(&made_older(&files));
        let config = || Config::builder([7; 32]).accept_clock_ahead(true).background(false).build().unwrap();
        let engine = PouwEngine::open(dir.path(), config()).unwrap();
        while crate::support::work::try_issue(&engine, b"new", pouw::protocol::DifficultyTier::High)
            .is_some_and(|issued| crate::support::work::answer_right(&engine, b"new", &issued.unit).is_ok())
        {}
        engine.upkeep().unwrap();
        engine.close();
        let report = PouwEngine::check_store(dir.path(), &mut |_| {}).unwrap();
        assert!(report.is_clean(), "{:?}", report.findings);
        let store = seen(dir.path()).unwrap();
        assert_eq!(walked(&store, u64::MAX / 2).1, Vec::new());
    }
}

#[test]
fn rows_without_values_are_compared_with_what_they_are_about() {
    let [whole, trust] = stores();
    let odd = |files: &Files, table: &str, change: &dyn Fn(&WriteTransaction)| {
        let dir = copied(files);
        plant(&dir.path().join("state.redb"), change);
        let (_, found, _) = walked(&seen(dir.path()).unwrap(), u64::MAX / 2);
        assert!(found.iter().any(|found| found.table == table), "{table}: {found:#?}");
    };
    odd(&whole, "chores-0", &|txn| drop(txn.open_table(CHORES).unwrap().insert((0, 3), ()).unwrap()));
    odd(&trust, "damaged-0", &|txn| drop(txn.open_table(DAMAGED).unwrap().insert((0, 3), ()).unwrap()));
    odd(&trust, "doubted-0", &|txn| drop(txn.open_table(DOUBTED).unwrap().insert((0, 0), ()).unwrap()));
    // Those that are not there are missed.
    odd(&whole, "trees-0", &|txn| drop(txn.open_table(CHORES).unwrap().remove((3, 0)).unwrap()));
    odd(&trust, "tiles-0", &|txn| txn.open_table(DAMAGED).unwrap().retain(|_, ()| false).unwrap());
    odd(&trust, "tiles-0", &|txn| txn.open_table(DOUBTED).unwrap().retain(|_, ()| false).unwrap());
    odd(&whole, "trees-0", &|txn| txn.open_table(READY).unwrap().retain(|_, tree| tree != 3).unwrap());
    odd(&whole, "ledger-0", &|txn| txn.open_table(RECEIPTS).unwrap().retain(|_, seq| seq != 1).unwrap());
    odd(&whole, "ledger-0", &|txn| drop(txn.open_table(TILES).unwrap().remove((3, 0)).unwrap()));
    odd(&trust, "hashes-0", &|txn| drop(txn.open_table(TILES).unwrap().remove((0, 0)).unwrap()));
}

#[test]
fn a_table_that_cannot_be_read_gives_one_finding_and_the_others_are_read() {
    // redb refuses a table whose types are others.
    const OTHER: TableDefinition<u64, u64> = TableDefinition::new("claims-0");
    let dir = copied(damage_trust::fixture());
    plant(&dir.path().join("state.redb"), |txn| {
        assert!(txn.delete_table(CLAIMS).unwrap());
        txn.open_table(OTHER).unwrap().insert(1, 2).unwrap();
        let raw: Bytes = &[9, 9];
        txn.open_table(QUORUMS).unwrap().insert((0, 0), raw).unwrap();
    });
    let store = match seen(dir.path()) {
        Ok(store) => store,
        // All tables are opened when the store is.
        Err(error) => {
            assert!(error.to_string().contains("claims-0"), "{error}");
            return;
        }
    };
    let (_, found, _) = walked(&store, u64::MAX / 2);
    let tables: Vec<_> = found.iter().map(|found| found.table).collect();
    assert_eq!(tables, ["claims-0", "quorums-0"]);
}
