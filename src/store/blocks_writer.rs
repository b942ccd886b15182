//! Collecting block data, which is written apart from the state, so that a big ingest never sits in
//! front of an answer.

use super::block_changes::{BlockChanges, Renewal};
use super::contract::Store;
use super::error::StoreError;
use super::rows::{SourceRow, SumRow};

/// Collects block data and writes it in bounded transactions. What [`BlocksWriter::commit`] has
/// returned for is durable; state may refer to it then, and not before.
#[derive(Debug)]
pub struct BlocksWriter<'s> {
    store: &'s dyn Store,
    changes: BlockChanges,
    bytes: usize,
}

impl<'s> BlocksWriter<'s> {
    /// A writer with nothing in it.
    pub fn new(store: &'s dyn Store) -> Self {
        Self { store, changes: BlockChanges::default(), bytes: 0 }
    }

    /// Adds chunk `chunk` of `tree`: `CHUNK_BYTES` bytes, or fewer if it is the last.
    pub fn put_chunk(&mut self, tree: u64, chunk: u32, bytes: Vec<u8>) {
        self.bytes += bytes.len();
        self.changes.chunks.push(((tree, chunk), bytes));
    }

    /// Adds the file that holds the leaves of `tree` from `first_leaf` on.
    pub fn put_source(&mut self, tree: u64, first_leaf: u64, row: SourceRow) {
        self.bytes += row.path.len() + 64;
        self.changes.sources.push(((tree, first_leaf), row));
    }

    /// Adds the checksums of group `group` of `tree`.
    pub fn put_sums(&mut self, tree: u64, group: u64, row: SumRow) {
        self.bytes += row.leaves.len() * 8 + 32;
        self.changes.sums.push(((tree, group), row));
    }

    /// Adds what is to be written over rows of `tree`. Bytes that follow the last ones are joined
    /// with them, so that each chunk is written about once.
    pub fn renew(&mut self, tree: u64, renewal: Renewal) {
        let last = self.changes.renewals.iter_mut().rev().take_while(|(other, _)| *other == tree);
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
        self.changes.renewals.push((tree, renewal));
    }

    /// Takes back what waits for `tree`.
    pub fn discard(&mut self, tree: u64) {
        self.changes.chunks.retain(|((other, _), _)| *other != tree);
        self.changes.sources.retain(|((other, _), _)| *other != tree);
        self.changes.sums.retain(|((other, _), _)| *other != tree);
        self.changes.renewals.retain(|(other, _)| *other != tree);
        let chunks = self.changes.chunks.iter().map(|(_, bytes)| bytes.len());
        self.bytes = chunks.chain(self.changes.renewals.iter().map(|(_, renewal)| renewal.len())).sum();
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
        if self.changes.is_empty() {
            return Ok(());
        }
        self.store.change_blocks(&self.changes)?;
        self.changes = BlockChanges::default();
        self.bytes = 0;
        Ok(())
    }
}
