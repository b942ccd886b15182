//! Errors of making a gate.

use crate::engine::{ConfigError, OpenError};

/// An error that kept a gate from being made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// A setting is out of range, or does not fit the engine's settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The engine's store could not be opened ([`Gate::open`](super::Gate::open)).
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The operating system returned no random bytes.
    #[error("the operating system returned no random bytes: {0}")]
    Random(String),
    /// No thread could be started.
    #[error("no thread could be started: {0}; raise the limit of threads for this process")]
    Thread(#[from] std::io::Error),
    /// A policy's limit or window is out of range.
    #[error("policy {name:?}: the limit must be from 1 to 1000000 in a window from 1 ms to one day")]
    Policy {
        /// Its name.
        name: String,
    },
}
