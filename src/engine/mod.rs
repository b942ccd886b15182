//! The engine: a real backlog goes in, crash-safe Merkle trees come out.
//!
//! **Guarantee.** A call reports success only after the commit that holds its effects is durable.
//! Each token takes effect at most once, no leaf is lost or credited twice, and a tree exports only
//! when it is complete and every parent fits its children.
//!
//! **After a crash**, at any point, [`PouwEngine::open`] finds everything acknowledged. Leases are
//! gone; a token from before the crash is honoured if none of its work was done or issued again
//! meanwhile.
//!
//! ```text
//! ingest -> pending leaves -> ready ring -> issue -> (client) -> submit -> commit -> done leaves
//!                 ^                           |                                          |
//!                 +----- expiry, refusal -----+            last leaf: fold, validate, export
//! ```

mod answers;
mod backlog;
mod backup;
mod check;
mod checked;
mod clients;
mod clock;
mod config;
mod core;
mod error;
mod event;
mod events;
mod findings;
mod for_gate;
mod handle;
pub mod ingest;
mod issue;
mod keys;
mod ledger;
mod locks;
#[cfg(feature = "testing")]
mod mistake;
mod open;
mod pulse;
mod read_only;
mod refused;
mod repeats;
mod request;
mod runtime;
mod scrub;
mod stats;
mod tallies;
#[cfg(feature = "testing")]
pub mod testing;
mod tree_id;
mod trees;
mod turns;
mod upkeep;
mod work;
mod writer;

pub use crate::store::{BackupProgress, OnBackup};
pub use crate::store::{CheckFinding, CheckPhase, CheckProgress, CheckReport, MendReport, MendStep};

pub use answers::token::Inspected;
pub use backup::{BackupError, BackupReport, CopyOf};
pub use checked::ConfigError;
#[cfg(feature = "gate")]
pub(crate) use checked::{Bounded, MS_MAX, POSITIVE, check as check_setting, check_time, settings, whole_ms};
pub use clients::response_times::ResponseTimes;
pub use clock::{Clock, FakeClock, SystemClock};
pub use config::{AwardBasis, Config, ConfigBuilder};
pub use error::{DebitError, IssueError, OpenError, SubmitError, TreeError, WriteError};
pub use event::{Event, EventSink};
pub use for_gate::{ForGate, for_gate};
pub use handle::PouwEngine;
pub use ledger::{Debit, LedgerEntry, Receipt, WorkProof};
pub use pulse::ThreadStats;
#[cfg(feature = "gate")]
pub(crate) use request::Asked;
pub use request::{Accepted, Answer, IssueRequest, Issued};
pub use runtime::Runtime;
pub use scrub::{
    OnScrub, SCRUB_FINDINGS_SHOWN, ScrubBudget, ScrubError, ScrubFinding, ScrubPosition, ScrubReport, ScrubStats,
};
pub use stats::{BlockedTree, FileBytes, Stats};
pub use tree_id::TreeId;
pub use trees::assure::{OnVerify, VerifyProgress};
pub use trees::export::{ExportReport, NodeSink};
pub use trees::export_policy::{ExportPolicy, UnknownPolicy};
pub use trees::info::TreeInfo;
pub use trees::progress::TreeProgress;
pub use trees::provenance::{DamageCursor, DamagedBlock, Provenance, Provenances};
pub use trees::quorums::OpenQuorums;
pub use upkeep::report::{SweepReport, UpkeepError, UpkeepReport};

#[cfg(feature = "gate")]
pub(crate) use for_gate::Reporter;
#[cfg(feature = "gate")]
pub(crate) use pulse::Pulse;
#[cfg(feature = "gate")]
pub(crate) use tallies::bump;
