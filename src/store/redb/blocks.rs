//! Block data: a file of its own, so that a big ingest never sits in front of an answer.

use redb::ReadTransaction;

use super::open::Store;
use super::transaction::{Changing, NotCommitted, NotWritten, Open};
use crate::store::error::StoreError;
use crate::store::redb::errors::DbResult;
use crate::store::redb::tables::InRedb;
use crate::store::rows::{SourceRow, SumRow};
use crate::store::schema::{Blocks, CHUNK_BYTES, Sources, Sums};
use crate::store::table::Table;

/// Collects block data and writes it in bounded transactions. What [`BlocksWriter::commit`] has
/// returned for is durable; state may refer to it then, and not before.
#[derive(Debug)]
pub struct BlocksWriter<'s> {
    store: &'s Store,
    chunks: Vec<((u64, u32), Vec<u8>)>,
    sources: Vec<((u64, u64), SourceRow)>,
    sums: Vec<((u64, u64), SumRow)>,
    renewals: Vec<(u64, Renewal)>,
    bytes: usize,
}

/// What is written over stored data. The caller sees to it that data which was removed meanwhile
/// does not come back.
#[derive(Debug)]
pub enum Renewal {
    /// Bytes from this offset in the stored data on.
    Bytes(u64, Vec<u8>),
    /// The file that holds the leaves from this one on; only over a row that is there.
    Source(u64, SourceRow),
    /// The checksums of this group; only over a row that is there.
    Sums(u64, SumRow),
}

impl Renewal {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(_, bytes) => bytes.len() + 64,
            Self::Source(_, row) => row.path.len() + 64,
            Self::Sums(_, row) => row.leaves.len() * 8 + 32,
        }
    }
}

impl<'s> BlocksWriter<'s> {
    /// A writer with nothing in it.
    pub fn new(store: &'s Store) -> Self {
        Self { store, chunks: Vec::new(), sources: Vec::new(), sums: Vec::new(), renewals: Vec::new(), bytes: 0 }
    }

    /// Adds chunk `chunk` of `tree`: [`CHUNK_BYTES`] bytes, or fewer if it is the last.
    pub fn put_chunk(&mut self, tree: u64, chunk: u32, bytes: Vec<u8>) {
        self.bytes += bytes.len();
        self.chunks.push(((tree, chunk), bytes));
    }

    /// Adds the file that holds the leaves of `tree` from `first_leaf` on.
    pub fn put_source(&mut self, tree: u64, first_leaf: u64, row: SourceRow) {
        self.bytes += row.path.len() + 64;
        self.sources.push(((tree, first_leaf), row));
    }

    /// Adds the checksums of group `group` of `tree`.
    pub fn put_sums(&mut self, tree: u64, group: u64, row: SumRow) {
        self.bytes += row.leaves.len() * 8 + 32;
        self.sums.push(((tree, group), row));
    }

    /// Adds what is to be written over rows of `tree`. Bytes that follow the last ones are joined
    /// with them, so that each chunk is written about once.
    pub fn renew(&mut self, tree: u64, renewal: Renewal) {
        let last = self.renewals.iter_mut().rev().take_while(|(other, _)| *other == tree);
        let last = last.filter_map(|(_, renewal)| match renewal {
            Renewal::Bytes(offset, bytes) => Some((*offset, bytes)),
            _ => None,
        });
        if let (Some((offset, before)), Renewal::Bytes(at, bytes)) = (last.take(1).next(), &renewal)
            && offset + before.len() as u64 == *at
        {
            self.bytes += bytes.len();
            before.extend_from_slice(bytes);
            return;
        }
        self.bytes += renewal.len();
        self.renewals.push((tree, renewal));
    }

    /// Takes back what waits for `tree`.
    pub fn discard(&mut self, tree: u64) {
        self.chunks.retain(|((other, _), _)| *other != tree);
        self.sources.retain(|((other, _), _)| *other != tree);
        self.sums.retain(|((other, _), _)| *other != tree);
        self.renewals.retain(|(other, _)| *other != tree);
        let chunks = self.chunks.iter().map(|(_, bytes)| bytes.len());
        self.bytes = chunks.chain(self.renewals.iter().map(|(_, renewal)| renewal.len())).sum();
    }

    /// Bytes waiting.
    pub fn pending_bytes(&self) -> usize {
        self.bytes
    }

    /// Makes everything added so far durable. After an error what is waiting stays waiting: the
    /// same rows may be written again.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        let waiting = [self.chunks.len(), self.sources.len(), self.sums.len(), self.renewals.len()];
        if waiting == [0; 4] {
            return Ok(());
        }
        self.store.blocks_used(self.write())?;
        self.chunks.clear();
        self.sources.clear();
        self.sums.clear();
        self.renewals.clear();
        self.bytes = 0;
        Ok(())
    }

    fn write(&self) -> Result<(), StoreError> {
        self.store.change_blocks(|txn| {
            let mut blocks = txn.open_table(Blocks::DEFINITION).db()?;
            for (key, bytes) in &self.chunks {
                blocks.insert(*key, bytes.as_slice()).db()?;
            }
            let mut sources = txn.open_table(Sources::DEFINITION).db()?;
            for (key, row) in &self.sources {
                sources.insert(*key, Sources::encode(key, row)?.as_slice()).db()?;
            }
            let mut sums = txn.open_table(Sums::DEFINITION).db()?;
            for (key, row) in &self.sums {
                sums.insert(*key, Sums::encode(key, row)?.as_slice()).db()?;
            }
            for (tree, renewal) in &self.renewals {
                match renewal {
                    Renewal::Bytes(offset, bytes) => write_over(&mut blocks, *tree, *offset, bytes)?,
                    Renewal::Source(leaf, row) => {
                        let key = (*tree, *leaf);
                        replace(&mut sources, key, &Sources::encode(&key, row)?)?;
                    }
                    Renewal::Sums(group, row) => {
                        replace(&mut sums, (*tree, *group), &Sums::encode(&(*tree, *group), row)?)?
                    }
                }
            }
            Ok(((), true))
        })
    }
}

