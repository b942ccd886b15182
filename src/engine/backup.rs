//! A copy of the store while it is used.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::protocol::UnixMillis;
use crate::store::rows::CopyRow;
use crate::store::{BackupFailure, BackupProgress, OnBackup, StorageProvider, StoreDirectory, StoreError, StoreFile};

use super::event::Event;
use super::handle::PouwEngine;
use super::locks::{Rank, Ranked};

/// Directories in which a copy grows in this process: two into one would clear each other's files,
/// where directories have no locks.
static GROWING: Ranked<BTreeSet<PathBuf>> = Ranked::new(Rank::Growing, BTreeSet::new());

/// A directory in [`GROWING`].
struct Turn(PathBuf);

impl Turn {
    fn take(partial: &Path) -> Result<Self, BackupError> {
        if GROWING.lock().insert(partial.to_owned()) { Ok(Self(partial.to_owned())) } else { Err(taken(partial)) }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        GROWING.lock().remove(&self.0);
    }
}

/// A finished backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// Rows copied.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// The last commit that is in the copy.
    pub commit_seq: u64,
}

/// The origin of a store that was made by a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyOf {
    /// Id of the store that was copied.
    pub store: [u8; 16],
    /// The last of its commits that is in the copy.
    pub commit_seq: u64,
    /// Its engine time when it was copied.
    pub at: UnixMillis,
}

/// Why a backup failed. The store is unchanged, and so is the destination, unless the text says
/// that the copy is there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The destination exists, and is something else than an empty directory.
    #[error("{} is not empty; name a new directory for the backup", path.display())]
    NotEmpty {
        /// The destination.
        path: PathBuf,
    },
    /// The destination cannot be written.
    #[error("{}: {what}; check the path, the free space, and that this process may write to it", path.display())]
    Destination {
        /// The file or directory.
        path: PathBuf,
        /// The system's words.
        what: String,
    },
    /// Another backup, of this process or another, copies to the same destination.
    #[error("{}: another backup writes there; wait for its end, or name another directory", path.display())]
    Running {
        /// The directory in which its copy grows.
        path: PathBuf,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The callback cancelled it, or panicked, which is an event too.
    #[error("the backup was cancelled; nothing is left of it")]
    Cancelled,
}

impl BackupError {
    /// Whether the same call can succeed a moment later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Running { .. } => true,
            Self::NotEmpty { .. } | Self::Destination { .. } | Self::Cancelled => false,
        }
    }
}

impl PouwEngine {
    /// Copies the store into the new directory `path` while it is used: everything acknowledged
    /// before this call is in the copy. Commits go on meanwhile, and so do issuing and ingest,
    /// except for one moment at the beginning. The file of the store may grow by what is changed
    /// during the copy.
    ///
    /// The copy is used by opening it. It is a store with an id of its own, so that a token counts
    /// in the store that issued it and nowhere else; [`PouwEngine::copy_of`] returns its origin. It
    /// appears under its name when it is complete and durable.
    ///
    /// # Errors
    /// [`BackupError`]: the directory is not empty or cannot be written, another backup writes there,
    /// the store cannot be read, or `progress` cancelled it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::ops::ControlFlow;
    ///
    /// use pouw::{Config, PouwEngine};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let parent = tempfile::tempdir()?;
    /// let engine = PouwEngine::open(parent.path().join("store"), Config::new([7; 32])?)?;
    /// let copy = parent.path().join("copy");
    /// engine.backup(&copy, &mut |_| ControlFlow::Continue(()))?;
    ///
    /// let restored = PouwEngine::open(&copy, Config::new([7; 32])?)?;
    /// assert!(restored.copy_of().is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn backup(&self, path: impl AsRef<Path>, progress: OnBackup<'_>) -> Result<BackupReport, BackupError> {
        let path = std::path::absolute(path.as_ref()).map_err(|error| cannot_write(path.as_ref(), &error))?;
        let partial = partial_of(&path)?;
        let _turn = Turn::take(&partial)?;
        expect_empty(&path)?;
        let _alone = Alone::in_directory(&partial)?;
        // Another process may have finished one meanwhile.
        expect_empty(&path)?;
        // Left by a backup that was killed.
        clear_files(&partial)?;
        let copied = self.copy_to(&partial, progress).and_then(|report| {
            fs::rename(&partial, &path).map_err(|error| cannot_write(&path, &error))?;
            Ok(report)
        });
        match copied {
            Ok(report) => published(&path, sync_names_in).map(|()| report),
            Err(error) => {
                // What cannot be removed is cleared by the next backup to this destination.
                let _ = clear(&partial);
                Err(error)
            }
        }
    }

    /// Returns the origin of this store, if it was made by [`PouwEngine::backup`].
    pub fn copy_of(&self) -> Option<CopyOf> {
        let origin = |row: CopyRow| CopyOf {
            store: *row.store.as_bytes(),
            commit_seq: row.commit_seq,
            at: UnixMillis(row.at_ms),
        };
        self.core().identity.copy_of.map(origin)
    }

    fn copy_to(&self, directory: &Path, progress: OnBackup<'_>) -> Result<BackupReport, BackupError> {
        let to: Arc<dyn StorageProvider> = Arc::new(StoreDirectory::new(directory));
        let copied = self.core().store.backup(to, progress).map_err(|failure| match failure {
            BackupFailure::NotEmpty(file) => BackupError::NotEmpty { path: directory.join(file.file_name()) },
            BackupFailure::Cancelled => BackupError::Cancelled,
            BackupFailure::Panicked => {
                self.core().events.emit(Event::CallbackPanicked);
                BackupError::Cancelled
            }
            BackupFailure::Source(error) => error.into(),
            BackupFailure::Copy(error) => {
                BackupError::Destination { path: directory.to_owned(), what: error.to_string() }
            }
        })?;
        let BackupProgress { rows, bytes, .. } = copied.done;
        Ok(BackupReport { rows, bytes, commit_seq: copied.commit_seq })
    }
}

