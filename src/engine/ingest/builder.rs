//! Building one tree from leaves as they come: hashing in batches, in memory that does not grow.

use std::io::Read;

use crate::hash::{Checksum, StreamingHash};
use crate::merkle::{GROUP_LEAVES, GROUP_ORDER, Shape, StreamingRoot, ambiguous_leaf};
use crate::store::rows::{DataPlace, GroupRow, HashWork, HashesFrom, LengthRow, SumRow};
use crate::store::{AddGroups, BeginTree, CHUNK_BYTES, Command, FinishTree, Renewal, Store, TreeNumber};

use super::against::{Against, By, Given, hold};
use super::group::{Item, group_of, sums_of};
use super::options::IngestError;

/// A tree that is coming in. Its data and rows pile up in `chunks` and `commands` until the
/// caller commits both, chunks first.
pub(super) struct TreeBuilder {
    pub(super) begin: BeginTree,
    /// Leaves are cut at this length; 0 if each source is one leaf.
    cut: u64,
    /// All leaves come from one file, so their lengths are known from `cut`.
    single: bool,
    /// The tree has a row already.
    pub(super) begun: bool,
    /// Groups the store has from an ingest cut short: compared, not written.
    stored_groups: u64,
    items: Vec<Item>,
    hashes: HashesFrom,
    /// The tree exists already: the given content is compared with it.
    against: Option<Against>,
    root: StreamingRoot,
    pub(super) leaves: u64,
    pub(super) total: u64,
    stored: u64,
    groups: u64,
    uniform: Uniform,
    ambiguous: Option<(u64, u64, String)>,
    chunk: Vec<u8>,
    chunk_number: u32,
    chunks: Vec<(u32, Vec<u8>)>,
    /// Checksums of groups, made as their bytes came in.
    sums: Vec<(u64, SumRow)>,
    pending: AddGroups,
    pub(super) oversized: u64,
    /// Leaves whose bytes the server hashed because no unit may carry them, and which are not what
    /// their address says.
    pub(super) damaged: Vec<u64>,
    bytes_waiting: usize,
    /// What was hashed and is in no command yet.
    pub(super) work: [HashWork; 2],
}

/// What piled up: block data and its checksums, to be committed before the commands.
pub(super) struct Part {
    pub(super) chunks: Vec<(u32, Vec<u8>)>,
    pub(super) sums: Vec<(u64, SumRow)>,
    pub(super) commands: Vec<Command>,
}

/// Whether every leaf but the last has the same length so far, and none is longer.
#[derive(Debug, Clone, Copy)]
struct Uniform {
    len: u64,
    holds: bool,
    short_seen: bool,
}

/// What identifies the content of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) leaves: u64,
    pub(super) block_len: u64,
    pub(super) total_bytes: u64,
    pub(super) root: Checksum,
}

/// A group differs from what an earlier, interrupted ingest had stored.
pub(super) struct Differs;

impl TreeBuilder {
    pub(super) fn new(begin: BeginTree, cut: u64, single: bool) -> Self {
        let pending = AddGroups {
            tree: begin.tree,
            first_group: 0,
            groups: Vec::new(),
            lengths: Vec::new(),
            oversized: Vec::new(),
            damaged: Vec::new(),
            work: [HashWork::default(); 2],
        };
        let hashes = begin.strategy.hashes();
        Self {
            hashes,
            against: None,
            work: [HashWork::default(); 2],
            begin,
            cut,
            single,
            begun: false,
            stored_groups: 0,
            items: Vec::with_capacity(GROUP_LEAVES as usize),
            root: StreamingRoot::new(),
            leaves: 0,
            total: 0,
            stored: 0,
            groups: 0,
            uniform: Uniform { len: cut, holds: true, short_seen: false },
            ambiguous: None,
            chunk: Vec::new(),
            chunk_number: 0,
            chunks: Vec::new(),
            sums: Vec::new(),
            pending,
            oversized: 0,
            damaged: Vec::new(),
            bytes_waiting: 0,
        }
    }

    /// Goes on with a tree whose first `groups` groups are stored.
    pub(super) fn resuming(mut self, groups: u64) -> Self {
        self.begun = true;
        self.stored_groups = groups;
        self
    }

    /// Compares the given content with the existing tree, hashing the content if need be.
    pub(super) fn against(mut self, by: By, hashes: HashesFrom) -> Self {
        self.against = Some(Against { by, ..Against::default() });
        self.hashes = hashes;
        self
    }

    /// Takes what is to be written over damaged bytes and checksums.
    pub(super) fn take_renewals(&mut self) -> Vec<Renewal> {
        self.against.as_mut().map_or_else(Vec::new, |against| std::mem::take(&mut against.renewals))
    }

