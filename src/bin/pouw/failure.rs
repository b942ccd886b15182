//! How a verb ends.

use std::error::Error;
use std::io;

/// A verb that came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Everything asked for was done.
    Done,
    /// It ran, said on stderr what is wrong, and ends with exit code 1.
    Failed,
}

impl Verdict {
    pub fn of(done: bool) -> Self {
        if done { Self::Done } else { Self::Failed }
    }
}

/// A verb that could not go on.
#[derive(Debug)]
pub enum Failure {
    /// Exit code 2: the arguments cannot be meant.
    Usage(String),
    /// Exit code 1: what to print behind `pouw: `.
    Failed(String),
    /// Nobody reads stdout any more.
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
