//! How long tests wait for something that another thread does.

use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine. A test that reaches it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until it holds.
pub fn until(mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "it did not happen within {PATIENCE:?}");
        std::thread::yield_now();
    }
}

/// Makes a call on a thread of its own, and fails if it does not end.
pub fn ended<T: Send + 'static>(what: &str, call: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(call()));
    receiver.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{what} did not end"))
}