/// The directory in which a copy grows, beside its final name.
fn partial_of(path: &Path) -> Result<PathBuf, BackupError> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => {
            let mut hidden = std::ffi::OsString::from(".");
            hidden.push(name);
            hidden.push(".partial");
            Ok(parent.join(hidden))
        }
        _ => Err(BackupError::NotEmpty { path: path.to_owned() }),
    }
}

fn expect_empty(path: &Path) -> Result<(), BackupError> {
    match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(BackupError::NotEmpty { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(cannot_write(path, &error)),
    }
}

/// The lock on the directory in which a copy grows: no other process writes or clears it meanwhile.
struct Alone {
    /// Locked until it is closed.
    #[cfg(unix)]
    _directory: Option<fs::File>,
}

impl Alone {
    /// Makes the directory and locks it.
    #[cfg(unix)]
    fn in_directory(partial: &Path) -> Result<Self, BackupError> {
        let failed = |error: io::Error| cannot_write(partial, &error);
        // Its owner may have given it its name, or removed it, before it was locked here.
        for _ in 0..TRIES {
            fs::create_dir_all(partial).map_err(failed)?;
            let directory = match fs::File::open(partial) {
                Ok(directory) => directory,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            match directory.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => return Err(taken(partial)),
                // A file system without locks.
                Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                    return Ok(Self { _directory: None });
                }
                Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
            }
            let id = |metadata: fs::Metadata| {
                use std::os::unix::fs::MetadataExt;
                (metadata.dev(), metadata.ino())
            };
            let locked = directory.metadata().map(id).map_err(failed)?;
            if fs::metadata(partial).is_ok_and(|there| id(there) == locked) {
                return Ok(Self { _directory: Some(directory) });
            }
        }
        Err(taken(partial))
    }

    /// Makes the directory. Elsewhere than on Unix it has no lock between processes.
    #[cfg(not(unix))]
    fn in_directory(partial: &Path) -> Result<Self, BackupError> {
        fs::create_dir_all(partial).map_err(|error| cannot_write(partial, &error))?;
        Ok(Self {})
    }
}

/// Most tries to lock a directory that others make and remove.
#[cfg(unix)]
const TRIES: usize = 16;

fn taken(partial: &Path) -> BackupError {
    BackupError::Running { path: partial.to_owned() }
}

/// Removes the two files of a partial copy and its directory, and nothing else.
fn clear(partial: &Path) -> Result<(), BackupError> {
    clear_files(partial)?;
    gone(partial, fs::remove_dir(partial))
}

fn clear_files(partial: &Path) -> Result<(), BackupError> {
    for file in [StoreFile::State, StoreFile::Blocks] {
        gone(partial, fs::remove_file(partial.join(file.file_name())))?;
    }
    Ok(())
}

fn gone(partial: &Path, removed: io::Result<()>) -> Result<(), BackupError> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot_write(partial, &error)),
        _ => Ok(()),
    }
}

/// The complete copy has its name; `sync` makes the name durable.
fn published(path: &Path, sync: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), BackupError> {
    path.parent().map_or(Ok(()), sync).map_err(|error| {
        let what = format!("the copy is complete and is there, but a power cut may take its name away: {error}");
        BackupError::Destination { path: path.to_owned(), what }
    })
}

fn sync_names_in(parent: &Path) -> io::Result<()> {
    if cfg!(unix) { fs::File::open(parent)?.sync_all() } else { Ok(()) }
}

fn cannot_write(path: &Path, error: &io::Error) -> BackupError {
    BackupError::Destination { path: path.to_owned(), what: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_whose_name_may_be_lost_is_reported_as_there() {
        let failed = published(Path::new("/backups/monday"), |parent| {
            assert_eq!(parent, Path::new("/backups"));
            Err(io::Error::other("input/output error"))
        });
        let text = failed.unwrap_err().to_string();
        assert!(text.starts_with("/backups/monday: the copy is complete and is there"), "{text}");
        assert!(published(Path::new("/backups/monday"), |_| Ok(())).is_ok());
    }

    #[test]
    #[cfg(unix)]
    fn a_directory_in_which_a_copy_grows_has_one_owner() {
        let parent = tempfile::tempdir().unwrap();
        let partial = partial_of(&parent.path().join("copy")).unwrap();
        let owner = Alone::in_directory(&partial).unwrap();
        let second = Alone::in_directory(&partial).err().unwrap();
        assert!(second.to_string().contains("another backup writes there") && second.is_retryable(), "{second}");
        // Published: the name is free, while the lock is still held.
        fs::rename(&partial, parent.path().join("copy")).unwrap();
        let other = Alone::in_directory(&partial).unwrap();
        drop((owner, other));
        assert!(Alone::in_directory(&partial).is_ok());
    }
}
