//! Verifying rows while the store is used: every row of the state file, and the references and
//! checksums of the block file, a bounded stretch at a time.

use std::ops::Bound;

use redb::{Key, ReadOnlyTable, TableDefinition, TableHandle, Value};

use crate::protocol::{ClientDigest, TreeHandle, WorkId};
use crate::store::command::older::{OlderRow, place};
use crate::store::error::StoreError;
use crate::store::redb::errors::DbResult;
use crate::store::redb::open::Store;
use crate::store::redb::read::Reader;
use crate::store::redb::snapshot::RedbSnapshot;
use crate::store::redb::tables::{InRedb, RedbKey as _, known};
use crate::store::rows::{DebitKey, Head};
use crate::store::schema::{
    Chores, Claims, Clients, Consumed, Damaged, Debits, Doubted, Followed, Handles, Hashes, Interior, Ledger, Lengths,
    Meta, Names, Provenance, Quorums, Ready, Receipts, Sources, Standings, Sums, Suspects, Tiles, TokenKey, TreeNumber,
    Trees,
};
use crate::store::table::Table;

/// A place in the walk through all rows: behind this key of this table. The default is the
/// beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowCursor {
    /// Place of the table in the order of the walk.
    pub table: u8,
    /// Bytes of the last key looked at; empty before the first.
    pub key: Vec<u8>,
}

/// What one stretch of the walk found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowsVerified {
    /// Where to go on; `None` behind the last row.
    pub next: Option<RowCursor>,
    /// Rows looked at.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// What reading them costs the disk, bytes: each row at least [`ROW_COST`], and [`LOOK_COST`]
    /// for each row elsewhere that it is compared with.
    pub cost: u64,
    /// Pages that cannot be read, and were passed over.
    pub passed_over: u64,
    /// Rows that do not decode, or that others contradict.
    pub found: Vec<RowFinding>,
    /// Rows that have no checksum yet, for [`Command::SumRows`](crate::store::Command::SumRows).
    pub older: Vec<OlderRow>,
}

/// A row that is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFinding {
    /// Its table.
    pub table: &'static str,
    /// The tree it is about, if its key names one.
    pub tree: Option<TreeNumber>,
    /// Bytes of its key; empty if the whole table is meant.
    pub key: Vec<u8>,
    /// Which row it is, and what is wrong.
    pub what: String,
}

/// What a row costs at least, bytes.
pub const ROW_COST: u64 = 256;
/// What it costs to look at a row at a random place of another table, bytes: a page.
pub const LOOK_COST: u64 = 4_096;

/// Bytes and rows at which a stretch ends, so that no snapshot is held for long.
const BYTES_MAX: u64 = 256 << 10;
const ROWS_MAX: u64 = 1_024;
/// Findings and older rows at which a stretch ends, so that it takes bounded memory.
const FOUND_MAX: usize = 256;
const OLDER_MAX: usize = 4_096;

impl Store {
    /// Looks at rows behind `from` until about `max_cost` is spent, or 256 KiB or 1 024 rows are
    /// read: each is decoded, its checksum compared, and what leads to other rows is compared
    /// with them. All of it is seen as of one commit, whose pages stay for that long.
    ///
    /// A page that cannot be read is one finding, and the walk goes on behind it; behind one of a
    /// table of names, with the next table.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails.
    pub fn verify_rows(&self, from: &RowCursor, max_cost: u64) -> Result<RowsVerified, StoreError> {
        let out = RowsVerified { next: Some(from.clone()), ..RowsVerified::default() };
        let mut walk = Walk { out, max_cost, at: 0 };
        if from.table < place::SOURCES {
            let reader = self.read()?;
            match reader.head() {
                Ok(head) => walk.state(&reader.rows, &Looks { reader: &reader, head })?,
                // Nothing can be compared without it.
                Err(error) => {
                    walk.finding(Meta::NAME, Row::default(), error)?;
                    walk.out.next = Some(RowCursor { table: place::SOURCES, key: Vec::new() });
                }
            }
        }
        if !walk.is_full() {
            walk.at = place::SOURCES;
            let walked = self.blocks_db().and_then(|database| database.begin_read());
            self.blocks_used(match walked {
                Ok(snapshot) => walk.blocks(&snapshot),
                Err(error) => {
                    walk.out.next = None;
                    walk.finding(Sources::NAME, Row::default(), error)
                }
            })?;
        }
        Ok(walk.out)
    }
}

/// What rows are compared with.
pub(in crate::store) struct Looks<'r> {
    pub(in crate::store) reader: &'r Reader,
    pub(in crate::store) head: Head,
}

/// Whether a row is in the form of older stores, or why it is damaged.
pub(in crate::store) type IsOlder = Result<bool, StoreError>;

/// The row that a finding is about; the default is the whole table.
#[derive(Default)]
struct Row {
    tree: Option<TreeNumber>,
    key: Vec<u8>,
    /// The key, to be read by people.
    text: String,
}

