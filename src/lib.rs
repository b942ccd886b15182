//! Proof of useful work as a rate limiting layer.
//!
//! Folders are layers, and imports only point down:
//!
//! ```text
//!  rank 5   adapters/{tower,actix}   bin/pouw        shells: no decisions, no clock reads, no redb
//!               |                       |
//!  rank 4   gate ------------------------            HTTP words, framework-neutral: request facts -> Decision
//!               |                       |
//!  rank 3   engine                                   PouwEngine: one verb per file, one transaction per verb
//!               |
//!  rank 2   store                    client           the only folder that names redb | a 429 with work, answered
//!               |
//!  rank 1   policy               solver              pure state machines | a unit, computed (no_std + alloc, also wasm32)
//!               |                   |
//!  rank 0   hash   merkle   protocol                 no_std + alloc: bytes and geometry both sides agree on
//!           page                                     files of the browser client, embedded
//! ```
//!
//! `tests/tidy.rs` reads every `crate::` path and fails on one that points up.
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;

#[cfg(any(feature = "actix", feature = "tower"))]
pub mod adapters;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "engine")]
pub mod docs;
#[cfg(feature = "engine")]
pub mod engine;
#[cfg(feature = "gate")]
pub mod gate;
pub mod hash;
pub mod merkle;
#[cfg(any(feature = "gate", feature = "page"))]
pub mod page;
#[cfg(feature = "engine")]
pub mod policy;
#[cfg(feature = "solver")]
pub mod protocol;
#[cfg(feature = "solver")]
pub mod solver;
#[cfg(feature = "engine")]
pub mod store;

/// The README's examples are compiled with the documentation tests.
#[cfg(all(doctest, feature = "engine"))]
#[doc = include_str!("../README.md")]
struct Readme;
