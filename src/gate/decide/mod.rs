//! Decisions: on a request without a token by its window, on one with a token by its answer.

mod again;
mod answer;
pub(super) mod body;
pub(super) mod breaker;
mod challenge;
pub(super) mod drain;
mod pass;
pub(super) mod pending;
pub(super) mod self_checks;
pub(super) mod step;
pub(super) mod threads;
mod token;
mod window;
