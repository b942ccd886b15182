//! Where the leaves of a tree lie, and the bytes of those that are pending.

use std::ops::ControlFlow;

use super::checker::{Checker, row_or_why};
use crate::hash::{Checksum, hash_batch};
use crate::merkle::GROUP_LEAVES;
use crate::store::error::StoreError;
use crate::store::port::{BlockView, View};
use crate::store::rows::{DataPlace, TreeRow, TreeState};
use crate::store::schema::{Blocks, CHUNK_BYTES, Lengths, Sources, Sums};

/// Runs along the groups of one tree and knows where each leaf's bytes are.
pub(super) struct Layout {
    /// Groups have rows of lengths.
    listed: bool,
    /// Offset of the next leaf in the stored bytes.
    offset: u64,
    /// Bytes of all leaves so far, stored or not.
    pub(super) bytes: u64,
    /// Every group so far had known lengths.
    pub(super) known: bool,
}

/// Lengths of the leaves of one group, and the offset of the first.
pub(super) struct GroupLayout {
    offset: u64,
    lengths: Vec<u64>,
}

impl Layout {
    pub(super) fn new(listed: bool) -> Self {
        Self { listed, offset: 0, bytes: 0, known: true }
    }

    /// Lengths of group `group`, which has `leaves` leaves; `None` where they are unknown.
    pub(super) fn group(
        &mut self,
        checker: &mut Checker<'_>,
        state: &impl View,
        (tree, row): (u64, &TreeRow),
        group: u64,
        leaves: u64,
    ) -> Result<Option<GroupLayout>, StoreError> {
        let by_rule = rule_lengths(row, group, leaves);
        let lengths = if self.listed {
            match self.listed_lengths(checker, state, (tree, group), leaves)? {
                Some(lengths) if by_rule.as_ref().is_none_or(|rule| *rule == lengths) => Some(lengths),
                Some(_) => {
                    let len = row.block_len;
                    checker.find(format!("lengths-0 row {:?}: not the lengths of blocks of {len}", (tree, group)));
                    None
                }
                None => None,
            }
        } else {
            by_rule
        };
        let Some(lengths) = lengths else {
            self.known = false;
            return Ok(None);
        };
        let offset = self.offset;
        self.offset =
            lengths.iter().filter(|len| **len <= row.send_cap).fold(offset, |at, len| at.saturating_add(*len));
        self.bytes = lengths.iter().fold(self.bytes, |sum, len| sum.saturating_add(*len));
        Ok(Some(GroupLayout { offset, lengths }))
    }

    fn listed_lengths(
        &self,
        checker: &mut Checker<'_>,
        state: &impl View,
        key: (u64, u64),
        leaves: u64,
    ) -> Result<Option<Vec<u64>>, StoreError> {
        let Some(row) = row_or_why(state, Lengths, &key)? else {
            checker.find(format!("lengths-0 lacks row {key:?}"));
            return Ok(None);
        };
        let Some(row) = checker.decoded(key, row) else {
            return Ok(None);
        };
        if row.lengths.len() as u64 != leaves {
            checker.find(format!("lengths-0 row {key:?}: {} lengths for {leaves} leaves", row.lengths.len()));
            return Ok(None);
        }
        if self.known && row.offset != self.offset {
            checker.find(format!("lengths-0 row {key:?}: offset {} instead of {}", row.offset, self.offset));
        }
        Ok(Some(row.lengths.iter().map(|len| u64::from(*len)).collect()))
    }
}

/// Lengths that follow from the tree's row alone: all blocks alike but the last.
pub(super) fn rule_lengths(row: &TreeRow, group: u64, leaves: u64) -> Option<Vec<u64>> {
    if row.block_len == 0 || row.state == TreeState::Ingesting {
        return None;
    }
    let first = group.saturating_mul(GROUP_LEAVES);
    let last = row.leaves.checked_sub(1)?;
    let tail = row.total_bytes.checked_sub(last.checked_mul(row.block_len)?)?;
    Some((first..first + leaves).map(|leaf| if leaf == last { tail } else { row.block_len }).collect())
}

impl GroupLayout {
    /// Lengths of the leaves.
    pub(super) fn lengths(&self) -> &[u64] {
        &self.lengths
    }

    /// Offset and length of each leaf in the stored bytes; longer ones than `cap` are not stored.
    pub(super) fn spans(&self, cap: u64) -> Vec<(u64, u64)> {
        let mut at = self.offset;
        let span = |len: &u64| {
            let start = at;
            at = at.saturating_add(if *len <= cap { *len } else { 0 });
            (start, *len)
        };
        self.lengths.iter().map(span).collect()
    }
}

/// Reads stored bytes in order, one chunk in memory.
pub(super) struct ChunkReader<'v, B> {
    /// The block file.
    pub(super) blocks: &'v B,
    chunk: Option<(u32, Vec<u8>)>,
}

impl<'v, B: BlockView> ChunkReader<'v, B> {
    pub(super) fn new(blocks: &'v B) -> Self {
        Self { blocks, chunk: None }
    }

