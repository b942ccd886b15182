//! The secret that signs tokens: `DIR/secret`, or another file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use data_encoding::HEXLOWER;

use crate::failure::Failure;
use crate::output::sync_folder;
use crate::temporary;

/// Name of the file within a store's directory.
pub const FILE_NAME: &str = "secret";

/// Reads the secret of the store in `dir`, and creates it on first use.
pub fn of_store(dir: &Path) -> Result<Vec<u8>, Failure> {
    let path = dir.join(FILE_NAME);
    match read(&path) {
        Err(Failed::Absent) => {
            make(dir, &path).map_err(|e| {
                Failure::Failed(format!(
                    "{}: the secret cannot be created: {e}; make {} writable",
                    path.display(),
                    dir.display()
                ))
            })?;
            read(&path).map_err(|failed| failed.explain(&path))
        }
        other => other.map_err(|failed| failed.explain(&path)),
    }
}

/// Reads a secret from an existing file.
pub fn of_file(path: &Path) -> Result<Vec<u8>, Failure> {
    read(path).map_err(|failed| failed.explain(path))
}

/// Longest secret file; a longer one is a mistake.
const FILE_BYTES_MAX: u64 = 4_096;
const SECRET_BYTES_MIN: usize = 32;

enum Failed {
    Absent,
    Io(io::Error),
    Mode(u32),
    Short(usize),
    Long,
}

impl Failed {
    fn explain(self, path: &Path) -> Failure {
        let path = path.display();
        Failure::Failed(match self {
            Self::Absent => {
                format!("secret file {path} does not exist; check the path, or omit it to use the store's own secret")
            }
            Self::Io(error) => format!("secret file {path} cannot be read: {error}"),
            Self::Mode(mode) => {
                format!("secret file {path} is accessible to other users (mode {mode:04o}); run: chmod 600 {path}")
            }
            Self::Short(bytes) => {
                format!(
                    "secret file {path} has {bytes} bytes, expected at least {SECRET_BYTES_MIN}; use a longer secret"
                )
            }
            Self::Long => {
                format!(
                    "secret file {path} is longer than {FILE_BYTES_MAX} bytes; name a file that contains only the secret"
                )
            }
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failed> {
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failed::Absent,
        _ => Failed::Io(error),
    })?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata().map_err(Failed::Io)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(Failed::Mode(mode));
        }
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(Failed::Io)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Failed::Long);
    }
    // A line break at the end of a text is the editor's; of random bytes every byte counts.
    if bytes.is_ascii() {
        bytes.truncate(bytes.trim_ascii_end().len());
    }
    if bytes.len() < SECRET_BYTES_MIN { Err(Failed::Short(bytes.len())) } else { Ok(bytes) }
}

/// Writes 64 random hex digits atomically: of two concurrent first uses one wins, and both read its
/// secret.
fn make(dir: &Path, path: &Path) -> io::Result<()> {
    let mut random = [0; SECRET_BYTES_MIN];
    getrandom::fill(&mut random).map_err(|e| io::Error::other(e.to_string()))?;
    let mut file = temporary::new_in(dir, 0o600)?;
    writeln!(file, "{}", HEXLOWER.encode(&random))?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => sync_folder(dir),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}
