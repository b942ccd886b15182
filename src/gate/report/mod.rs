//! Reports to the operator: counters, metrics, health.

pub(super) mod health;
mod metrics;
pub(super) mod stats;
mod usefulness;
