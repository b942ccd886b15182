//! stdout, stderr and progress bars. Nothing here panics on a closed pipe.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::failure::Failure;
use crate::temporary;

/// The form of the output, and whether any was written.
#[derive(Debug)]
pub struct Output {
    pub json: bool,
    begun: AtomicBool,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Self { json, begun: AtomicBool::new(false) }
    }

    /// Prints the result of a verb: `document` as JSON, or the text that `human` writes.
    pub fn show<T: Serialize>(
        &self,
        document: &T,
        human: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut stdout = self.stream();
        let written = if self.json { write_json(&mut stdout, document) } else { human(&mut stdout) };
        match written.and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            // The verb has done its work; a reader that is gone does not make it fail.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Failure::Failed(format!("stdout cannot be written: {error}"))),
        }
    }

    /// Returns stdout for a result that is written in pieces. Flush it at the end.
    pub fn stream(&self) -> BufWriter<StdoutLock<'static>> {
        self.begun.store(true, Ordering::Relaxed);
        BufWriter::with_capacity(64 << 10, io::stdout().lock())
    }

    /// Prints a failure as a document with `--json`, unless part of another document was printed.
    pub fn error_document(&self, what: &str) {
        if self.json && !self.begun.load(Ordering::Relaxed) {
            let mut stdout = self.stream();
            // stderr has the error already, so a failure here needs no report.
            let _ = write_json(&mut stdout, &serde_json::json!({ "error": what })).and_then(|()| stdout.flush());
        }
    }

    /// Returns a bar up to `total`, or a spinner. It draws only on a terminal and never with
    /// `--json`.
    pub fn progress(&self, total: Option<u64>, template: &str) -> ProgressBar {
        let quiet = self.json || !io::stderr().is_terminal();
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(10) };
        let bar = ProgressBar::with_draw_target(total, target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if !quiet {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        bar
    }
}

/// Prints a line on stderr, and ignores a closed stderr.
pub fn complain(what: &str) {
    let _ = writeln!(io::stderr(), "pouw: {what}");
}

pub fn write_json<T: Serialize>(to: &mut dyn Write, document: &T) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *to, document)?;
    to.write_all(b"\n")
}

/// Writes `path` completely or not at all, by a temporary file beside it, which is synced and
/// renamed. What killed runs left in the folder is removed first. A device or pipe is written
/// directly.
pub fn write_file(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<(), Failure>) -> Result<(), Failure> {
    let fail = |e: io::Error| Failure::Failed(format!("{}: {e}; name a file that can be written", path.display()));
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        let mut file = BufWriter::new(OpenOptions::new().write(true).open(path).map_err(fail)?);
        fill(&mut file)?;
        return file.flush().map_err(fail);
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temporary = temporary::new_in(folder, 0o666).map_err(fail)?;
    let mut writer = BufWriter::with_capacity(64 << 10, temporary);
    fill(&mut writer)?;
    let temporary = writer.into_inner().map_err(|e| fail(e.into_error()))?;
    temporary.as_file().sync_all().map_err(fail)?;
    temporary.persist(path).map_err(|e| fail(e.error))?;
    sync_folder(folder).map_err(fail)
}

/// Makes a new name in `folder` durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}