    /// What that found about damaged leaves.
    pub(super) fn found(&mut self) -> Against {
        self.against.take().unwrap_or_default()
    }

    pub(super) fn tree(&self) -> TreeNumber {
        self.begin.tree
    }

    /// Reads one leaf; `None` at the end of the source, unless an empty source is to be an empty
    /// leaf.
    pub(super) fn read_leaf(
        &mut self,
        source: &mut impl Read,
        first: bool,
        address: Option<Checksum>,
    ) -> std::io::Result<Option<u64>> {
        let limit = if self.cut == 0 { LEAF_MAX + 1 } else { self.cut };
        let cap = self.begin.send_cap;
        let mut bytes = Vec::new();
        source.by_ref().take(limit.min(cap + 1)).read_to_end(&mut bytes)?;
        let mut len = bytes.len() as u64;
        if len == 0 && !first {
            return Ok(None);
        }
        if len <= cap {
            self.items.push(Item { len, bytes: Some(bytes), hashed: None, address });
            return Ok(Some(len));
        }
        let mut hash = StreamingHash::new();
        hash.update(&bytes);
        let mut buffer = vec![0; 64 << 10];
        while len < limit {
            let want = buffer.len().min((limit - len) as usize);
            let got = match source.read(&mut buffer[..want]) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if got == 0 {
                break;
            }
            hash.update(&buffer[..got]);
            len += got as u64;
        }
        if len > LEAF_MAX {
            return Err(std::io::Error::other("a leaf has more than 268435456 bytes; cut it into blocks"));
        }
        self.items.push(Item { len, bytes: None, hashed: Some(hash.finish()), address });
        Ok(Some(len))
    }

    /// Counts the leaf just read. `from` names its source for error messages.
    pub(super) fn count_leaf(&mut self, len: u64, from: &str) {
        if self.uniform.len == 0 && self.leaves == 0 {
            self.uniform.len = len;
        }
        let uniform = &mut self.uniform;
        uniform.holds &= !uniform.short_seen && len <= uniform.len && uniform.len > 0;
        uniform.holds &= len > 0 || self.leaves == 0;
        uniform.short_seen |= len != uniform.len;
        if ambiguous_leaf(0, len) && self.ambiguous.is_none() {
            self.ambiguous = Some((self.leaves, len, from.to_owned()));
        }
        self.leaves += 1;
        self.total += len;
    }

    pub(super) fn group_is_full(&self) -> bool {
        self.items.len() as u64 == GROUP_LEAVES
    }

    /// Hashes a full group and passes its bytes on.
    pub(super) fn close_full_group(&mut self, store: &dyn Store) -> Result<Result<(), Differs>, IngestError> {
        let group = self.hash_group(GROUP_ORDER);
        if self.hashes != HashesFrom::Clients {
            // A full group is an aligned subtree behind full groups.
            let pushed = self.root.push_subtree(GROUP_ORDER, group.top);
            debug_assert!(pushed.is_ok());
            self.work[1].add(HashWork::of_parents(1, 0));
        }
        self.pass_on(store, group)
    }

    fn hash_group(&mut self, levels: u8) -> GroupRow {
        let (group, work) = group_of(self.hashes, &self.items, levels);
        self.work[0].add(work[0]);
        self.work[1].add(work[1]);
        group
    }

    fn pass_on(&mut self, store: &dyn Store, group: GroupRow) -> Result<Result<(), Differs>, IngestError> {
        let offset = self.stored;
        let items = std::mem::take(&mut self.items);
        let number = self.groups;
        self.groups += 1;
        self.stored += items.iter().filter_map(|item| item.bytes.as_ref()).map(|bytes| bytes.len() as u64).sum::<u64>();
        if let Some(against) = &mut self.against {
            let (tree, hashes) = (self.begin.tree, group.leaves.as_slice());
            let given = Given { tree, group: number, offset, items: &items, hashes };
            if !hold(store, against, &given, &mut self.work)? {
                return Ok(Err(Differs));
            }
        }
        if self.begin.data != DataPlace::Dropped && self.against.is_none() {
            let row = sums_of(self.begin.tree, number, &items);
            self.bytes_waiting += (row.leaves.len() + 1) * 8;
            self.sums.push((number, row));
        }
        let first_leaf = number * GROUP_LEAVES;
        let oversized = (first_leaf..).zip(&items).filter(|(_, item)| item.bytes.is_none());
        let oversized: Vec<(u64, bool)> = oversized.map(|(leaf, item)| (leaf, item.is_damaged())).collect();
        self.oversized += oversized.len() as u64;
        if self.begin.data == DataPlace::Copied {
            items.iter().filter_map(|item| item.bytes.as_deref()).for_each(|bytes| self.store_bytes(bytes));
        }
        if number < self.stored_groups {
            let same = store.read()?.group(self.tree(), number)? == group;
            return Ok(if same { Ok(()) } else { Err(Differs) });
        }
        if self.against.is_some() {
            // Only compared: nothing piles up.
            return Ok(Ok(()));
        }
        if self.pending.groups.is_empty() {
            self.pending.first_group = number;
        }
        self.bytes_waiting += (group.leaves.len() + 1) * Checksum::LEN;
        self.pending.groups.push(group);
        if !self.single {
            let lengths = items.iter().map(|item| item.len as u32).collect();
            self.pending.lengths.push(LengthRow { offset, lengths });
        }
        self.damaged.extend(oversized.iter().filter(|(_, damaged)| *damaged).map(|(leaf, _)| *leaf));
        self.pending.damaged.extend(oversized.iter().filter(|(_, damaged)| *damaged).map(|(leaf, _)| *leaf));
        self.pending.oversized.extend(oversized.into_iter().map(|(leaf, _)| leaf));
        Ok(Ok(()))
    }

