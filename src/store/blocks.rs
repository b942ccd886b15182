//! Block data: a file of its own, so that a big ingest never sits in front of an answer.

use super::error::{DbResult, StoreError};
use super::open::Store;
use super::records::{SourceRow, seal, unseal};
use super::tables::{BLOCKS, CHUNK_BYTES, SOURCES};
use super::transaction::{Changing, NotCommitted, NotWritten};

/// Collects block data and writes it in bounded transactions. What [`BlocksWriter::commit`] has
/// returned for is durable; state may refer to it then, and not before.
#[derive(Debug)]
pub struct BlocksWriter<'s> {
    store: &'s Store,
    chunks: Vec<((u64, u32), Vec<u8>)>,
    sources: Vec<((u64, u64), SourceRow)>,
    bytes: usize,
}

impl<'s> BlocksWriter<'s> {
    /// A writer with nothing in it.
    pub fn new(store: &'s Store) -> Self {
        Self { store, chunks: Vec::new(), sources: Vec::new(), bytes: 0 }
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

    /// Takes back what waits for `tree`.
    pub fn discard(&mut self, tree: u64) {
        self.chunks.retain(|((other, _), _)| *other != tree);
        self.sources.retain(|((other, _), _)| *other != tree);
        self.bytes = self.chunks.iter().map(|(_, bytes)| bytes.len()).sum();
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
        if self.chunks.is_empty() && self.sources.is_empty() {
            return Ok(());
        }
        self.store.blocks_used(self.write())?;
        self.chunks.clear();
        self.sources.clear();
        self.bytes = 0;
        Ok(())
    }

    fn write(&self) -> Result<(), StoreError> {
        self.store.change_blocks(|txn| {
            let mut table = txn.open_table(BLOCKS).db()?;
            for (key, bytes) in &self.chunks {
                table.insert(*key, bytes.as_slice()).db()?;
            }
            let mut table = txn.open_table(SOURCES).db()?;
            for (key, row) in &self.sources {
                table.insert(*key, seal("sources-0", row)?.as_slice()).db()?;
            }
            Ok(((), true))
        })
    }
}

impl Store {
    /// Changes rows of the block file in one durable transaction. `with` returns whether there is
    /// anything to commit.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged. After a panic of redb's the store
    /// stays closed.
    fn change_blocks<T>(&self, with: impl FnOnce(&Changing) -> Result<(T, bool), StoreError>) -> Result<T, StoreError> {
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

    /// Bytes `[offset, offset + len)` of the stored data of `tree`. Fewer bytes are damage.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn read_blocks(&self, tree: u64, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        self.blocks_used(self.try_read_blocks(tree, offset, len))
    }

    fn try_read_blocks(&self, tree: u64, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let mut out = Vec::with_capacity(len);
        if len == 0 {
            return Ok(out);
        }
        let first = chunk_number(offset / CHUNK_BYTES)?;
        let last = chunk_number((offset + len as u64 - 1) / CHUNK_BYTES)?;
        let mut skip = (offset % CHUNK_BYTES) as usize;
        self.blocks_db()?.begin_read()?.look(|txn| {
            let table = txn.open_table(BLOCKS).db()?;
            for entry in table.range((tree, first)..=(tree, last)).db()? {
                let (_, raw) = entry.db()?;
                let bytes = raw.value().get(skip..).unwrap_or_default();
                out.extend_from_slice(&bytes[..bytes.len().min(len - out.len())]);
                skip = 0;
            }
            Ok(())
        })?;
        if out.len() != len {
            let what = format!("tree {tree} lacks block data at byte {offset}: {} of {len} bytes", out.len());
            return Err(StoreError::Contradiction { what });
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
        self.blocks_db()?.begin_read()?.look(|txn| {
            let table = txn.open_table(SOURCES).db()?;
            let found = match table.range((tree, 0)..=(tree, leaf)).db()?.next_back() {
                Some(entry) => {
                    let (key, raw) = entry.db()?;
                    Some((key.value().1, unseal("sources-0", raw.value())?))
                }
                None => None,
            };
            Ok(found)
        })
    }

    /// Removes up to `limit` rows of block data and references of `trees`, in order, as one
    /// transaction. Returns the rows removed and how many of the trees, from the front, have none
    /// left.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails or a row is damaged.
    pub fn drop_blocks(&self, trees: &[u64], limit: usize) -> Result<(usize, usize), StoreError> {
        self.blocks_used(self.try_drop_blocks(trees, limit))
    }

    fn try_drop_blocks(&self, trees: &[u64], limit: usize) -> Result<(usize, usize), StoreError> {
        self.change_blocks(|txn| {
            let mut rows = 0;
            let mut through = 0;
            let mut blocks = txn.open_table(BLOCKS).db()?;
            let mut sources = txn.open_table(SOURCES).db()?;
            for tree in trees {
                for row in blocks.extract_from_if((*tree, 0)..(tree + 1, 0), |_, _| true).db()?.take(limit - rows) {
                    row.db()?;
                    rows += 1;
                }
                for row in sources.extract_from_if((*tree, 0)..(tree + 1, 0), |_, _| true).db()?.take(limit - rows) {
                    row.db()?;
                    rows += 1;
                }
                if rows >= limit {
                    break;
                }
                through += 1;
            }
            Ok(((rows, through), rows > 0))
        })
    }
}

fn chunk_number(chunk: u64) -> Result<u32, StoreError> {
    u32::try_from(chunk).map_err(|_| StoreError::Contradiction { what: format!("chunk {chunk} is out of range") })
}
