//! Reports of the client: text and a progress bar on stderr, numbers for the document.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::{HumanCount, ProgressBar};
use pouw::client::{Accepted, Offer, Pause, Report};
use serde_json::{Value, json};

use crate::output::{Output, complain};
use crate::words::count;

/// Shared with the thread that hashes.
#[derive(Debug, Clone)]
pub struct Reporter(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    out: Output,
    bar: ProgressBar,
    hashes: u64,
    waited_ms: u64,
    accepted: Option<Accepted>,
}

const TEMPLATE: &str = "{bar:32} {pos}/{len} hashes {msg}";

impl Reporter {
    pub fn new(json: bool) -> Self {
        let (out, bar) = (Output::new(json), ProgressBar::hidden());
        Self(Arc::new(Mutex::new(State { out, bar, hashes: 0, waited_ms: 0, accepted: None })))
    }

    pub fn report(&self, report: Report<'_>) {
        let mut state = self.state();
        match report {
            Report::Challenge(offer) => state.challenge(offer),
            Report::Hashed(progress) => {
                state.bar.set_position(progress.done);
                if progress.done == progress.total {
                    state.hashes += progress.total;
                }
            }
            Report::Waiting { time, pause } => {
                let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                state.waited_ms = state.waited_ms.saturating_add(ms);
                state.wait(ms, pause);
            }
            Report::Accepted(accepted) => state.accepted(*accepted),
            _ => {}
        }
    }

    /// Removes the bar from the screen.
    pub fn finish(&self) {
        self.state().bar.finish_and_clear();
    }

    /// Returns the document without the body or the error.
    pub fn document(&self, status: Option<u16>) -> Value {
        let state = self.state();
        json!({
            "status": status,
            "accepted": state.accepted.is_some(),
            "workUnitId": state.accepted.map(|accepted| accepted.receipt.to_string()),
            "microJoules": state.accepted.and_then(|accepted| accepted.award),
            "hashes": state.hashes,
            "waitedMs": state.waited_ms,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic of another thread cannot leave numbers or a bar half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn challenge(&mut self, offer: &Offer) {
        self.bar.finish_and_clear();
        complain(&format!(
            "over the limit; the server requires {} over {} of {} work and a wait of {} ms",
            count(offer.hashes, "hash", "hashes"),
            count(offer.bytes, "byte", "bytes"),
            if offer.synthetic { "made-up" } else { "real" },
            HumanCount(u64::try_from(offer.wait.as_millis()).unwrap_or(u64::MAX)),
        ));
        self.bar = self.out.progress(Some(offer.hashes), TEMPLATE);
    }

    fn wait(&mut self, ms: u64, pause: Pause) {
        let ms = HumanCount(ms);
        match pause {
            Pause::Floor => self.bar.set_message(format!("done, waiting {ms} ms")),
            Pause::SameAnswer => self.say(&format!("the answer was not accepted yet; sending it again in {ms} ms")),
            Pause::Limited => self.say(&format!("over the limit and no work is offered; waiting {ms} ms")),
            _ => {}
        }
    }

    fn accepted(&mut self, accepted: Accepted) {
        self.bar.finish_and_clear();
        let award = accepted.award.map_or_else(String::new, |award| format!("; it earned {award} uJ"));
        complain(&format!("the work was accepted{award}; receipt {}", accepted.receipt));
        self.accepted = Some(accepted);
    }

    fn say(&self, what: &str) {
        self.bar.suspend(|| complain(what));
    }
}
