//! Requests to the service that has a store open.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::backup;
use crate::failure::Failure;
use crate::scrub::{self, Rate};

/// Longest line of a request, bytes.
#[cfg(feature = "serve")]
pub const LINE_BYTES_MAX: u64 = 16 << 10;

/// What a command asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Request {
    /// Copy the store into this directory, an absolute path.
    Backup { to: PathBuf },
    /// Read everything that is stored, at this rate, or at that of the service.
    Scrub { rate: Option<Rate> },
}

/// A line of the answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// Bytes done, and about how many there are; 0 where that is not known.
    Progress {
        bytes: u64,
        #[serde(default)]
        of: u64,
    },
    Done(backup::Done),
    Scrubbed(scrub::Done),
    Failed {
        error: String,
    },
}

/// The socket of the service that has the store in `db` open.
pub fn socket_of(db: &Path) -> PathBuf {
    db.join("control.sock")
}

/// Why the store cannot be opened, and why its service cannot be reached. The socket is left by a
/// service that is gone, unless the store is in use.
pub fn or_service(failure: Failure, unreachable: &str) -> Failure {
    match failure {
        Failure::Failed(what) => {
            Failure::Failed(format!("{what}; its service, if there is one, cannot be reached: {unreachable}"))
        }
        other => other,
    }
}

/// Connects to the service that has the store open; `None` if there is none. The error says why one
/// that may be there cannot be reached.
pub fn service_of(db: &Path) -> Result<Option<UnixStream>, String> {
    let path = socket_of(db);
    match UnixStream::connect(&path) {
        Ok(service) => Ok(Some(service)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let then = match error.kind() {
                ErrorKind::PermissionDenied => "run this as the user of the service",
                ErrorKind::ConnectionRefused => "no service listens there: one was killed, or is about to end",
                _ => "see whether the service runs",
            };
            Err(format!("{}: {error}; {then}", path.display()))
        }
    }
}

/// Has the service copy its store.
pub fn back_up(service: UnixStream, to: &Path, progress: &mut dyn FnMut(u64)) -> Result<backup::Done, Failure> {
    let to = std::path::absolute(to)?;
    match ask(service, &Request::Backup { to }, &mut |bytes, _| progress(bytes))? {
        Some(Reply::Done(done)) => Ok(done),
        _ => Err(gone("the copy was complete; back up again")),
    }
}

/// Has the service read everything that it stores.
pub fn scrub(
    service: UnixStream,
    rate: Option<Rate>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<scrub::Done, Failure> {
    match ask(service, &Request::Scrub { rate }, progress)? {
        Some(Reply::Scrubbed(done)) => Ok(done),
        _ => Err(gone("everything was read; scrub again")),
    }
}

/// Sends a request. Returns its result; `None` if the service ended before.
fn ask(
    mut service: UnixStream,
    request: &Request,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Option<Reply>, Failure> {
    serde_json::to_writer(&mut service, request)?;
    service.write_all(b"\n")?;
    for line in BufReader::new(service).lines() {
        match serde_json::from_str(&line?)? {
            Reply::Progress { bytes, of } => progress(bytes, of),
            Reply::Failed { error } => return Err(Failure::Failed(error)),
            result => return Ok(Some(result)),
        }
    }
    Ok(None)
}

fn gone(before: &str) -> Failure {
    Failure::failed(format!("the service that has the store open ended before {before}"))
}
