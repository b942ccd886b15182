//! Long documents.
//!
//! * [`design`] how the engine is built, what it promises, what bounds it, and why;
//! * [`verification`] how hashes from clients are verified, who can get a wrong one in and with what probability, and what
//!   to expect of each attack;
//! * `deployment` (feature `gate`) the gate in front of a service: proxies, limits, what to watch, what to tell users;
//! * `configuration` (feature `gate`) every key of a configuration file, with its default and what it does;
//! * `from_tower_governor` and `from_the_paper` (an adapter's feature) for those who have another limiter in place;
//! * [`cli`] the command `pouw`: all its commands, their output and exit codes;
//! * the wire protocol stands in [`protocol`](crate::protocol).

#[doc = include_str!("design.md")]
pub mod design {}

#[doc = include_str!("verification.md")]
pub mod verification {}

#[doc = include_str!("cli.md")]
pub mod cli {}

#[cfg(feature = "gate")]
#[doc = include_str!("deployment.md")]
pub mod deployment {}

#[cfg(feature = "gate")]
#[doc = include_str!("configuration.md")]
pub mod configuration {}

#[cfg(all(feature = "gate", any(feature = "actix", feature = "tower")))]
#[doc = include_str!("from_tower_governor.md")]
pub mod from_tower_governor {}

#[cfg(all(feature = "gate", any(feature = "actix", feature = "tower")))]
#[doc = include_str!("from_the_paper.md")]
pub mod from_the_paper {}
