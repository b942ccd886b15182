//! The background thread: it does rounds of sweeps and upkeep. A round that panics is reported, and
//! after a pause the next one tries again.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::guard::contained;

use super::rest::Rest;
use crate::engine::config::ConfigBuilder;
use crate::engine::core::Core;
use crate::engine::upkeep::round;

impl ConfigBuilder {
    /// Whether a thread of the engine keeps units ready, assembles trees and sweeps about once a
    /// second; default true. Without it, call [`upkeep`](crate::engine::PouwEngine::upkeep) and
    /// [`sweep`](crate::engine::PouwEngine::sweep).
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }
}

/// Starts the background thread; it ends when the engine closes.
pub(in crate::engine) fn start(core: Arc<Core>, wake: Receiver<()>) -> std::io::Result<std::thread::JoinHandle<()>> {
    // Not on the thread: time that passes until it runs counts.
    let swept_ms = core.time.now_ms();
    std::thread::Builder::new().name("pouw-upkeep".into()).spawn(move || {
        let Some(pulse) = &core.background.pulse else {
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
                pulse.busy(core.time.now_ms());
                if !core.writer.takes_no_writes() && rest.is_over(core.time.now_ms()) {
                    background.round(woken);
                    rest.end();
                }
                pulse.idle(core.time.now_ms());
            });
            if let Err(panicked) = round {
                rest.begin(core.time.now_ms());
                core.events.survived(pulse, core.time.now_ms(), panicked);
            }
            if core.writer.is_closing() {
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
        let swept = round::sweep_if_due(self.core, &mut self.swept_ms);
        // Upkeep that failed is tried again after the next sweep.
        if woken || behind || (swept && self.failed) {
            self.failed = true;
            self.failed = !round::catch_up(self.core, !woken, &mut self.swept_ms);
        }
    }
}

/// A pause without a wake counts as a quiet moment.
const QUIET: Duration = Duration::from_millis(300);
/// How often an idle thread checks whether a sweep is due.
const SWEEP_LOOK: Duration = Duration::from_secs(1);
