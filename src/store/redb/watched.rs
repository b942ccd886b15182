//! Storage whose failures are remembered.

use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::store::storage::{StorageBackend, StoreFile};

/// The failures of a store's storage.
#[derive(Debug, Default)]
pub(in crate::store) struct Failures {
    /// Why the store must stay closed until the process restarts. A sync of either file failed:
    /// after that, a page read back may differ from what is on the disk. Or a page is damaged so
    /// that no write can go on.
    pub(in crate::store) latched: OnceLock<String>,
    /// An access to the state file failed since it was opened: redb refuses the file from then on.
    pub(in crate::store) state: AtomicBool,
}

/// Delegates every call and remembers the failures.
#[derive(Debug)]
pub(in crate::store) struct WatchedBackend {
    inner: Box<dyn StorageBackend>,
    file: StoreFile,
    failures: Arc<Failures>,
}

impl WatchedBackend {
    pub(in crate::store) fn new(inner: Box<dyn StorageBackend>, file: StoreFile, failures: Arc<Failures>) -> Self {
        if file == StoreFile::State {
            failures.state.store(false, Ordering::SeqCst);
        }
        Self { inner, file, failures }
    }

    fn noted<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() && self.file == StoreFile::State {
            self.failures.state.store(true, Ordering::SeqCst);
        }
        result
    }
}

impl StorageBackend for WatchedBackend {
    fn len(&self) -> io::Result<u64> {
        self.noted(self.inner.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.noted(self.inner.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.noted(self.inner.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let result = self.inner.sync_data();
        if let Err(error) = &result {
            // The first failure is the one to be reported.
            self.failures.latched.get_or_init(|| format!("a sync of {} failed: {error}", self.file.file_name()));
        }
        self.noted(result)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.noted(self.inner.write(offset, data))
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
