//! Files that are written beside their place and renamed when they are whole. One that a killed run
//! left behind is removed by the next run that writes into the folder, or opens the store in it.
//!
//! A run holds a lock on its file, which ends with the process. So no run needs a file without one.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

const PREFIX: &str = ".pouw-";
const SUFFIX: &str = ".tmp";
/// Letters and digits between prefix and suffix.
const DRAWN: usize = 6;
/// Most tries to make a file that no other run removes before it is locked.
const TRIES: usize = 16;

/// Makes a file in `folder`, with the permissions `mode` as far as the umask allows, after clearing
/// the folder. It is removed when it is dropped before it is persisted.
pub fn new_in(folder: &Path, mode: u32) -> io::Result<NamedTempFile> {
    clear(folder);
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX).rand_bytes(DRAWN);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    for _ in 0..TRIES {
        let file = builder.tempfile_in(folder)?;
        match file.as_file().try_lock() {
            // Between making and locking, another run may have removed it.
            Ok(()) if file.path().exists() => return Ok(file),
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            // A file system without locks: no run clears it either.
            Err(TryLockError::Error(_)) => return Ok(file),
        }
    }
    Err(io::Error::other("its temporary file was removed again and again"))
}

/// Removes the files of runs that are over. What cannot be removed stays for the next time.
pub fn clear(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_str().is_some_and(is_ours);
        if ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let path = entry.path();
            // With the lock held while it is removed, no run can be about to lock it.
            if let Ok(file) = File::open(&path)
                && file.try_lock().is_ok()
            {
                let _ = fs::remove_file(&path);
            }
        }
    }
}

fn is_ours(name: &str) -> bool {
    let drawn = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    drawn.is_some_and(|drawn| drawn.len() == DRAWN && drawn.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_as_they_are_made_here_are_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let made = new_in(folder.path(), 0o600).unwrap();
        assert!(is_ours(made.path().file_name().unwrap().to_str().unwrap()));
        for other in [".pouw-.tmp", ".pouw-abcdefg.tmp", ".pouw-abc/ef.tmp", "x.pouw-abcdef.tmp", ".pouw-abcdef.tmpx"] {
            assert!(!is_ours(other), "{other}");
        }
    }
}
