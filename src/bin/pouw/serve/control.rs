//! The socket in the store's directory through which other commands reach a store that is served.
//!
//! One request for each connection: a line of JSON. The answer is lines of JSON: progress, then the
//! result or the error. Only the owner of the directory can connect.

use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pouw::PouwEngine;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::backup;
use crate::control::{LINE_BYTES_MAX, Reply, Request, socket_of};
use crate::output::complain;
use crate::scrub::{self, Pace, Rate};

/// Most commands that are answered at once; others wait.
const COMMANDS_MAX: usize = 4;
/// Time for a request to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a command to take a line of the answer.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// The socket's file. Dropping it removes the file.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Control {
    /// Listens in the store's directory. Without the socket the service works, but no other command
    /// reaches its store.
    pub fn start(db: &Path, engine: PouwEngine) -> Option<Self> {
        let path = socket_of(db);
        match listen(&path) {
            Ok((listener, owner)) => Some(Self { path, task: tokio::spawn(answer_all(listener, owner, engine)) }),
            Err(error) => {
                let path = path.display();
                complain(&format!("{path}: {error}; commands cannot back up or scrub this store while it is served"));
                None
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        // A socket that is left behind is replaced by the next service.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Returns the socket and the user that it belongs to.
fn listen(path: &Path) -> io::Result<(UnixListener, u32)> {
    // The store is open, so no other service uses it: what is there was left by a crash.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok((listener, std::fs::metadata(path)?.uid()))
}

async fn answer_all(listener: UnixListener, owner: u32, engine: PouwEngine) {
    // Dropped with this task, which ends what they asked for.
    let mut answers = JoinSet::new();
    loop {
        // A slow pass over the store keeps no backup waiting.
        while answers.len() >= COMMANDS_MAX {
            answers.join_next().await;
        }
        while answers.try_join_next().is_some() {}
        if let Ok((stream, _)) = listener.accept().await {
            let engine = engine.clone();
            // An error of a connection concerns only its command.
            answers.spawn(async move { drop(answer(stream, owner, &engine).await) });
        } else {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn answer(stream: UnixStream, owner: u32, engine: &PouwEngine) -> io::Result<()> {
    // Others could connect before the socket had its mode.
    let user = stream.peer_cred()?.uid();
    if user != owner && user != 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut read = BufReader::new(read.take(LINE_BYTES_MAX));
    tokio::time::timeout(REQUEST_TIMEOUT, read.read_line(&mut line)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let (tell, mut told) = mpsc::channel(16);
    match serde_json::from_str(&line) {
        Ok(Request::Backup { to }) => {
            let engine = engine.clone();
            tokio::task::spawn_blocking(move || back_up(&engine, &to, &tell));
        }
        Ok(Request::Scrub { rate }) => {
            let engine = engine.clone();
            tokio::task::spawn_blocking(move || scrub_all(&engine, rate, &tell));
        }
        Err(error) => {
            let _ = tell.send(Reply::Failed { error: format!("the request is not understood: {error}") }).await;
            drop(tell);
        }
    }
    while let Some(reply) = told.recv().await {
        let mut line = serde_json::to_vec(&reply)?;
        line.push(b'\n');
        // A command that is gone or stands still ends what it asked for: sending fails then.
        tokio::time::timeout(REPLY_TIMEOUT, write.write_all(&line)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    }
    Ok(())
}

fn back_up(engine: &PouwEngine, to: &Path, tell: &mpsc::Sender<Reply>) {
    let copied = engine.backup(to, &mut |progress| {
        let heard = tell.blocking_send(Reply::Progress { bytes: progress.bytes, of: 0 });
        if heard.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let reply = match copied {
        Ok(report) => Reply::Done(backup::Done::of(&report)),
        Err(error) => Reply::Failed { error: error.to_string() },
    };
    // A command that is gone needs no answer.
    let _ = tell.blocking_send(reply);
}

fn scrub_all(engine: &PouwEngine, rate: Option<Rate>, tell: &mpsc::Sender<Reply>) {
    let own = || Rate::of_service(engine.config().scrub_bytes_per_second());
    let pace = Pace::of(rate.unwrap_or_else(own));
    let scrubbed = engine.scrub_all(&mut |report| {
        let progress = || Reply::Progress { bytes: report.bytes, of: report.pass_bytes_expected };
        // While it waits too, so that a command that is gone ends it.
        pace.wait(report, || tell.blocking_send(progress()).is_ok())
    });
    let reply = match scrubbed {
        Ok(report) => Reply::Scrubbed(scrub::Done::of(&report)),
        Err(error) => Reply::Failed { error: error.to_string() },
    };
    // A command that is gone needs no answer.
    let _ = tell.blocking_send(reply);
}
