//! The background thread: it does rounds of sweeps and upkeep. A round that panics is reported, and
//! after a pause the next one tries again.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::guard::contained;

use super::config::ConfigBuilder;
use super::core::Core;
use super::upkeep::SWEEP_EVERY_MS;

impl ConfigBuilder {
    /// Whether a thread of the engine keeps units ready, assembles trees and sweeps about once a
    /// second; default true. Without it, call [`upkeep`](super::PouwEngine::upkeep) and
    /// [`sweep`](super::PouwEngine::sweep).
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }
}

/// Starts the background thread; it ends when the engine closes.
pub(super) fn start(core: Arc<Core>, wake: Receiver<()>) -> std::io::Result<std::thread::JoinHandle<()>> {
    // Not on the thread: time that passes until it runs counts.
    let swept_ms = core.now_ms();
    std::thread::Builder::new().name("pouw-upkeep".into()).spawn(move || {
        let Some(pulse) = &core.upkeep_pulse else {
            return;
        };
        let _running = pulse.while_running();
        let mut background = Background { core: &core, swept_ms, behind: true, failed: false };
        let mut rest = Rest::default();
        loop {
            // After a quiet moment the deferred work is done. Then only sweeps are due until
            // another wake.
            let woken = match wake.recv_timeout(if background.behind { QUIET } else { SWEEP_LOOK }) {
                Ok(()) => true,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let round = contained(|| {
                pulse.busy(core.now_ms());
                if !core.takes_no_writes() && rest.is_over(core.now_ms()) {
                    background.round(woken);
                    rest.end();
                }
                pulse.idle(core.now_ms());
            });
            if let Err(panicked) = round {
                rest.begin(core.now_ms());
                core.survived(pulse, panicked);
            }
            if core.stopping() {
                return;
            }
        }
    })
}

/// The state of the background thread between two rounds.
struct Background<'c> {
    core: &'c Core,
    swept_ms: u64,
    behind: bool,
    failed: bool,
}

impl Background<'_> {
    fn round(&mut self, woken: bool) {
        // Also if it panics: the round was due, and the next one is another.
        let behind = std::mem::replace(&mut self.behind, woken);
        let swept = self.core.sweep_if_due(&mut self.swept_ms);
        // Upkeep that failed is tried again after the next sweep.
        if woken || behind || (swept && self.failed) {
            self.failed = true;
            self.failed = !self.core.catch_up(!woken, &mut self.swept_ms);
        }
    }
}

/// The pause after a round that panicked. It doubles while further rounds do.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Engine time at which it ends.
    until_ms: u64,
    last_ms: u64,
}

impl Rest {
    pub(super) fn begin(&mut self, now_ms: u64) {
        self.last_ms = (self.last_ms * 2).clamp(SWEEP_EVERY_MS, REST_MAX_MS);
        self.until_ms = now_ms.saturating_add(self.last_ms);
    }

    pub(super) fn is_over(&self, now_ms: u64) -> bool {
        now_ms >= self.until_ms
    }

    pub(super) fn end(&mut self) {
        self.last_ms = 0;
    }
}

/// Longest pause after rounds that panicked.
const REST_MAX_MS: u64 = 60_000;
/// A pause without a wake counts as a quiet moment.
const QUIET: Duration = Duration::from_millis(300);
/// How often an idle thread checks whether a sweep is due.
const SWEEP_LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_that_panic_in_a_row_are_further_and_further_apart_up_to_a_minute() {
        let mut rest = Rest::default();
        assert!(rest.is_over(0));
        let mut now_ms = 5;
        for pause_ms in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            rest.begin(now_ms);
            assert!(!rest.is_over(now_ms + pause_ms - 1) && rest.is_over(now_ms + pause_ms), "{pause_ms}");
            now_ms += pause_ms;
        }
        rest.end();
        rest.begin(now_ms);
        assert!(rest.is_over(now_ms + 1_000));
    }
}
