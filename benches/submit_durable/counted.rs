//! A store that counts the bytes written and the syncs of the state file.

use std::io;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pouw::{StorageBackend, StorageProvider, StoreDirectory, StoreFile};

/// Bytes handed to the operating system, both files, and syncs of the state file.
#[derive(Debug, Default)]
pub struct Counters {
    written: AtomicU64,
    pub state_syncs: AtomicU64,
}

impl Counters {
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
pub struct Counted {
    pub inner: StoreDirectory,
    pub counters: Arc<Counters>,
}

impl StorageProvider for Counted {
    fn open(&self, file: StoreFile) -> io::Result<Box<dyn StorageBackend>> {
        let backend = self.inner.open(file)?;
        Ok(Box::new(CountedFile { backend, file, counters: self.counters.clone() }))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.inner.sync_names()
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        self.inner.path(file)
    }
}

#[derive(Debug)]
struct CountedFile {
    backend: Box<dyn StorageBackend>,
    file: StoreFile,
    counters: Arc<Counters>,
}

impl StorageBackend for CountedFile {
    fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.backend.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.backend.sync_data()?;
        if self.file == StoreFile::State {
            self.counters.state_syncs.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.counters.written.fetch_add(data.len() as u64, Ordering::SeqCst);
        self.backend.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> io::Result<bool> {
        self.backend.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> io::Result<()> {
        self.backend.unlock_range(start, end)
    }
}
