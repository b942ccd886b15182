//! Calls of code that may panic: the host's own callbacks, and redb on a damaged page.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Returns the result of `call`.
///
/// # Errors
/// [`Panicked`], if it panics.
pub(crate) fn contained<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    // The values that `call` works on are dropped with the panic, or belong to the host.
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let panicked = Panicked(message(&*panic));
        // The payload of a panic may itself panic when it is dropped.
        std::mem::forget(panic);
        panicked
    })
}

/// A call that panicked, with the message of the panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Panicked(pub(crate) String);

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct PanicsOnDrop;

    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    #[test]
    fn a_panic_becomes_an_error_with_its_message() {
        assert_eq!(contained(|| 7), Ok(7));
        assert_eq!(contained(|| panic!("plain")), Err::<(), _>(Panicked("plain".into())));
        assert_eq!(contained(|| panic!("with {}", 1)), Err::<(), _>(Panicked("with 1".into())));
    }

    #[test]
    fn a_payload_that_panics_when_it_is_dropped_is_not_dropped() {
        let payload = || std::panic::panic_any(PanicsOnDrop);
        assert_eq!(contained(payload), Err::<(), _>(Panicked("no reason given".into())));
    }
}
