//! The integration tests: one binary, so that the crate is linked once.
//!
//! Tests that start this program again or draw statistics are in `tests/slow`; those that need the
//! built command are in `tests/cli`.

mod client;
mod engine;
mod gate;
mod http;
mod ingest;
mod model;
mod policy;
mod properties;
mod protocol;
mod store;
mod support;
