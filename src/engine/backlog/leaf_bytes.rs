//! Reads the bytes of leaves, from the block file or from the file that was ingested by reference.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::merkle::{AlignedRange, GROUP_LEAVES, TILE_LEAVES};
use crate::policy::ready::Loaded;
use crate::store::rows::{DataPlace, SourceRow, TreeRow};
use crate::store::{Reader, Store, StoreError, StoredLeaves, TreeNumber};

/// Why the bytes of leaves could not be read.
#[derive(Debug, thiserror::Error)]
pub(in crate::engine) enum LoadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file ingested by reference is missing or has changed.
    #[error("{0}")]
    Source(String),
    /// Bytes were read and are not those that came in.
    #[error("{what}")]
    Damaged {
        tile: u64,
        /// One bit for each of them, within the tile.
        mask: u32,
        /// Their numbers and their tree.
        what: String,
    },
}

/// Byte lengths of the leaves of a tile, and the offset of the first in the tree's stored bytes.
struct Layout {
    offset: u64,
    lengths: Vec<u64>,
}

/// Reads the leaves of `tile` from the first to the last one set in `mask`, and compares them with
/// the checksums of their ingest. Whatever is handed out or hashed comes through here.
pub(in crate::engine) fn load_tile(
    store: &dyn Store,
    reader: &dyn Reader,
    tree: TreeNumber,
    row: &TreeRow,
    tile: u64,
    mask: u32,
) -> Result<Loaded, LoadError> {
    let layout = layout(reader, tree, row, tile)?;
    let from = mask.trailing_zeros() as usize;
    let to = (u32::BITS - mask.leading_zeros()) as usize;
    let stored = |length: &u64| if *length <= row.send_cap { *length } else { 0 };
    let skipped: u64 = layout.lengths.iter().take(from).map(stored).sum();
    let lengths: Vec<u64> = layout.lengths.iter().take(to).skip(from).map(stored).collect();
    let first = tile * TILE_LEAVES + from as u64;
    let read = match row.data {
        DataPlace::Copied => store.read_leaves(tree, first, layout.offset + skipped, &lengths)?,
        DataPlace::Referenced => {
            let bytes = read_sources(store, tree, first, &lengths)?;
            let damaged = store.differing(tree, first, &lengths, &bytes)?;
            StoredLeaves { bytes, damaged }
        }
        DataPlace::Dropped => {
            return Err(
                StoreError::Contradiction { what: format!("tree {tree} has pending leaves and no data") }.into()
            );
        }
    };
    let StoredLeaves { bytes, damaged } = read;
    if damaged != 0 {
        let mask = damaged << from;
        return Err(LoadError::Damaged { tile, mask, what: damage_text(&row.name, tile, mask) });
    }
    let mut end = 0;
    let ends = lengths.iter().map(|length| {
        end += *length as usize;
        end
    });
    Ok(Loaded { first, ends: ends.collect(), bytes })
}

/// The sentence about leaves, one bit each, that are not those that came in.
pub(in crate::engine) fn damage_text(name: &str, tile: u64, mask: u32) -> String {
    let noun = if mask.is_power_of_two() { "leaf" } else { "leaves" };
    let slots = (0..TILE_LEAVES).filter(|slot| mask & (1 << slot) != 0);
    let numbers: Vec<String> = slots.map(|slot| (tile * TILE_LEAVES + slot).to_string()).collect();
    let numbers = numbers.join(", ");
    format!(
        "the bytes of {noun} {numbers} of tree {name:?} are not those that were ingested; ingest the same content again"
    )
}

/// Returns the stored bytes of each leaf of a tile; a leaf over the cap has none.
pub(in crate::engine) fn stored_lengths(
    reader: &dyn Reader,
    tree: TreeNumber,
    row: &TreeRow,
    tile: u64,
) -> Result<Vec<u64>, StoreError> {
    Ok(stored_places(reader, tree, row, tile)?.1)
}

/// Returns where the stored bytes of a tile begin in those of its tree, and those of each leaf.
pub(in crate::engine) fn stored_places(
    reader: &dyn Reader,
    tree: TreeNumber,
    row: &TreeRow,
    tile: u64,
) -> Result<(u64, Vec<u64>), StoreError> {
    let Layout { offset, lengths } = layout(reader, tree, row, tile)?;
    let lengths = lengths.into_iter().map(|length| if length <= row.send_cap { length } else { 0 });
    Ok((offset, lengths.collect()))
}

/// Returns the byte lengths of the leaves of a range.
pub(in crate::engine) fn leaf_lengths(
    reader: &dyn Reader,
    tree: TreeNumber,
    row: &TreeRow,
    range: &AlignedRange,
) -> Result<Vec<u64>, StoreError> {
    let layout = layout(reader, tree, row, range.tile())?;
    let skip = (range.start() % TILE_LEAVES) as usize;
    Ok(layout.lengths.into_iter().skip(skip).take(range.len() as usize).collect())
}

