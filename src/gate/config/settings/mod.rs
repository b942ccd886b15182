//! Configuration from a file: one document for the engine and the gate, in any format of serde.
//!
//! **Guarantee.** Every setting of [`Config`](crate::Config) and [`GateConfig`](crate::GateConfig)
//! that an operator may change is a key here, under the builder's name, and every key changes its
//! setting. A missing key has the builder's default, and the builder checks every value.
//!
//! Left out on purpose: settings that only a program can give (a function that identifies clients,
//! whether the engine has a thread of its own) and `accept_clock_ahead`, which is for a single
//! start after a person has checked the clock. Both builders have a `waiting_answers_max`; the
//! engine's is `waiting_commits_max` here.
//!
//! ```
//! use pouw::{Config, GateConfig};
//! use pouw::settings::Settings;
//!
//! let text = r#"{ "rate_limit": 20, "floor_ms": [1000, 2000, 3000], "trusted_proxies": ["10.0.0.0/8"] }"#;
//! let settings: Settings = serde_json::from_str(text)?;
//! assert!(settings.problems().is_empty());
//! let engine = settings.engine(Config::builder([7; 32])).build()?;
//! let gate = settings.gate(GateConfig::builder()).build()?;
//! assert_eq!(engine.floor(pouw::protocol::DifficultyTier::High), std::time::Duration::from_secs(3));
//! # let _ = gate;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod apply;
mod effective;
mod keys;
mod problems;
mod risks;
mod values;
mod words;

pub use keys::{KEYS, Key, Settings};
pub use problems::Problem;
pub use risks::{Risk, Weight};
pub use words::{Bought, ClientIdentifier, ProxyNetwork, RouteOverride};