struct Walk {
    out: RowsVerified,
    max_cost: u64,
    /// Place of the table that is next in the list.
    at: u8,
}

/// Where a key has the number of its tree.
type TreeAt = Option<usize>;

impl Walk {
    fn is_full(&self) -> bool {
        let out = &self.out;
        let enough = out.cost >= self.max_cost || out.bytes >= BYTES_MAX || out.rows >= ROWS_MAX;
        enough || out.found.len() >= FOUND_MAX || out.older.len() >= OLDER_MAX
    }

    /// A failure of one row, or of the pages of a table, is a finding; another one ends the walk.
    fn finding(&mut self, table: &'static str, row: Row, error: StoreError) -> Result<(), StoreError> {
        let what = match error {
            StoreError::Record { table: of, what } if of == table => what,
            error if error.is_of_the_place() => error.to_string(),
            other => return Err(other),
        };
        let Row { tree, key, text } = row;
        let what = if text.is_empty() { what } else { format!("row {text}: {what}") };
        self.out.found.push(RowFinding { table, tree, key, what });
        Ok(())
    }

    /// One table, if the walk is at it: all rows behind the cursor, or until the stretch is full.
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        snapshot: &RedbSnapshot,
        definition: &'static TableDefinition<'static, K, V>,
        tree_at: TreeAt,
        check: impl for<'a> Fn(K::SelfType<'a>, V::SelfType<'a>) -> IsOlder,
    ) -> Result<(), StoreError> {
        let (at, name) = (self.at, definition.name());
        self.at += 1;
        let Some(from) = self.out.next.clone().filter(|next| next.table == at && !self.is_full()) else {
            return Ok(());
        };
        let begin = if is_key::<K>(&from.key) { Bound::Excluded(&*from.key) } else { Bound::Unbounded };
        let walked = snapshot.look_inside(|txn| self.rows(known(txn, *definition)?, begin, (name, tree_at), &check));
        let walked = match walked {
            Err(error) => {
                let last = self.out.next.clone().unwrap_or_default().key;
                self.finding(name, Row { key: last.clone(), ..Row::default() }, error)?;
                self.out.passed_over += 1;
                self.out.cost += LOOK_COST;
                match snapshot.first_readable(*definition, &last)? {
                    None => Ok(false),
                    Some(key) => {
                        self.out.next = Some(RowCursor { table: at, key: key.clone() });
                        let begin = Bound::Included(&*key);
                        snapshot.look_inside(|txn| self.rows(known(txn, *definition)?, begin, (name, tree_at), &check))
                    }
                }
            }
            walked => walked,
        };
        match walked {
            Ok(false) => {}
            Ok(true) => return Ok(()),
            // Another page: the next stretch meets it.
            Err(error) if error.is_of_the_place() => return Ok(()),
            Err(error) => return Err(error),
        }
        self.out.next = (at < place::LAST).then(|| RowCursor { table: at + 1, key: Vec::new() });
        Ok(())
    }

    /// Whether the stretch became full before the last row.
    fn rows<K: Key + 'static, V: Value + 'static>(
        &mut self,
        table: Option<ReadOnlyTable<K, V>>,
        begin: Bound<&[u8]>,
        (name, tree_at): (&'static str, TreeAt),
        check: &impl for<'a> Fn(K::SelfType<'a>, V::SelfType<'a>) -> IsOlder,
    ) -> Result<bool, StoreError> {
        let Some(table) = table else { return Ok(false) };
        let begin = begin.map(K::from_bytes);
        let before = self.out.rows;
        for entry in table.range::<K::SelfType<'_>>((begin, Bound::Unbounded)).db()? {
            if self.is_full() && self.out.rows > before {
                return Ok(true);
            }
            let (key, value) = entry.db()?;
            let bytes = K::as_bytes(&key.value()).as_ref().to_vec();
            self.out.rows += 1;
            let read = (bytes.len() + V::as_bytes(&value.value()).as_ref().len()) as u64;
            self.out.bytes += read;
            self.out.cost += read.max(ROW_COST) + looks_of(name) * LOOK_COST;
            let number = tree_at.and_then(|at| bytes.get(at..)).and_then(|rest| rest.first_chunk::<8>());
            let tree = number.map(|number| u64::from_le_bytes(*number));
            let checked = check(key.value(), value.value());
            if let Some(next) = &mut self.out.next {
                next.key.clone_from(&bytes);
            }
            match checked {
                Ok(false) => {}
                Ok(true) => self.out.older.push(OlderRow { table: self.at - 1, key: bytes }),
                Err(error) if error.is_one_row() => {
                    let text = key_text::<K>(&key.value());
                    self.finding(name, Row { tree, key: bytes, text }, error)?;
                }
                // A page of another table, where it is found.
                Err(error) if error.is_of_the_place() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// The tables of the state file, in the order of their places.
    fn state(&mut self, rows: &RedbSnapshot, looks: &Looks<'_>) -> Result<(), StoreError> {
        self.table(rows, &Meta::DEFINITION, None, |key, raw| looks.meta(key, raw))?;
        self.table(rows, &Trees::DEFINITION, Some(0), |tree, raw| looks.tree(tree, raw))?;
        self.table(rows, &Names::DEFINITION, None, |name, tree| looks.name(name, tree))?;
        self.table(rows, &Handles::DEFINITION, None, |handle, tree| looks.handle(TreeHandle::owned(handle), tree))?;
        self.table(rows, &Hashes::DEFINITION, Some(0), |key, raw| looks.group(key, raw))?;
        self.table(rows, &Lengths::DEFINITION, Some(0), |key, raw| looks.lengths(key, raw))?;
        self.table(rows, &Tiles::DEFINITION, Some(0), |key, raw| looks.tile(key, raw))?;
        self.table(rows, &Interior::DEFINITION, Some(0), |key, raw| looks.node(key, raw))?;
        self.table(rows, &Ready::DEFINITION, None, |key, tree| looks.ready(key, tree))?;
        self.table(rows, &Chores::DEFINITION, Some(1), |key, ()| looks.chore(key))?;
        self.table(rows, &Consumed::DEFINITION, None, |key, seq| looks.consumed(TokenKey::owned(key), seq))?;
        self.table(rows, &Clients::DEFINITION, None, |client, raw| looks.client(ClientDigest::owned(client), raw))?;
        self.table(rows, &Ledger::DEFINITION, None, |seq, raw| looks.entry(seq, raw))?;
        self.table(rows, &Receipts::DEFINITION, None, |id, seq| looks.receipt(WorkId::owned(id), seq))?;
        self.table(rows, &Debits::DEFINITION, None, |id, seq| looks.debit(DebitKey::owned(id), seq))?;
        self.table(rows, &Standings::DEFINITION, None, |client, raw| looks.standing(ClientDigest::owned(client), raw))?;
        self.table(rows, &Provenance::DEFINITION, Some(0), |tree, raw| looks.provenance(tree, raw))?;
        self.table(rows, &Claims::DEFINITION, Some(0), |key, raw| looks.claim(key, raw))?;
        self.table(rows, &Quorums::DEFINITION, Some(0), |key, raw| looks.quorum(key, raw))?;
        self.table(rows, &Suspects::DEFINITION, None, |client, walk| looks.suspect(ClientDigest::owned(client), walk))?;
        self.table(rows, &Followed::DEFINITION, None, |client, seq| looks.followed(ClientDigest::owned(client), seq))?;
        self.table(rows, &Doubted::DEFINITION, Some(0), |key, ()| looks.doubted(key))?;
        self.table(rows, &Damaged::DEFINITION, Some(0), |key, ()| looks.damaged(key))
    }

    /// Those of the block file. Rows of older stores stay as they are there.
    fn blocks(&mut self, rows: &RedbSnapshot) -> Result<(), StoreError> {
        self.table(rows, &Sources::DEFINITION, Some(0), |key, raw| {
            Sources::decode(&key, raw)?;
            Ok(false)
        })?;
        self.table(rows, &Sums::DEFINITION, Some(0), |key, raw| {
            Sums::decode(&key, raw)?;
            Ok(false)
        })
    }
}

/// Rows at random places of other tables that a row of this table is compared with.
fn looks_of(table: &str) -> u64 {
    match table {
        // Name, handle, place in the queue.
        Trees::NAME | Suspects::NAME => 3,
        // Receipt or debit, and the tile it credits.
        Ledger::NAME => 2,
        Names::NAME
        | Handles::NAME
        | Ready::NAME
        | Consumed::NAME
        | Clients::NAME
        | Receipts::NAME
        | Debits::NAME
        | Followed::NAME => 1,
        // Those of the others are of the same tree, in the same order.
        _ => 0,
    }
}

/// A key as numbers or text; ids in hexadecimal digits.
fn key_text<K: Key>(key: &K::SelfType<'_>) -> String {
    let bytes = K::as_bytes(key);
    let bytes = bytes.as_ref();
    let hex = |id: &[u8]| data_encoding::HEXLOWER.encode(id);
    match bytes.split_first_chunk::<8>() {
        _ if K::type_name() == <[u8; 16]>::type_name() => hex(bytes),
        Some((number, id)) if K::type_name() == <(u64, [u8; 16])>::type_name() => {
            format!("({}, {})", u64::from_le_bytes(*number), hex(id))
        }
        _ => format!("{key:?}"),
    }
}

/// Whether bytes of a cursor are those of a key; if not, the walk begins at the first row.
fn is_key<K: Key>(bytes: &[u8]) -> bool {
    match K::fixed_width() {
        Some(width) => bytes.len() == width,
        None => !bytes.is_empty() && std::str::from_utf8(bytes).is_ok(),
    }
}
