//! Between our [`StorageBackend`] and redb's, in both directions. Both adapters only delegate.

use std::io;
use std::ops::Bound;

use redb::BackendError;

use crate::store::storage::StorageBackend;

/// Our backend, as redb takes it.
///
/// redb opens a store for one writer, and then locks with two of its six methods only. The other
/// four keep their default, [`BackendError::Unsupported`].
#[derive(Debug)]
pub struct ForRedb(pub Box<dyn StorageBackend>);

impl redb::StorageBackend for ForRedb {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        Ok(self.0.try_lock_range(start, end)?)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        Ok(self.0.unlock_range(start, end)?)
    }
}

/// A backend of redb's, as ours.
#[derive(Debug)]
pub(in crate::store) struct FromRedb<B>(pub(in crate::store) B);

impl<B: redb::StorageBackend> StorageBackend for FromRedb<B> {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> io::Result<bool> {
        Ok(self.0.try_lock_range(start, end)?)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> io::Result<()> {
        Ok(self.0.unlock_range(start, end)?)
    }
}

/// A file of redb's that is only read. Its locks are shared: readers do not exclude each other, and
/// a writer excludes them all.
#[derive(Debug)]
pub(in crate::store) struct ReadOnlyFile(pub(in crate::store) redb::backends::FileBackend);

impl StorageBackend for ReadOnlyFile {
    fn len(&self) -> io::Result<u64> {
        redb::StorageBackend::len(&self.0)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        redb::StorageBackend::read(&self.0, offset, out)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn close(&self) -> io::Result<()> {
        redb::StorageBackend::close(&self.0)
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> io::Result<bool> {
        Ok(redb::StorageBackend::try_lock_shared_range(&self.0, start, end)?)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> io::Result<()> {
        Ok(redb::StorageBackend::unlock_range(&self.0, start, end)?)
    }
}
