//! Windows outside the process.

use std::fmt::Debug;

use crate::policy::window::Quota;

use super::choices::Policy;
use super::identity::{ClientKey, NetworkPrefix};

/// A window's decision on one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The request is within the limit, and is logged.
    Admitted(Quota),
    /// The request is over the limit.
    Over(Quota),
    /// There is no room for a window of this client, and its network is over the limit.
    Crowded(Quota),
}

/// The error of a window that cannot be reached now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the window cannot be reached: {0}")]
pub struct WindowError(pub String);

/// Windows that several processes share, instead of the windows in memory. It is called for every
/// request, on the thread that serves or judges it: answer from memory or return an error at once.
/// A panic counts as an error.
pub trait Window: Debug + Send + Sync {
    /// Checks one request against the limit and, if it is admitted, logs it.
    ///
    /// # Errors
    /// [`WindowError`], if the window cannot be reached now.
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
    /// [`WindowError`], if the window cannot be reached now.
    fn look(
        &self,
        policy: &Policy,
        client: &ClientKey,
        prefix: NetworkPrefix,
        now_ms: u64,
    ) -> Result<Quota, WindowError>;
}
