//! The embedded engine.
pub mod ingest;
