//! Verifying rows while the store is used: every row of the state file, and the references and
//! checksums of the block file, a bounded stretch at a time.

use std::borrow::Borrow;
use std::ops::{Bound, ControlFlow};

use crate::store::command::older::OlderRow;
use crate::store::error::StoreError;
use crate::store::key::TableKey;
use crate::store::port::{BlockView, Rows, Snapshot, View};
use crate::store::rows::Head;
use crate::store::schema::{
    Chores, Claims, Clients, Consumed, Damaged, Debits, Doubted, Followed, Handles, Hashes, Interior, Ledger, Lengths,
    Meta, Names, Provenance, Quorums, Ready, Receipts, STATE_TABLES, Sources, Standings, Sums, Suspects, Tiles,
    TreeNumber, Trees,
};
use crate::store::table::{Owned, Table};

use super::reader::Reader;
use super::seek::first_readable;

/// A place in the walk through all rows: behind this key of this table. The default is the
/// beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowCursor {
    /// Place of the table in the order of the walk, which is that of `each_state_table`.
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

/// The place in the walk of the first table of the block file: behind those of the state file.
const OF_BLOCKS: u8 = STATE_TABLES;
/// The place of the last table. `blocks-0` is not walked through: scrubbing compares its bytes.
const LAST: u8 = OF_BLOCKS + 1;

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

/// See `Store::verify_rows`. A half is opened only if the walk is in it. What becomes of the walk
/// in block data goes through `used`.
pub(in crate::store) fn rows<S: Snapshot<View: View>, B: Snapshot<View: BlockView>>(
    state: impl FnOnce() -> Result<S, StoreError>,
    blocks: impl FnOnce() -> Result<B, StoreError>,
    used: impl FnOnce(Result<(), StoreError>) -> Result<(), StoreError>,
    from: &RowCursor,
    max_cost: u64,
) -> Result<RowsVerified, StoreError> {
    let out = RowsVerified { next: Some(from.clone()), ..RowsVerified::default() };
    let mut walk = Walk { out, max_cost, at: 0 };
    if from.table < OF_BLOCKS {
        let reader = state()?;
        match reader.head() {
            Ok(head) => walk.state(&reader, &Looks { reader: &reader, head })?,
            // Nothing can be compared without it.
            Err(error) => {
                walk.finding(Meta::NAME, Row::default(), error)?;
                walk.out.next = Some(RowCursor { table: OF_BLOCKS, key: Vec::new() });
            }
        }
    }
    if !walk.is_full() {
        walk.at = OF_BLOCKS;
        used(match blocks() {
            Ok(rows) => walk.blocks(&rows),
            Err(error) => {
                walk.out.next = None;
                walk.finding(Sources::NAME, Row::default(), error)
            }
        })?;
    }
    Ok(walk.out)
}

/// What rows are compared with.
pub(super) struct Looks<'r, S> {
    pub(super) reader: &'r S,
    pub(super) head: Head,
}

