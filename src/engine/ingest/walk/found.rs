//! What a walk finds, and why it ends.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Longest name of a file, prefix included, in bytes of its encoded form.
pub const NAME_LEN_MAX: usize = 4096;

/// An entry that the walk found. Complete on purpose: a caller must handle both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalkEvent {
    /// A plain file to ingest.
    File(SourceFile),
    /// Something that is not ingested, and why.
    Skipped(Skipped),
}

/// A plain file that the walk found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceFile {
    /// Name of the file in the catalogue: prefix and encoded relative path, at most
    /// [`NAME_LEN_MAX`] bytes, unique within the walk.
    pub name: String,
    /// Where to open it: the given source, and the path found below it.
    pub path: PathBuf,
    /// Length in bytes when the walk saw it.
    pub len: u64,
}

/// Something that the walk does not ingest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is; for a directory that could not be listed to its end, the directory.
    pub path: PathBuf,
    /// Why it is skipped.
    pub why: SkipReason,
}

/// Why the walk does not ingest something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// A symbolic link: links are not followed.
    Symlink,
    /// Neither a directory nor a plain file: a FIFO, socket or device.
    NotAFile,
    /// It could not be listed or looked at; the operating system's message.
    Unreadable(String),
    /// Its name with the prefix is longer than [`NAME_LEN_MAX`].
    NameTooLong {
        /// Length of the name in bytes, prefix included.
        len: usize,
    },
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symlink => f.write_str("symbolic link, not followed"),
            Self::NotAFile => f.write_str("neither a directory nor a plain file"),
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::NameTooLong { len } => write!(
                f,
                "name too long: {len} bytes with its prefix, expected at most {NAME_LEN_MAX}; use a shorter prefix"
            ),
        }
    }
}

/// Why a walk cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    /// Two files have one name. Neither of them was given out.
    #[error(
        "{first:?} and {second:?} would both be named {name:?}; rename one of them, or ingest them separately with different prefixes"
    )]
    Conflict {
        /// The name that both have; ends in `/` when two directories of one source have it.
        name: String,
        /// The file of the source that was given first.
        first: PathBuf,
        /// The file of the source that was given later.
        second: PathBuf,
    },
    /// A source does not exist.
    #[error("source {path:?} does not exist; check the path")]
    NoSuchSource {
        /// The source as given.
        path: PathBuf,
    },
    /// The metadata of a source cannot be read.
    #[error("source {path:?} cannot be read: {source}; check its path and permissions")]
    Source {
        /// The source as given.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The prefix cannot be part of a name.
    #[error("invalid prefix of {len} bytes; expected at most {NAME_LEN_MAX} bytes without a NUL byte")]
    Prefix {
        /// Length of the prefix in bytes.
        len: usize,
    },
}

impl WalkError {
    /// Whether the same call can succeed a moment later: never, since the sources, their names or
    /// their permissions have to be changed first.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Conflict { .. } | Self::NoSuchSource { .. } | Self::Source { .. } | Self::Prefix { .. } => false,
        }
    }
}
