//! Windows outside the process.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::gate::config::choices::Policy;
use crate::gate::request::client::{ClientKey, NetworkPrefix};
use crate::guard::contained;
use crate::policy::window::Quota;

/// A window's decision on one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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
#[error("the shared window cannot be reached: {0}")]
pub struct WindowError(String);

impl WindowError {
    /// Returns an error with its cause.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// Windows that several processes share, instead of the windows in memory. It is called for every
/// request, on the thread that serves or judges it: answer from memory or return an error at once.
/// A panic counts as an error.
///
/// `now` is a time since the Unix epoch. It never goes back while the engine is open, and may drift
/// from the wall clock by seconds a day.
///
/// # Examples
///
/// Fixed windows in one map, in place of a cache that all processes share:
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::{Arc, Mutex};
/// use std::time::Duration;
///
/// use pouw::{Admission, ClientKey, GateRuntime, NetworkPrefix, Policy, Quota};
/// use pouw::{SharedWindow, WindowError};
///
/// #[derive(Debug, Default)]
/// struct Shared(Mutex<HashMap<(String, ClientKey, u128), u32>>);
///
/// impl Shared {
///     /// Counts `more` requests. Returns whether the limit allows all, and the quota.
///     fn add(
///         &self,
///         policy: &Policy,
///         client: &ClientKey,
///         now: Duration,
///         more: u32,
///     ) -> Result<(bool, Quota), WindowError> {
///         let mut windows = self.0.lock().map_err(|error| WindowError::new(error.to_string()))?;
///         let number = now.as_millis() / policy.window.as_millis();
///         let count = windows.entry((policy.name.clone(), client.clone(), number)).or_default();
///         let good = *count + more <= policy.rate_limit;
///         *count += if good { more } else { 0 };
///         let over_ms = (now.as_millis() % policy.window.as_millis()) as u64;
///         let reset = policy.window - Duration::from_millis(over_ms);
///         Ok((good, Quota::new(policy.rate_limit, policy.rate_limit - *count, reset)))
///     }
/// }
///
/// impl SharedWindow for Shared {
///     fn check(
///         &self,
///         policy: &Policy,
///         client: &ClientKey,
///         _: NetworkPrefix,
///         now: Duration,
///     ) -> Result<Admission, WindowError> {
///         let (good, quota) = self.add(policy, client, now, 1)?;
///         Ok(if good { Admission::Admitted(quota) } else { Admission::Over(quota) })
///     }
///
///     fn look(
///         &self,
///         policy: &Policy,
///         client: &ClientKey,
///         _: NetworkPrefix,
///         now: Duration,
///     ) -> Result<Quota, WindowError> {
///         Ok(self.add(policy, client, now, 0)?.1)
///     }
/// }
///
/// let shared = Shared::default();
/// let policy = Policy::new("default", 1, Duration::from_secs(60));
/// let (client, network) = (ClientKey::User("ada".into()), NetworkPrefix::of(None));
/// let now = Duration::from_secs(70);
/// assert!(matches!(shared.check(&policy, &client, network, now)?, Admission::Admitted(_)));
/// assert!(matches!(shared.check(&policy, &client, network, now)?, Admission::Over(_)));
/// let quota = shared.look(&policy, &client, network, now)?;
/// assert_eq!(quota, Quota::new(1, 0, Duration::from_secs(50)));
///
/// let runtime = GateRuntime::default().window(Arc::new(shared));
/// # let _ = runtime;
/// # Ok::<(), WindowError>(())
/// ```
pub trait SharedWindow: Debug + Send + Sync {
    /// Checks one request against the limit and, if it is admitted, logs it. The quota of a
    /// request over the limit says after which time a repetition is admitted; clients are sent that
    /// time in whole seconds, rounded up, and at least one.
    ///
    /// # Errors
    /// [`WindowError`], if the window cannot be reached now.
    fn check(
        &self,
        policy: &Policy,
        client: &ClientKey,
        prefix: NetworkPrefix,
        now: Duration,
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
        now: Duration,
    ) -> Result<Quota, WindowError>;
}

/// The host's window, if there is one, and whether it could be reached the last time.
#[derive(Debug)]
pub(in crate::gate) struct HostWindow {
    window: Option<Arc<dyn SharedWindow>>,
    failing: AtomicBool,
}

impl HostWindow {
    pub(in crate::gate) fn new(window: Option<Arc<dyn SharedWindow>>) -> Self {
        Self { window, failing: AtomicBool::new(false) }
    }

    /// Returns whether it could not be reached the last time.
    pub(in crate::gate) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Checks one request against the limit; `None` if there is no window outside the process.
    pub(in crate::gate) fn check(
        &self,
        policy: &Policy,
        client: &ClientKey,
        prefix: NetworkPrefix,
        now_ms: u64,
    ) -> Option<Result<Admission, WindowError>> {
        let window = self.window.as_ref()?;
        let outcome = consulted(|| window.check(policy, client, prefix, Duration::from_millis(now_ms)));
        self.failing.store(outcome.is_err(), Ordering::Relaxed);
        Some(outcome)
    }

    /// Returns the client's quota; `None` if there is no such window, or it cannot be reached.
    pub(in crate::gate) fn look(
        &self,
        policy: &Policy,
        client: &ClientKey,
        prefix: NetworkPrefix,
        now_ms: u64,
    ) -> Option<Quota> {
        let window = self.window.as_ref()?;
        consulted(|| window.look(policy, client, prefix, Duration::from_millis(now_ms))).ok()
    }
}

/// Asks the host's window. A panic counts as an error.
fn consulted<T>(ask: impl FnOnce() -> Result<T, WindowError>) -> Result<T, WindowError> {
    contained(ask).unwrap_or_else(|_| Err(WindowError::new("it panicked")))
}
