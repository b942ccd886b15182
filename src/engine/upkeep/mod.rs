//! Upkeep: the work beside requests. It keeps the ready ring full, folds and validates finished
//! trees, and removes rows that are no longer needed. It runs on a thread of its own, or the host
//! calls it.

pub(super) mod background;
pub(super) mod chores;
pub(super) mod failures;
pub(super) mod prune;
pub(super) mod report;
pub(super) mod rest;
pub(super) mod round;
pub(super) mod search;
mod sweep;
#[cfg(test)]
mod tests;
pub(super) mod thread;
