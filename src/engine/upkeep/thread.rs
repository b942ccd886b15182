//! What is known of the background thread.

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::engine::pulse::Pulse;

#[derive(Debug)]
pub(in crate::engine) struct UpkeepThread {
    /// `None` if there is no such thread.
    pub(in crate::engine) pulse: Option<Pulse>,
    wakes: Sender<()>,
}

impl UpkeepThread {
    /// With what wakes the thread.
    pub(in crate::engine) fn new(runs: bool, now_ms: u64) -> (Self, Receiver<()>) {
        let (wakes, woken) = bounded(1);
        (Self { pulse: runs.then(|| Pulse::new("pouw-upkeep", now_ms)), wakes }, woken)
    }

    /// Wakes the background thread, if there is one.
    pub(in crate::engine) fn wake(&self) {
        match self.wakes.try_send(()) {
            // A full channel: an earlier wake has not been handled yet.
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }
}
