//! The next step of an adapter for a request.

use super::decision::Decision;
use super::needs_body::NeedsBody;
use super::pending::Pending;

/// The next step for a request whose head has been read.
///
/// Complete on purpose: a server has to act on every step, so a new one is a breaking change.
#[derive(Debug)]
#[must_use]
pub enum Step {
    /// The route is exempt, or the request is a CORS preflight: let it through and add nothing.
    Exempt,
    /// The decision is made.
    Decided(Decision),
    /// The request presents a token, so the decision needs the store: wait for it, or have it
    /// called back.
    Judge(Pending),
    /// The body may hold a result: buffer it as [`NeedsBody`] asks. If the request is let through,
    /// the body goes on to the service byte for byte.
    Body(NeedsBody),
}

/// The gate's view of a request when nothing more has to be read of it.
#[derive(Debug)]
#[must_use]
pub enum Verdict {
    /// The decision is made.
    Decided(Decision),
    /// The request presents a token, so the decision needs the store: wait for it, or have it
    /// called back.
    Judge(Pending),
}

impl Verdict {
    /// Returns the decision; waits for the store if it needs it. See [`Pending::wait`].
    pub fn wait(self) -> Decision {
        match self {
            Self::Decided(decision) => decision,
            Self::Judge(pending) => pending.wait(),
        }
    }

    /// Calls `done` with the decision: at once if it is made, else as [`Pending::then`] does.
    pub fn then(self, done: impl FnOnce(Decision) + Send + 'static) {
        match self {
            Self::Decided(decision) => done(decision),
            Self::Judge(pending) => pending.then(done),
        }
    }
}
