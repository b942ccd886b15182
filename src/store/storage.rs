//! The bytes of the two files, as traits. Tests implement them to make the disk fail.

use std::fmt::Debug;
use std::io;
use std::ops::Bound;
use std::path::PathBuf;

/// Which of the two files of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreFile {
    /// `state.redb`: everything but block data.
    State,
    /// `blocks.redb`: copied block data and references.
    Blocks,
}

impl StoreFile {
    /// File name inside the store's directory.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::State => "state.redb",
            Self::Blocks => "blocks.redb",
        }
    }
}

/// The bytes of one file: a growable array that is read and written at offsets.
///
/// An implementation is complete with the first five methods if no other process and no second
/// engine can reach the same bytes.
#[allow(clippy::len_without_is_empty)]
pub trait StorageBackend: Debug + Send + Sync + 'static {
    /// Length in bytes.
    ///
    /// # Errors
    /// Those of the storage.
    fn len(&self) -> io::Result<u64>;

    /// Fills `out` with the bytes from `offset` on.
    ///
    /// # Errors
    /// Those of the storage; [`io::ErrorKind::UnexpectedEof`] if the range ends behind the length.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Cuts the file, or extends it with zeroes.
    ///
    /// # Errors
    /// Those of the storage.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// Those of the storage. After one the store stays closed until the process restarts, since a
    /// later sync may succeed without these bytes.
    fn sync_data(&self) -> io::Result<()>;

    /// Writes `data` at `offset`. The store extends the file first, with
    /// [`set_len`](Self::set_len).
    ///
    /// # Errors
    /// Those of the storage.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Releases the locks. Called once, after the last use.
    ///
    /// # Errors
    /// Those of the storage.
    fn close(&self) -> io::Result<()> {
        Ok(())
    }

    /// Locks a range of bytes, or returns `false` if another backend of the same bytes has locked a
    /// part of it, in this process or in another. A range may lie behind the end of the file. The
    /// default has no locks.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] if there are no locks, or none on this range: the store then
    /// tries the whole file (both bounds unbounded), and if that is unsupported too, it opens
    /// without a lock.
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> io::Result<bool> {
        let _ = (start, end);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Releases the lock on exactly this range.
    ///
    /// # Errors
    /// As for [`try_lock_range`](Self::try_lock_range).
    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> io::Result<()> {
        let _ = (start, end);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Gives the store its storage. [`StoreDirectory`](crate::StoreDirectory) is the real one; tests
/// pass a faulty one.
///
/// # Examples
///
/// A directory of which every opened file is logged:
///
/// ```
/// use std::io;
/// use std::path::PathBuf;
/// use std::sync::Arc;
///
/// use pouw::{Runtime, StorageBackend, StorageProvider, StoreDirectory, StoreFile};
///
/// #[derive(Debug)]
/// struct Logged(StoreDirectory);
///
/// impl StorageProvider for Logged {
///     fn open(&self, file: StoreFile) -> io::Result<Box<dyn StorageBackend>> {
///         println!("opening {}", self.path(file).display());
///         self.0.open(file)
///     }
///
///     fn sync_names(&self) -> io::Result<()> {
///         self.0.sync_names()
///     }
///
///     fn path(&self, file: StoreFile) -> PathBuf {
///         self.0.path(file)
///     }
/// }
///
/// let runtime = Runtime::on(Arc::new(Logged(StoreDirectory::new("store"))));
/// ```
pub trait StorageProvider: Debug + Send + Sync {
    /// Opens or creates the bytes behind `file`. Called again when the store reopens itself after a
    /// failed write.
    ///
    /// # Errors
    /// Those of the storage.
    fn open(&self, file: StoreFile) -> io::Result<Box<dyn StorageBackend>>;

    /// Opens the bytes behind `file` to be read: the store will not change them. By default the
    /// same as [`open`](Self::open); storage that may be read-only opens without making or changing
    /// anything, and several such backends of the same bytes may hold their locks together.
    ///
    /// # Errors
    /// Those of the storage; [`io::ErrorKind::NotFound`] if there are no bytes.
    fn open_read_only(&self, file: StoreFile) -> io::Result<Box<dyn StorageBackend>> {
        self.open(file)
    }

    /// Makes the names of newly created files durable.
    ///
    /// # Errors
    /// Those of the storage.
    fn sync_names(&self) -> io::Result<()>;

    /// The path of the file, for error messages.
    fn path(&self, file: StoreFile) -> PathBuf;
}
