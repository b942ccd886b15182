//! Windows kept outside the process.

use std::fmt::Debug;

use crate::policy::window::Quota;

use super::choices::Policy;
use super::identity::{ClientKey, NetworkPrefix};

/// A window's answer for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is within the limit, and logged.
    Admitted(Quota),
    /// It is over the limit.
    Over(Quota),
    /// Too many clients are tracked to give this one a window of its own, and its network is over the limit.
    Crowded(Quota),
}

/// The error of a window that cannot be consulted now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the window cannot be consulted: {0}")]
pub struct WindowError(pub String);

/// Windows that several processes share, in place of those in memory. Called for every request on the
/// thread that serves or judges it: answer from memory or give up at once. One that panics cannot be consulted.
pub trait Window: Debug + Send + Sync {
    /// Judges one request and, if it is within the limit, logs it.
    ///
    /// # Errors
    /// [`WindowError`], if the window cannot be consulted now.
    fn check(
        &self,
        policy: &Policy,
        client: &ClientKey,
        prefix: NetworkPrefix,
        now_ms: u64,
    ) -> Result<Admission, WindowError>;

    /// Returns the client's quota and logs nothing.
    ///
    /// # Errors
    /// [`WindowError`], if the window cannot be consulted now.
    fn look(
        &self,
        policy: &Policy,
        client: &ClientKey,
        prefix: NetworkPrefix,
        now_ms: u64,
    ) -> Result<Quota, WindowError>;
}
