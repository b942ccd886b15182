//! Guides and long documents.
//!
//! Guides, by what you want to do:
//!
//! * [`web_service`]: put the gate in front of an API, with axum, hyper, actix-web or no framework;
//! * [`browser_client`]: get a page's requests through the limit, and what visitors see;
//! * [`testing`]: test a service with the fake clock;
//! * [`operator`]: run `pouw serve`, without writing Rust;
//! * [`block_store`]: hash files and blocks, export trees, prove leaves;
//! * [`cli`]: the command `pouw`, all its commands, their output and exit codes;
//! * [`deployment`]: proxies, limits, metrics, and what to say to users;
//! * [`configuration`]: every key of a configuration file, with its default and its effect;
//! * [`from_tower_governor`] and [`from_the_paper`]: replace another limiter.
//!
//! Reference:
//!
//! * [`design`]: how the engine is built, its promises, its bounds, and why;
//! * [`verification`]: how hashes from clients are verified, who can get a wrong one in, with what
//!   probability, and what to expect of each attack;
//! * [`protocol`](crate::protocol): the wire protocol.
//!
//! A guide is here when the features that it shows are on; docs.rs has them all.
// Without all features, some links of this page and of the guides have no target.
#![cfg_attr(not(feature = "serve"), allow(rustdoc::broken_intra_doc_links))]

#[doc = include_str!("design.md")]
pub mod design {}

#[doc = include_str!("verification.md")]
pub mod verification {}

#[doc = include_str!("cli.md")]
pub mod cli {}

#[doc = include_str!("block_store.md")]
pub mod block_store {}

#[cfg(feature = "gate")]
#[doc = include_str!("deployment.md")]
pub mod deployment {}

#[cfg(feature = "gate")]
#[doc = include_str!("configuration.md")]
pub mod configuration {}

#[cfg(feature = "serve")]
#[doc = include_str!("operator.md")]
pub mod operator {}

#[cfg(all(feature = "actix", feature = "client", feature = "serve"))]
#[doc = include_str!("web_service.md")]
pub mod web_service {}

#[cfg(all(feature = "page", feature = "tower"))]
#[doc = include_str!("browser_client.md")]
pub mod browser_client {}

#[cfg(all(feature = "client", feature = "tower"))]
#[doc = include_str!("testing.md")]
pub mod testing {}

#[cfg(all(feature = "gate", any(feature = "actix", feature = "tower")))]
#[doc = include_str!("from_tower_governor.md")]
pub mod from_tower_governor {}

#[cfg(all(feature = "gate", any(feature = "actix", feature = "tower")))]
#[doc = include_str!("from_the_paper.md")]
pub mod from_the_paper {}
