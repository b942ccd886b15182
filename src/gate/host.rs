//! Calls of the host's own code, which may panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `call` returns; `None` if it panics.
pub(super) fn contained<T>(call: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(value) => Some(value),
        Err(panic) => {
            // What the panic carries may panic when it is dropped.
            std::mem::forget(panic);
            None
        }
    }
}
