//! Disks: the moment of a power cut, and a hook before each read and each change.

use std::fmt;
use std::io;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use pouw::internal::store::sim::{Loss, SimDisk};
use pouw::{StorageBackend, StorageProvider, StoreFile};

/// The disk that a power cut at this moment would leave: everything synced, nothing else. The disk itself goes on.
pub fn after_power_cut(disk: &SimDisk) -> SimDisk {
    disk.record();
    disk.take_recording().expect("it was just begun").crash_at(0, Loss::Everything)
}

/// A disk of its own with the same bytes.
pub fn copy(disk: &SimDisk) -> SimDisk {
    SimDisk::with_files(disk.bytes(StoreFile::State), disk.bytes(StoreFile::Blocks))
}

/// The next access to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read(StoreFile),
    /// A write, a change of length or a sync.
    Change,
}

type Hook = dyn Fn(Access) + Send + Sync;

/// Storage that calls a hook before each access, on the thread that makes it.
#[derive(Clone)]
pub struct Hooked {
    inner: Arc<dyn StorageProvider>,
    hook: Arc<Hook>,
}

impl Hooked {
    pub fn new(inner: Arc<dyn StorageProvider>, hook: impl Fn(Access) + Send + Sync + 'static) -> Self {
        Self { inner, hook: Arc::new(hook) }
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hooked({:?})", self.inner)
    }
}

impl StorageProvider for Hooked {
    fn open(&self, file: StoreFile) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(HookedFile { inner: self.inner.open(file)?, file, hook: self.hook.clone() }))
    }

    fn sync_names(&self) -> io::Result<()> {
        (self.hook)(Access::Change);
        self.inner.sync_names()
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        self.inner.path(file)
    }
}

struct HookedFile {
    inner: Box<dyn StorageBackend>,
    file: StoreFile,
    hook: Arc<Hook>,
}

impl fmt::Debug for HookedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HookedFile({:?})", self.file)
    }
}

impl StorageBackend for HookedFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        (self.hook)(Access::Read(self.file));
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        (self.hook)(Access::Change);
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        (self.hook)(Access::Change);
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        (self.hook)(Access::Change);
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> io::Result<bool> {
        self.inner.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> io::Result<()> {
        self.inner.unlock_range(start, end)
    }
}

/// Storage of which pages rot: they are read as zeroes. What is written stays as it is below.
#[derive(Debug, Clone)]
pub struct Rotting {
    inner: Arc<dyn StorageProvider>,
    pages: Arc<Mutex<Vec<(StoreFile, u64)>>>,
}

/// redb's smallest page, bytes.
pub const PAGE: u64 = 4_096;

impl Rotting {
    pub fn new(inner: Arc<dyn StorageProvider>) -> Self {
        Self { inner, pages: Arc::default() }
    }

    /// From now on this page reads as zeroes.
    pub fn rot(&self, file: StoreFile, page: u64) {
        self.pages.lock().unwrap().push((file, page));
    }

    /// All pages read as they are again.
    pub fn heal(&self) {
        self.pages.lock().unwrap().clear();
    }
}

impl StorageProvider for Rotting {
    fn open(&self, file: StoreFile) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(RottingFile { inner: self.inner.open(file)?, file, pages: self.pages.clone() }))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.inner.sync_names()
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        self.inner.path(file)
    }
}

#[derive(Debug)]
struct RottingFile {
    inner: Box<dyn StorageBackend>,
    file: StoreFile,
    pages: Arc<Mutex<Vec<(StoreFile, u64)>>>,
}

impl StorageBackend for RottingFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)?;
        for (_, page) in self.pages.lock().unwrap().iter().filter(|(file, _)| *file == self.file) {
            let first = (page * PAGE).max(offset);
            let end = ((page + 1) * PAGE).min(offset + out.len() as u64);
            if first < end {
                out[(first - offset) as usize..(end - offset) as usize].fill(0);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> io::Result<bool> {
        self.inner.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> io::Result<()> {
        self.inner.unlock_range(start, end)
    }
}