fn layout(reader: &dyn Reader, tree: TreeNumber, row: &TreeRow, tile: u64) -> Result<Layout, StoreError> {
    let first = tile * TILE_LEAVES;
    let count = row.leaves.saturating_sub(first).min(TILE_LEAVES);
    if row.block_len > 0 {
        let last = row.leaves - 1;
        let tail = row.total_bytes.saturating_sub(last.saturating_mul(row.block_len));
        let lengths = (first..first + count).map(|leaf| if leaf == last { tail } else { row.block_len });
        let offset = if row.block_len <= row.send_cap { first.saturating_mul(row.block_len) } else { 0 };
        return Ok(Layout { offset, lengths: lengths.collect() });
    }
    let mut out: Option<Layout> = None;
    let groups = first / GROUP_LEAVES..(first + count).div_ceil(GROUP_LEAVES);
    for group in groups {
        let stored = reader.lengths(tree, group)?;
        let layout = out.get_or_insert(Layout { offset: stored.offset, lengths: Vec::new() });
        layout.lengths.extend(stored.lengths.iter().map(|length| u64::from(*length)));
    }
    match out {
        Some(layout) if layout.lengths.len() as u64 == count => Ok(layout),
        _ => Err(StoreError::Contradiction { what: format!("lengths of tile {tile} of tree {tree} do not add up") }),
    }
}

/// Reads neighbouring leaves from the files that hold them, unless those have changed.
pub(in crate::engine) fn read_sources(
    store: &dyn Store,
    tree: TreeNumber,
    first: u64,
    lengths: &[u64],
) -> Result<Vec<u8>, LoadError> {
    let mut out = Vec::new();
    let mut leaf = first;
    let end = first + lengths.len() as u64;
    while leaf < end {
        let Some((begin, source)) = store.source(tree, leaf)? else {
            return Err(StoreError::Contradiction { what: format!("tree {tree} has no source for leaf {leaf}") }.into());
        };
        let until = end.min(begin.saturating_add(source.leaves)).max(leaf + 1);
        let wanted: u64 = lengths[(leaf - first) as usize..(until - first) as usize].iter().sum();
        let path = source_path(&source);
        let fail = |what: String| LoadError::Source(format!("{}: {what}", path.display()));
        let mut file = open_plain(&path).map_err(|e| fail(e.to_string()))?;
        if !same_file(&file, &source).map_err(|e| fail(e.to_string()))? {
            return Err(fail("changed since it was ingested by reference".into()));
        }
        file.seek(SeekFrom::Start(leaf.saturating_sub(begin).saturating_mul(source.cut)))
            .map_err(|e| fail(e.to_string()))?;
        let before = out.len() as u64;
        file.take(wanted).read_to_end(&mut out).map_err(|e| fail(e.to_string()))?;
        if out.len() as u64 - before != wanted {
            return Err(fail("shorter than when it was ingested by reference".into()));
        }
        leaf = until;
    }
    Ok(out)
}

/// Opens a plain file. Neither follows a link nor waits for a pipe: the path may be something else
/// than the file that was ingested.
pub(in crate::engine) fn open_plain(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | libc::O_NOFOLLOW);
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is not a plain file any more"));
    }
    Ok(file)
}

/// Returns whether length, modification time and inode are as recorded.
fn same_file(file: &File, source: &SourceRow) -> std::io::Result<bool> {
    let now = fingerprint(&file.metadata()?);
    Ok(now == (source.len, source.modified_ns, source.inode))
}

/// Returns the length, the modification time in nanoseconds since 1970, and the inode number (0 if
/// there is none).
pub(in crate::engine) fn fingerprint(metadata: &std::fs::Metadata) -> (u64, i128, u64) {
    let modified = metadata.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let modified_ns = modified.and_then(|since| i128::try_from(since.as_nanos()).ok()).unwrap_or(0);
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(metadata);
    #[cfg(not(unix))]
    let inode = 0;
    (metadata.len(), modified_ns, inode)
}

#[cfg(unix)]
fn source_path(source: &SourceRow) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(&source.path))
}

#[cfg(not(unix))]
fn source_path(source: &SourceRow) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(&source.path).into_owned())
}

/// Returns the lowest run of set bits, and the rest.
pub(in crate::engine) fn first_run(mask: u32) -> (u32, u32) {
    let start = mask.trailing_zeros();
    let len = (mask >> start.min(31)).trailing_ones();
    let run = (((1u64 << len) - 1) << start) as u32;
    (run, mask & !run)
}

/// Returns the bytes of the leaf at `index` of what was read.
pub(in crate::engine) fn leaf_bytes(data: &Loaded, index: usize) -> Option<&[u8]> {
    let start = if index == 0 { 0 } else { *data.ends.get(index - 1)? };
    data.bytes.get(start..*data.ends.get(index)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_leaves_are_named_by_their_numbers_in_the_tree() {
        let text = "the bytes of leaf 33 of tree \"t\" are not those that were ingested; ingest the same content again";
        assert_eq!(damage_text("t", 1, 2), text);
        assert!(damage_text("t", 1, 1 | 1 << 31).starts_with("the bytes of leaves 32, 63 of tree"));
    }
}
