//! The directory of a store on a disk.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::storage_for_redb::{FromRedb, ReadOnlyFile};
use crate::store::storage::{StorageBackend, StorageProvider, StoreFile};

/// A directory on a file system.
#[derive(Debug, Clone)]
pub struct StoreDirectory(PathBuf);

impl StoreDirectory {
    /// Storage in the existing directory `path`.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self(path.as_ref().to_owned())
    }
}

impl StorageProvider for StoreDirectory {
    fn open(&self, file: StoreFile) -> io::Result<Box<dyn StorageBackend>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        // The state file holds the keys of client digests and made-up work.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let handle = options.open(self.path(file))?;
        let backend = redb::backends::FileBackend::new(handle).map_err(io::Error::other)?;
        Ok(Box::new(FromRedb(backend)))
    }

    fn open_read_only(&self, file: StoreFile) -> io::Result<Box<dyn StorageBackend>> {
        let handle = File::open(self.path(file))?;
        Ok(Box::new(ReadOnlyFile(redb::backends::FileBackend::new(handle).map_err(io::Error::other)?)))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    fn path(&self, file: StoreFile) -> PathBuf {
        self.0.join(file.file_name())
    }
}
