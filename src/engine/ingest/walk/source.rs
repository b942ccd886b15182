//! One source of the walk: its files in order of their encoded names.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use percent_encoding::percent_encode_byte;
use walkdir::{DirEntry, WalkDir};

use super::found::{NAME_LEN_MAX, SkipReason, Skipped, SourceFile, WalkError, WalkEvent};

/// The walk of one source.
#[derive(Debug)]
pub(super) struct Source {
    entries: walkdir::IntoIter,
    /// The directories from the source down to the entry last seen, one per depth.
    dirs: Vec<Dir>,
}

impl Source {
    pub(super) fn new(given: &Path) -> Result<Self, WalkError> {
        // Without this, `link/` would be resolved by the operating system, and followed.
        let path: PathBuf = given.components().collect();
        fs::symlink_metadata(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                WalkError::NoSuchSource { path: given.to_owned() }
            }
            _ => WalkError::Source { path: given.to_owned(), source },
        })?;
        let entries =
            WalkDir::new(path).follow_links(false).follow_root_links(false).sort_by(compare_entries).into_iter();
        Ok(Self { entries, dirs: Vec::new() })
    }

    /// The next file or skipped entry; descends into directories on the way.
    pub(super) fn advance(&mut self, prefix: &str) -> Result<Option<WalkEvent>, WalkError> {
        loop {
            let entry = match self.entries.next() {
                None => return Ok(None),
                Some(Err(error)) => return Ok(Some(self.unreadable(&error))),
                Some(Ok(entry)) => entry,
            };
            if entry.file_type().is_dir() {
                self.enter(entry)?;
            } else {
                return Ok(Some(self.examine(entry, prefix)));
            }
        }
    }

    /// Remembers the directory that walkdir lists next.
    fn enter(&mut self, entry: DirEntry) -> Result<(), WalkError> {
        let mut name = String::new();
        if entry.depth() > 0 {
            name = self.name_of(&entry);
            name.push('/');
        }
        let depth = entry.depth();
        let path = entry.into_path();
        // Only an encoded and a literal `%XX` can get here. Two such directories would have to be
        // merged to keep the order, so they are refused as a whole.
        if let Some(twin) = self.dirs.get(depth).filter(|dir| dir.name == name) {
            return Err(WalkError::Conflict { name, first: twin.path.clone(), second: path });
        }
        self.dirs.truncate(depth);
        self.dirs.push(Dir { name, path });
        Ok(())
    }

    /// Judges an entry that is not a directory.
    fn examine(&self, entry: DirEntry, prefix: &str) -> WalkEvent {
        // The kind in the listing can be out of date; what is reported was seen at one moment.
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) => return self.unreadable(&error),
        };
        let name = format!("{prefix}{}", self.name_of(&entry));
        let why = if metadata.is_symlink() {
            SkipReason::Symlink
        } else if !metadata.is_file() {
            SkipReason::NotAFile
        } else if name.len() > NAME_LEN_MAX {
            SkipReason::NameTooLong { len: name.len() }
        } else {
            return WalkEvent::File(SourceFile { name, path: entry.into_path(), len: metadata.len() });
        };
        WalkEvent::Skipped(Skipped { path: entry.into_path(), why })
    }

    fn unreadable(&self, error: &walkdir::Error) -> WalkEvent {
        // A listing that breaks off has no path of its own: its directory is one level up.
        let parent = error.depth().checked_sub(1);
        let path = error.path().or_else(|| Some(self.dirs.get(parent?)?.path.as_path())).unwrap_or(Path::new(""));
        let message = error.io_error().map_or_else(|| error.to_string(), io::Error::to_string);
        WalkEvent::Skipped(Skipped { path: path.to_owned(), why: SkipReason::Unreadable(message) })
    }

    /// Encoded path of `entry` relative to the source; the file name for the source itself.
    fn name_of(&self, entry: &DirEntry) -> String {
        let parent = entry.depth().checked_sub(1);
        let mut name = parent.and_then(|depth| self.dirs.get(depth)).map(|dir| dir.name.clone()).unwrap_or_default();
        name.push_str(&encoded(entry.file_name()));
        name
    }
}

/// A directory that is being walked.
#[derive(Debug)]
struct Dir {
    /// Encoded path relative to the source with a `/` at its end; empty for the source itself.
    name: String,
    path: PathBuf,
}

/// Orders the entries of one directory as their whole names are ordered.
fn compare_entries(a: &DirEntry, b: &DirEntry) -> Ordering {
    let (name_a, name_b) = (encoded(a.file_name()), encoded(b.file_name()));
    let shared_len = name_a.len().min(name_b.len());
    let (head_a, tail_a) = name_a.as_bytes().split_at(shared_len);
    let (head_b, tail_b) = name_b.as_bytes().split_at(shared_len);
    let end = |entry: &DirEntry| entry.file_type().is_dir().then_some(b'/');
    head_a
        .cmp(head_b)
        .then_with(|| {
            let rest_a = tail_a.iter().copied().chain(end(a));
            rest_a.cmp(tail_b.iter().copied().chain(end(b)))
        })
        // Two entries can have one name: their bytes decide, so that errors repeat as well.
        .then_with(|| a.file_name().cmp(b.file_name()))
}

/// `component` with `%XX` for each byte that is not part of valid UTF-8.
fn encoded(component: &OsStr) -> Cow<'_, str> {
    if let Some(valid) = component.to_str() {
        return Cow::Borrowed(valid);
    }
    let mut name = String::new();
    for chunk in component.as_encoded_bytes().utf8_chunks() {
        name.push_str(chunk.valid());
        name.extend(chunk.invalid().iter().map(|&byte| percent_encode_byte(byte)));
    }
    Cow::Owned(name)
}