/// Whether a row is in the form of older stores, or why it is damaged.
pub(super) type IsOlder = Result<bool, StoreError>;

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
    fn table<T: Table>(
        &mut self,
        snapshot: &impl Snapshot<View: Rows<T>>,
        table: T,
        tree_at: TreeAt,
        check: impl Fn(&T::Key, &[u8]) -> IsOlder,
    ) -> Result<(), StoreError> {
        let at = self.at;
        self.at += 1;
        let Some(from) = self.out.next.clone().filter(|next| next.table == at && !self.is_full()) else {
            return Ok(());
        };
        let last = if from.key.is_empty() { None } else { T::Key::from_stored(&from.key) };
        let begin = last.map_or(Bound::Unbounded, Bound::Excluded);
        let walked = match snapshot.look(|rows| self.rows(rows, table, begin, tree_at, &check)) {
            Err(error) => {
                let last = self.out.next.clone().unwrap_or_default().key;
                self.finding(T::NAME, Row { key: last.clone(), ..Row::default() }, error)?;
                self.out.passed_over += 1;
                self.out.cost += LOOK_COST;
                match first_readable(snapshot, table, &last)? {
                    None => Ok(false),
                    Some(key) => {
                        self.out.next = Some(RowCursor { table: at, key: key.borrow().to_stored() });
                        snapshot.look(|rows| self.rows(rows, table, Bound::Included(key), tree_at, &check))
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
        self.out.next = (at < LAST).then(|| RowCursor { table: at + 1, key: Vec::new() });
        Ok(())
    }

    /// Whether the stretch became full before the last row.
    fn rows<T: Table>(
        &mut self,
        rows: &impl Rows<T>,
        table: T,
        begin: Bound<Owned<T>>,
        tree_at: TreeAt,
        check: &impl Fn(&T::Key, &[u8]) -> IsOlder,
    ) -> Result<bool, StoreError> {
        let (before, mut full) = (self.out.rows, false);
        rows.each_stored(table, (begin, Bound::Unbounded), |key, value| {
            if self.is_full() && self.out.rows > before {
                full = true;
                return Ok(ControlFlow::Break(()));
            }
            let key: &T::Key = key.borrow();
            let bytes = key.to_stored();
            self.out.rows += 1;
            let read = (bytes.len() + value.len()) as u64;
            self.out.bytes += read;
            self.out.cost += read.max(ROW_COST) + looks_of(T::NAME) * LOOK_COST;
            let checked = check(key, value);
            if let Some(next) = &mut self.out.next {
                next.key.clone_from(&bytes);
            }
            match checked {
                Ok(false) => {}
                Ok(true) => self.out.older.push(OlderRow { table: T::NAME, key: bytes }),
                Err(error) if error.is_one_row() => {
                    let number = tree_at.and_then(|at| bytes.get(at..)).and_then(|rest| rest.first_chunk::<8>());
                    let tree = number.map(|number| u64::from_le_bytes(*number));
                    self.finding(T::NAME, Row { tree, key: bytes, text: key.text() }, error)?;
                }
                // A page of another table, where it is found.
                Err(error) if error.is_of_the_place() => {}
                Err(error) => return Err(error),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(full)
    }

    /// The tables of the state file, in the order of their places.
    fn state<S: Snapshot<View: View>>(&mut self, rows: &S, looks: &Looks<'_, S>) -> Result<(), StoreError> {
        self.table(rows, Meta, None, |key, raw| looks.meta(key, raw))?;
        self.table(rows, Trees, Some(0), |tree, raw| looks.tree(*tree, raw))?;
        self.table(rows, Names, None, |name, raw| looks.name(name, Names::decode(name, raw)?))?;
        self.table(rows, Handles, None, |handle, raw| looks.handle(*handle, Handles::decode(handle, raw)?))?;
        self.table(rows, Hashes, Some(0), |key, raw| looks.group(*key, raw))?;
        self.table(rows, Lengths, Some(0), |key, raw| looks.lengths(*key, raw))?;
        self.table(rows, Tiles, Some(0), |key, raw| looks.tile(*key, raw))?;
        self.table(rows, Interior, Some(0), |key, raw| looks.node(*key, raw))?;
        self.table(rows, Ready, None, |key, raw| looks.ready(*key, Ready::decode(key, raw)?))?;
        self.table(rows, Chores, Some(1), |key, _| looks.chore(*key))?;
        self.table(rows, Consumed, None, |key, raw| looks.consumed(*key, Consumed::decode(key, raw)?))?;
        self.table(rows, Clients, None, |client, raw| looks.client(*client, raw))?;
        self.table(rows, Ledger, None, |seq, raw| looks.entry(*seq, raw))?;
        self.table(rows, Receipts, None, |id, raw| looks.receipt(*id, Receipts::decode(id, raw)?))?;
        self.table(rows, Debits, None, |key, raw| looks.debit(*key, Debits::decode(key, raw)?))?;
        self.table(rows, Standings, None, |client, raw| looks.standing(*client, raw))?;
        self.table(rows, Provenance, Some(0), |tree, raw| looks.provenance(*tree, raw))?;
        self.table(rows, Claims, Some(0), |key, raw| looks.claim(*key, raw))?;
        self.table(rows, Quorums, Some(0), |key, raw| looks.quorum(*key, raw))?;
        self.table(rows, Suspects, None, |client, raw| looks.suspect(*client, Suspects::decode(client, raw)?))?;
        self.table(rows, Followed, None, |client, raw| looks.followed(*client, Followed::decode(client, raw)?))?;
        self.table(rows, Doubted, Some(0), |key, _| looks.doubted(*key))?;
        self.table(rows, Damaged, Some(0), |key, _| looks.damaged(*key))
    }

    /// Those of the block file. Rows of older stores stay as they are there.
    fn blocks(&mut self, rows: &impl Snapshot<View: BlockView>) -> Result<(), StoreError> {
        self.table(rows, Sources, Some(0), |key, raw| Sources::decode(key, raw).map(|_| false).map_err(Into::into))?;
        self.table(rows, Sums, Some(0), |key, raw| Sums::decode(key, raw).map(|_| false).map_err(Into::into))
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
