//! How a verb ends.

use std::error::Error;
use std::io;

/// The result of a verb that ran to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It did everything.
    Done,
    /// It reported on stderr what is wrong, and ends with exit code 1.
    Failed,
}

impl Verdict {
    pub fn of(done: bool) -> Self {
        if done { Self::Done } else { Self::Failed }
    }
}

/// The error of a verb that could not continue.
#[derive(Debug)]
pub enum Failure {
    /// Exit code 2: wrong arguments.
    Usage(String),
    /// Exit code 1, with the text to print after `pouw: `.
    Failed(String),
    /// stdout is closed.
    ReaderGone,
}

impl Failure {
    pub fn failed(what: impl Into<String>) -> Self {
        Self::Failed(what.into())
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(at) = cause {
            if at.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
                return Self::ReaderGone;
            }
            cause = at.source();
        }
        Self::Failed(error.to_string())
    }
}
