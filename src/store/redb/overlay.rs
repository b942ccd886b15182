//! A read-only view of a file: redb's writes stay in memory.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Bound;

use parking_lot::Mutex;

use crate::store::storage::StorageBackend;

/// Reads pass through to the file below, under the file's own locks; writes go to pages in memory.
/// redb writes its header and, after a crash, its repairs: a small part of the file's size.
#[derive(Debug)]
pub(in crate::store) struct Overlay {
    base: Box<dyn StorageBackend>,
    changed: Mutex<Changed>,
}

#[derive(Debug)]
struct Changed {
    len: u64,
    /// Bytes from here on are no longer the base's.
    base_len: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

const PAGE: u64 = 4_096;

impl Overlay {
    pub(in crate::store) fn new(base: Box<dyn StorageBackend>) -> io::Result<Self> {
        let len = base.len()?;
        Ok(Self { base, changed: Mutex::new(Changed { len, base_len: len, pages: BTreeMap::new() }) })
    }

    /// The bytes of the base from `offset` on, zeroes where there are none.
    fn base(&self, changed: &Changed, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = changed.base_len.saturating_sub(offset).min(out.len() as u64) as usize;
        let (known, blank) = out.split_at_mut(there);
        blank.fill(0);
        if known.is_empty() { Ok(()) } else { self.base.read(offset, known) }
    }
}

/// The pieces of `[offset, offset + len)` within one page each: page number, offset in it, length.
fn pieces(offset: u64, len: u64) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut at = offset;
    std::iter::from_fn(move || {
        let left = (offset + len).checked_sub(at).filter(|left| *left > 0)?;
        let within = at % PAGE;
        let take = left.min(PAGE - within);
        let piece = (at / PAGE, within as usize, take as usize);
        at += take;
        Some(piece)
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.changed.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changed = self.changed.lock();
        let len = out.len() as u64;
        if offset.checked_add(len).is_none_or(|end| end > changed.len) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.base(&changed, offset, out)?;
        let mut done = 0;
        for (page, within, take) in pieces(offset, len) {
            if let Some(bytes) = changed.pages.get(&page) {
                out[done..done + take].copy_from_slice(&bytes[within..within + take]);
            }
            done += take;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changed = self.changed.lock();
        if len < changed.len {
            changed.base_len = changed.base_len.min(len);
            changed.pages.retain(|page, _| page * PAGE < len);
            if let Some(last) = changed.pages.get_mut(&(len / PAGE)) {
                last[(len % PAGE) as usize..].fill(0);
            }
        }
        changed.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changed = self.changed.lock();
        let mut done = 0;
        for (page, within, take) in pieces(offset, data.len() as u64) {
            if !changed.pages.contains_key(&page) {
                let mut bytes = vec![0; PAGE as usize];
                self.base(&changed, page * PAGE, &mut bytes)?;
                changed.pages.insert(page, bytes);
            }
            if let Some(bytes) = changed.pages.get_mut(&page) {
                bytes[within..within + take].copy_from_slice(&data[done..done + take]);
            }
            done += take;
        }
        changed.len = changed.len.max(offset + data.len() as u64);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.base.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> io::Result<bool> {
        self.base.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> io::Result<()> {
        self.base.unlock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redb::storage_for_redb::FromRedb;
    use quickcheck::quickcheck;

    fn memory(bytes: &[u8]) -> Box<dyn StorageBackend> {
        let memory = FromRedb(redb::backends::InMemoryBackend::new());
        memory.set_len(bytes.len() as u64).unwrap();
        memory.write(0, bytes).unwrap();
        Box::new(memory)
    }

    quickcheck! {
        fn an_overlay_reads_as_the_changed_file_would_and_the_file_stays(
            base: Vec<u8>, changes: Vec<(u16, Vec<u8>, bool)>
        ) -> bool {
            let mut model = base.repeat(300);
            let before = model.clone();
            let overlay = Overlay::new(memory(&model)).unwrap();
            for (at, data, cut) in changes {
                let at = usize::from(at) % 20_000;
                if cut {
                    model.resize(at, 0);
                    overlay.set_len(at as u64).unwrap();
                } else {
                    model.resize(model.len().max(at + data.len()), 0);
                    model[at..at + data.len()].copy_from_slice(&data);
                    overlay.write(at as u64, &data).unwrap();
                }
            }
            let mut seen = vec![1; model.len()];
            overlay.read(0, &mut seen).unwrap();
            let mut below = vec![1; before.len()];
            overlay.base.read(0, &mut below).unwrap();
            seen == model && below == before && overlay.read(0, &mut vec![0; model.len() + 1]).is_err()
        }
    }
}
