//! Requests to the service that has a store open.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::backup::Done;
use crate::failure::Failure;

/// Longest line of a request, bytes.
#[cfg(feature = "serve")]
pub const LINE_BYTES_MAX: u64 = 16 << 10;

/// What a command asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Request {
    /// Copy the store into this directory, an absolute path.
    Backup { to: PathBuf },
}

/// A line of the answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    Progress { bytes: u64 },
    Done(Done),
    Failed { error: String },
}

/// The socket of the service that has the store in `db` open.
pub fn socket_of(db: &Path) -> PathBuf {
    db.join("control.sock")
}

/// Connects to the service that has the store open; `None` if there is none.
pub fn service_of(db: &Path) -> Option<UnixStream> {
    UnixStream::connect(socket_of(db)).ok()
}

/// Has the service copy its store.
pub fn back_up(mut service: UnixStream, to: &Path, progress: &mut dyn FnMut(u64)) -> Result<Done, Failure> {
    let to = std::path::absolute(to)?;
    serde_json::to_writer(&mut service, &Request::Backup { to })?;
    service.write_all(b"\n")?;
    for line in BufReader::new(service).lines() {
        match serde_json::from_str(&line?)? {
            Reply::Progress { bytes } => progress(bytes),
            Reply::Done(done) => return Ok(done),
            Reply::Failed { error } => return Err(Failure::Failed(error)),
        }
    }
    let gone = "the service that has the store open ended before the copy was complete; back up again";
    Err(Failure::failed(gone))
}
