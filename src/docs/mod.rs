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
//! A guide is present if the features that it uses are enabled; docs.rs shows all of them.
// Without all features, some links of this page and of the guides have no target.
#![cfg_attr(not(feature = "serve"), allow(rustdoc::broken_intra_doc_links))]

/// Where the guides' links lead in this documentation. The guides themselves name files, for
/// readers of the repository; of two definitions of a link the first is used.
macro_rules! guides {
    () => {
        concat!(
            "[block_store]: crate::docs::block_store\n",
            "[browser_client]: crate::docs::browser_client\n",
            "[cli]: crate::docs::cli\n",
            "[configuration]: crate::docs::configuration\n",
            "[deployment]: crate::docs::deployment\n",
            "[design]: crate::docs::design\n",
            "[from_the_paper]: crate::docs::from_the_paper\n",
            "[from_tower_governor]: crate::docs::from_tower_governor\n",
            "[operator]: crate::docs::operator\n",
            "[testing]: crate::docs::testing\n",
            "[verification]: crate::docs::verification\n",
            "[web_service]: crate::docs::web_service\n",
            "[protocol]: crate::protocol\n\n",
        )
    };
}

#[doc = guides!()]
#[doc = include_str!("design.md")]
pub mod design {}

#[doc = guides!()]
#[doc = include_str!("verification.md")]
pub mod verification {}

#[doc = guides!()]
#[doc = include_str!("cli.md")]
pub mod cli {}

#[doc = guides!()]
#[doc = include_str!("block_store.md")]
///
/// In the reference: [`PouwEngine`](crate::PouwEngine), [`IngestOptions`](crate::IngestOptions),
/// [`ExportPolicy`](crate::ExportPolicy), [`Strategy`](crate::Strategy).
pub mod block_store {}

#[cfg(feature = "gate")]
#[doc = guides!()]
#[doc = include_str!("deployment.md")]
///
/// In the reference: [`GateConfig`](crate::GateConfig), [`SharedWindow`](crate::SharedWindow),
/// [`protocol::header::EXPOSED`](crate::protocol::header::EXPOSED).
pub mod deployment {}

#[cfg(feature = "gate")]
#[doc = guides!()]
#[doc = include_str!("configuration.md")]
///
/// In the reference: [`settings`](crate::settings), [`Config`](crate::Config),
/// [`GateConfig`](crate::GateConfig).
pub mod configuration {}

#[cfg(feature = "serve")]
#[doc = guides!()]
#[doc = include_str!("operator.md")]
pub mod operator {}

#[cfg(all(feature = "actix", feature = "client", feature = "serve"))]
#[doc = guides!()]
#[doc = include_str!("web_service.md")]
///
/// In the reference: [`PouwEngine`](crate::PouwEngine), [`Gate`](crate::Gate),
/// [`GateConfig`](crate::GateConfig), [`Head`](crate::Head), [`PeerAddr`](crate::PeerAddr),
/// [`AuthenticatedUser`](crate::AuthenticatedUser), [`ValidatedApiKey`](crate::ValidatedApiKey),
/// [`tower`](crate::tower), [`actix`](crate::actix), [`client`](crate::client).
pub mod web_service {}

#[cfg(all(feature = "page", feature = "tower"))]
#[doc = guides!()]
#[doc = include_str!("browser_client.md")]
///
/// In the reference: [`page`](crate::page), [`protocol::header`](crate::protocol::header).
pub mod browser_client {}

#[cfg(all(feature = "client", feature = "tower"))]
#[doc = guides!()]
#[doc = include_str!("testing.md")]
///
/// In the reference: [`Clock`](crate::Clock), [`FakeClock`](crate::FakeClock),
/// [`Gate::on_request`](crate::Gate::on_request), [`client::Exchange`](crate::client::Exchange),
/// [`PeerAddr`](crate::PeerAddr).
pub mod testing {}

#[cfg(all(feature = "gate", any(feature = "actix", feature = "tower")))]
#[doc = guides!()]
#[doc = include_str!("from_tower_governor.md")]
pub mod from_tower_governor {}

#[cfg(all(feature = "gate", any(feature = "actix", feature = "tower")))]
#[doc = guides!()]
#[doc = include_str!("from_the_paper.md")]
///
/// In the reference: [`Gate`](crate::Gate), [`GateRuntime`](crate::GateRuntime),
/// [`PouwEngine`](crate::PouwEngine), [`Config`](crate::Config), [`GateConfig`](crate::GateConfig),
/// [`merkle`](crate::merkle).
pub mod from_the_paper {}