    fn store_bytes(&mut self, mut bytes: &[u8]) {
        self.bytes_waiting += bytes.len();
        while !bytes.is_empty() {
            let room = CHUNK_BYTES as usize - self.chunk.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
            if self.chunk.len() as u64 == CHUNK_BYTES {
                self.chunks.push((self.chunk_number, std::mem::take(&mut self.chunk)));
                self.chunk_number += 1;
            }
        }
    }

    /// Bytes waiting for a commit.
    pub(super) fn bytes_waiting(&self) -> usize {
        self.bytes_waiting
    }

    /// What there is so far, for a commit in the middle of a tree.
    pub(super) fn take_part(&mut self) -> Part {
        let mut chunks = std::mem::take(&mut self.chunks);
        if !self.chunk.is_empty() {
            // Written again, longer, when it is full.
            chunks.push((self.chunk_number, self.chunk.clone()));
        }
        let mut commands = Vec::new();
        if !self.begun {
            commands.push(Command::BeginTree(self.begin.clone()));
            self.begun = true;
        }
        self.take_groups(&mut commands);
        self.bytes_waiting = 0;
        Part { chunks, sums: std::mem::take(&mut self.sums), commands }
    }

    fn take_groups(&mut self, commands: &mut Vec<Command>) {
        if !self.pending.groups.is_empty() {
            let next = AddGroups {
                tree: self.tree(),
                first_group: 0,
                groups: Vec::new(),
                lengths: Vec::new(),
                oversized: Vec::new(),
                damaged: Vec::new(),
                work: [HashWork::default(); 2],
            };
            self.pending.work = std::mem::take(&mut self.work);
            commands.push(Command::AddGroups(std::mem::replace(&mut self.pending, next)));
        }
    }

    /// Closes the last group and returns the shape of the tree.
    pub(super) fn close(&mut self, store: &dyn Store) -> Result<Result<Content, Differs>, IngestError> {
        let name = self.begin.name.clone();
        let empty = || IngestError::Empty { name: name.clone() };
        let shape = Shape::new(self.leaves).map_err(|_| empty())?;
        let block_len = if self.single || self.uniform.holds { self.uniform.len } else { 0 };
        if let (0, Some((leaf, len, from))) = (block_len, &self.ambiguous) {
            return Err(IngestError::AmbiguousLeaf { name, leaf: *leaf, len: *len, from: from.clone() });
        }
        let mut root = self.root.finish();
        if !self.items.is_empty() {
            let group = self.hash_group(GROUP_ORDER.min(shape.height()));
            let range = shape.group_range(self.groups).ok();
            root = range.and_then(|range| self.root.finish_with(range, group.top).ok());
            if let Err(differs) = self.pass_on(store, group)? {
                return Ok(Err(differs));
            }
        }
        if self.groups < self.stored_groups {
            return Ok(Err(Differs));
        }
        let root = if self.hashes == HashesFrom::Clients { Checksum::ZERO } else { root.ok_or_else(empty)? };
        Ok(Ok(Content { leaves: self.leaves, block_len, total_bytes: self.total, root }))
    }

    /// Everything left, for the last commit of the tree.
    pub(super) fn take_rest(&mut self, content: &Content) -> Part {
        let mut part = self.take_part();
        self.chunk.clear();
        part.commands.push(Command::FinishTree(FinishTree {
            tree: self.tree(),
            leaves: content.leaves,
            block_len: content.block_len,
            total_bytes: content.total_bytes,
            root: content.root,
        }));
        part
    }
}

/// Longest leaf, bytes.
const LEAF_MAX: u64 = super::options::BLOCK_SIZE_MAX;