type Rows<'t, K> = Open<'t, K, &'static [u8]>;

/// A chunk that is missing or too short gets zeros up to here, which match no checksum.
fn write_over(table: &mut Rows<'_, (u64, u32)>, tree: u64, offset: u64, mut bytes: &[u8]) -> Result<(), StoreError> {
    let mut at = offset;
    while !bytes.is_empty() {
        let key = (tree, chunk_number(at / CHUNK_BYTES)?);
        let skip = (at % CHUNK_BYTES) as usize;
        let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES as usize - skip));
        let there = table.get(key).db()?.map(|raw| raw.value().to_vec());
        let mut chunk = there.unwrap_or_default();
        chunk.resize(chunk.len().max(skip + now.len()), 0);
        chunk[skip..skip + now.len()].copy_from_slice(now);
        table.insert(key, chunk.as_slice()).db()?;
        at += now.len() as u64;
        bytes = later;
    }
    Ok(())
}

fn replace(table: &mut Rows<'_, (u64, u64)>, key: (u64, u64), row: &[u8]) -> Result<(), StoreError> {
    if table.get(key).db()?.is_some() {
        table.insert(key, row).db()?;
    }
    Ok(())
}

/// Bytes `[offset, offset + len)` of the stored data of `tree`. Fewer bytes are damage.
pub(in crate::store) fn read_bytes(
    txn: &ReadTransaction,
    tree: u64,
    offset: u64,
    len: usize,
) -> Result<Vec<u8>, StoreError> {
    let mut out = Vec::with_capacity(len);
    if len == 0 {
        return Ok(out);
    }
    let table = txn.open_table(Blocks::DEFINITION).db()?;
    let first = chunk_number(offset / CHUNK_BYTES)?;
    let last = chunk_number((offset + len as u64 - 1) / CHUNK_BYTES)?;
    let mut skip = (offset % CHUNK_BYTES) as usize;
    for (entry, number) in table.range((tree, first)..=(tree, last)).db()?.zip(first..) {
        let (key, raw) = entry.db()?;
        let chunk = raw.value();
        // Behind a chunk that is missing or too short are no bytes of this place.
        if key.value().1 != number || (number != last && chunk.len() as u64 != CHUNK_BYTES) {
            break;
        }
        let bytes = chunk.get(skip..).unwrap_or_default();
        out.extend_from_slice(&bytes[..bytes.len().min(len - out.len())]);
        skip = 0;
    }
    if out.len() != len {
        let what = format!("tree {tree} lacks block data at byte {offset}: {} of {len} bytes", out.len());
        return Err(StoreError::Contradiction { what });
    }
    Ok(out)
}

impl Store {
    /// Changes rows of the block file in one durable transaction. `with` returns whether there is
    /// anything to commit.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged. After a panic of redb's the store
    /// stays closed.
    pub(in crate::store) fn change_blocks<T>(
        &self,
        with: impl FnOnce(&Changing) -> Result<(T, bool), StoreError>,
    ) -> Result<T, StoreError> {
        let broken = |error: StoreError| {
            self.latch(error.to_string());
            error
        };
        let rolled_back = |not: NotWritten| match not {
            NotWritten::RolledBack(error) => error,
            NotWritten::Broken(error) => broken(error),
        };
        let _alone = self.changing_blocks.lock();
        let database = self.blocks_db()?;
        let txn = database.begin_write(true).map_err(rolled_back)?;
        let (txn, (out, changed)) = txn.change(with).map_err(rolled_back)?;
        if changed {
            txn.commit().map_err(|not| match not {
                NotCommitted::RolledBack(error) | NotCommitted::Unknown(error) => error,
                NotCommitted::Broken(error) => broken(error),
            })?;
        } else {
            txn.abandon().map_err(broken)?;
        }
        Ok(out)
    }

    /// The source row that holds `leaf` of `tree`, with the leaf it begins at.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn source(&self, tree: u64, leaf: u64) -> Result<Option<(u64, SourceRow)>, StoreError> {
        self.blocks_used(self.try_source(tree, leaf))
    }

    fn try_source(&self, tree: u64, leaf: u64) -> Result<Option<(u64, SourceRow)>, StoreError> {
        self.blocks_db()?.begin_read()?.look_inside(|txn| {
            let table = txn.open_table(Sources::DEFINITION).db()?;
            let found = match table.range((tree, 0)..=(tree, leaf)).db()?.next_back() {
                Some(entry) => {
                    let (key, raw) = entry.db()?;
                    let key = key.value();
                    Some((key.1, Sources::decode(&key, raw.value())?))
                }
                None => None,
            };
            Ok(found)
        })
    }
}

fn chunk_number(chunk: u64) -> Result<u32, StoreError> {
    u32::try_from(chunk).map_err(|_| StoreError::Contradiction { what: format!("chunk {chunk} is out of range") })
}
