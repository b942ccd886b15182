//! Proof of useful work as a rate limiting layer.
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod hash;
pub mod merkle;
#[cfg(feature = "solver")]
pub mod protocol;
#[cfg(feature = "solver")]
pub mod solver;