    /// Bytes `[offset, offset + len)` of the stored data of `tree`, or `None` if they are not all
    /// there.
    pub(super) fn read(&mut self, tree: u64, offset: u64, len: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let mut out = Vec::new();
        let mut at = offset;
        while (out.len() as u64) < len {
            let Ok(number) = u32::try_from(at / CHUNK_BYTES) else {
                return Ok(None);
            };
            if self.chunk.as_ref().is_none_or(|(have, _)| *have != number) {
                let Some(bytes) = self.blocks.get(Blocks, &(tree, number))? else {
                    return Ok(None);
                };
                self.chunk = Some((number, bytes));
            }
            let skip = (at % CHUNK_BYTES) as usize;
            let chunk = self.chunk.as_ref().map_or(&[][..], |(_, bytes)| bytes.get(skip..).unwrap_or_default());
            let take = chunk.len().min((len - out.len() as u64) as usize);
            // A chunk that ends early is followed by nothing: the next one begins elsewhere.
            if take == 0 || chunk.len() + skip > CHUNK_BYTES as usize {
                return Ok(None);
            }
            out.extend_from_slice(&chunk[..take]);
            at += take as u64;
        }
        Ok(Some(out))
    }
}

impl Checker<'_> {
    /// The bytes of the pending leaves of a group hash to the stored answers.
    pub(super) fn pending_bytes(
        &mut self,
        (tree, row): (u64, &TreeRow),
        group: u64,
        layout: &GroupLayout,
        pending: &[bool],
        stored: &[Checksum],
        chunks: &mut ChunkReader<'_, impl BlockView>,
    ) -> Result<(), StoreError> {
        let mut leaves = Vec::new();
        let mut missing = Vec::new();
        for (slot, (offset, len)) in layout.spans(row.send_cap).into_iter().enumerate() {
            if !pending.get(slot).copied().unwrap_or(false) || len > row.send_cap {
                continue;
            }
            match chunks.read(tree, offset, len)? {
                Some(bytes) => leaves.push((slot, bytes)),
                None => missing.push((slot, offset)),
            }
        }
        let first = group * GROUP_LEAVES;
        for (slot, offset) in missing {
            let leaf = first + slot as u64;
            self.find(format!("blocks-0 lacks the bytes of leaf {leaf} of tree {tree}, at {offset}"));
        }
        let slices: Vec<&[u8]> = leaves.iter().map(|(_, bytes)| bytes.as_slice()).collect();
        let hashes = hash_batch(&slices);
        self.report.leaves_hashed += hashes.len() as u64;
        for ((slot, _), hash) in leaves.iter().zip(hashes) {
            if stored.get(*slot) != Some(&hash) {
                let leaf = first + *slot as u64;
                self.find(format!("blocks-0: the bytes of leaf {leaf} of tree {tree} do not hash to hashes-0"));
            }
        }
        Ok(())
    }

    /// The references of a tree follow one another and cover its leaves. The files are not read.
    pub(super) fn sources(
        &mut self,
        blocks: Option<&impl BlockView>,
        tree: u64,
        row: &TreeRow,
    ) -> Result<(), StoreError> {
        let wanted = row.data == DataPlace::Referenced
            && matches!(row.state, TreeState::Active | TreeState::Folding | TreeState::Assembling);
        let Some(blocks) = blocks.filter(|_| wanted) else {
            return Ok(());
        };
        let mut next = 0_u64;
        let mut bytes = 0_u64;
        let mut whole = true;
        blocks.each(Sources, (tree, 0)..=(tree, u64::MAX), |key, source| {
            let Some(source) = self.decoded(key, source) else {
                whole = false;
                return Ok(ControlFlow::Break(()));
            };
            let leaves = if source.len == 0 { 1 } else { source.len.div_ceil(source.cut.max(1)) };
            if key.1 != next || source.leaves != leaves || source.leaves == 0 {
                self.find(format!("sources-0 row {key:?}: it does not continue at leaf {next}"));
                whole = false;
                return Ok(ControlFlow::Break(()));
            }
            next = next.saturating_add(source.leaves);
            bytes = bytes.saturating_add(source.len);
            Ok(ControlFlow::Continue(()))
        })?;
        if whole && (next != row.leaves || bytes != row.total_bytes) {
            let (leaves, total) = (row.leaves, row.total_bytes);
            self.find(format!("sources-0 of tree {tree}: {next} leaves and {bytes} bytes, not {leaves} and {total}"));
        }
        Ok(())
    }

    /// The data of a tree that is done with is gone.
    pub(super) fn dropped(
        &mut self,
        blocks: Option<&impl BlockView>,
        tree: u64,
        row: &TreeRow,
    ) -> Result<(), StoreError> {
        let Some(blocks) = blocks.filter(|_| row.data == DataPlace::Dropped) else {
            return Ok(());
        };
        let left = blocks.any(Blocks, (tree, 0)..=(tree, u32::MAX))?
            || blocks.any(Sources, (tree, 0)..=(tree, u64::MAX))?
            || has_sums(blocks, tree)?;
        if left {
            self.find(format!(
                "blocks-0 rows of tree {tree}: its data should be gone; they are left over, run: pouw repair"
            ));
        }
        Ok(())
    }
}

/// Whether a tree has checksums. One that came in before there were any has none.
pub(super) fn has_sums(blocks: &impl BlockView, tree: u64) -> Result<bool, StoreError> {
    blocks.any(Sums, (tree, 0)..=(tree, u64::MAX))
}
