//! Damage inside redb's own rules: rows changed in a transaction, so that every page fits its checksum.

use pouw::internal::store::ForRedb;
use pouw::internal::store::sim::SimDisk;
use pouw::{StorageProvider, StoreFile};
use redb::{AccessGuard, Database, Key, ReadableTable, TableDefinition, WriteTransaction};

type Bytes = &'static [u8];
type Outcome = Result<(), redb::Error>;

/// Bytes of an edit: table, row, how, place, value, value.
pub const EDIT: usize = 6;

/// Makes all edits, as one commit to each file.
pub fn damage(disk: &SimDisk, edits: &[[u8; EDIT]]) -> Outcome {
    for file in [StoreFile::State, StoreFile::Blocks] {
        let backend = ForRedb(disk.open(file)?);
        let database = Database::builder().set_cache_size(1 << 20).create_with_backend(backend)?;
        let txn = database.begin_write()?;
        for edit in edits {
            match file {
                StoreFile::State => state(&txn, *edit)?,
                _ => blocks(&txn, *edit)?,
            }
        }
        txn.commit()?;
    }
    Ok(())
}

fn state(txn: &WriteTransaction, edit: [u8; EDIT]) -> Outcome {
    match edit[0] % 48 {
        0..=5 => rows(txn, TableDefinition::<u64, Bytes>::new("trees-0"), edit),
        6..=8 => rows(txn, TableDefinition::<&str, Bytes>::new("meta-0"), edit),
        9..=11 => rows(txn, TableDefinition::<(u64, u64), Bytes>::new("hashes-0"), edit),
        12..=14 => rows(txn, TableDefinition::<(u64, u64), Bytes>::new("lengths-0"), edit),
        15..=17 => rows(txn, TableDefinition::<(u64, u64), Bytes>::new("tiles-0"), edit),
        18 => rows(txn, TableDefinition::<(u64, u8, u64), Bytes>::new("interior-0"), edit),
        19 => rows(txn, TableDefinition::<[u8; 16], Bytes>::new("clients-0"), edit),
        20..=22 => rows(txn, TableDefinition::<u64, Bytes>::new("ledger-0"), edit),
        23 => numbers(txn, TableDefinition::<&str, u64>::new("names-0"), edit),
        24 => numbers(txn, TableDefinition::<[u8; 16], u64>::new("handles-0"), edit),
        25 => numbers(txn, TableDefinition::<(u8, u64), u64>::new("ready-0"), edit),
        26 => numbers(txn, TableDefinition::<[u8; 16], u64>::new("receipts-0"), edit),
        27 => numbers(txn, TableDefinition::<[u8; 16], u64>::new("debits-0"), edit),
        28 => numbers(txn, TableDefinition::<(u64, [u8; 16]), u64>::new("consumed-0"), edit),
        29 => marks(txn, TableDefinition::<(u8, u64), ()>::new("chores-0"), (edit[4], edit[5].into()), edit),
        30 => rows(txn, TableDefinition::<[u8; 16], Bytes>::new("standings-0"), edit),
        31..=33 => rows(txn, TableDefinition::<u64, Bytes>::new("provenance-0"), edit),
        34..=37 => rows(txn, TableDefinition::<(u64, u64), Bytes>::new("claims-0"), edit),
        38..=42 => rows(txn, TableDefinition::<(u64, u64), Bytes>::new("quorums-0"), edit),
        43 => numbers(txn, TableDefinition::<[u8; 16], u64>::new("followed-0"), edit),
        44 => marks(txn, TableDefinition::<(u64, u64), ()>::new("doubted-0"), (edit[4].into(), edit[5].into()), edit),
        45 => marks(txn, TableDefinition::<(u64, u64), ()>::new("damaged-0"), (edit[4].into(), edit[5].into()), edit),
        _ => Ok(()),
    }
}

fn blocks(txn: &WriteTransaction, edit: [u8; EDIT]) -> Outcome {
    match edit[0] % 32 {
        30 => rows(txn, TableDefinition::<(u64, u32), Bytes>::new("blocks-0"), edit),
        31 => rows(txn, TableDefinition::<&str, Bytes>::new("meta-0"), edit),
        _ => Ok(()),
    }
}

fn rows<K: Key + 'static>(
    txn: &WriteTransaction,
    table: TableDefinition<'static, K, Bytes>,
    [_, row, how, at, a, b]: [u8; EDIT],
) -> Outcome {
    let mut table = txn.open_table(table)?;
    let picked = table.iter()?.nth(row.into()).transpose()?;
    let Some((key, mut value)) = picked.map(|(key, value)| (key_bytes(&key), value.value().to_vec())) else {
        return Ok(());
    };
    let key = K::from_bytes(&key);
    let at = usize::from(at) % value.len().max(1);
    match how % 8 {
        0..=3 => value.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= a),
        4 => value.iter_mut().skip(at).take(1 + usize::from(b % 8)).for_each(|byte| *byte = a),
        5 => value.truncate(at),
        6 => value.extend(std::iter::repeat_n(a, b.into())),
        _ => {
            table.remove(&key)?;
            return Ok(());
        }
    }
    table.insert(&key, value.as_slice())?;
    Ok(())
}

fn numbers<K: Key + 'static>(
    txn: &WriteTransaction,
    table: TableDefinition<'static, K, u64>,
    [_, row, how, _, a, b]: [u8; EDIT],
) -> Outcome {
    let mut table = txn.open_table(table)?;
    let picked = table.iter()?.nth(row.into()).transpose()?;
    let Some((key, value)) = picked.map(|(key, value)| (key_bytes(&key), value.value())) else {
        return Ok(());
    };
    let key = K::from_bytes(&key);
    let changed = match how % 4 {
        0 => value.wrapping_add(a.into()),
        1 => u64::from(a) << (b % 64),
        2 => !u64::from(a),
        _ => {
            table.remove(&key)?;
            return Ok(());
        }
    };
    table.insert(&key, changed)?;
    Ok(())
}

/// Rows that are nothing but a key: one goes, or another comes.
fn marks<K: Key + 'static>(
    txn: &WriteTransaction,
    table: TableDefinition<'static, K, ()>,
    another: K::SelfType<'static>,
    [_, row, how, ..]: [u8; EDIT],
) -> Outcome {
    let mut table = txn.open_table(table)?;
    let picked = table.iter()?.nth(row.into()).transpose()?.map(|(key, _)| key_bytes(&key));
    match picked {
        Some(key) if how % 2 == 0 => drop(table.remove(&K::from_bytes(&key))?),
        _ => drop(table.insert(&another, ())?),
    }
    Ok(())
}

/// A key that outlives its table's snapshot.
fn key_bytes<K: Key + 'static>(key: &AccessGuard<'_, K>) -> Vec<u8> {
    K::as_bytes(&key.value()).as_ref().to_vec()
}
