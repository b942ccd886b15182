//! Errors of making a gate.

use crate::engine::{ConfigError, OpenError};

/// An error that kept a gate from being made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// A setting is out of range, or does not fit the engine's settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The engine's store could not be opened ([`Gate::open`](crate::Gate::open)).
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The operating system returned no random bytes.
    #[error("the operating system returned no random bytes: {0}; retry in a moment")]
    Random(String),
    /// No thread could be started.
    #[error("no thread could be started: {0}; raise the limit of threads for this process")]
    Thread(#[from] std::io::Error),
}

impl GateError {
    /// Whether the same call can succeed later: another process has the store open, as during a
    /// restart, or the operating system returned no random bytes or no thread.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Open(error) => error.is_retryable(),
            Self::Random(_) | Self::Thread(_) => true,
            Self::Config(_) => false,
        }
    }
}
