#![cfg_attr(feature = "axum", doc = include_str!("docs/front.md"))]
#![cfg_attr(
    not(feature = "axum"),
    doc = "A rate limiter for Rust web services: clients over their limit do useful work."
)]
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(clippy::missing_errors_doc)]

extern crate alloc;

#[cfg(any(feature = "actix", feature = "tower"))]
mod adapters;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "engine")]
pub mod docs;
#[cfg(feature = "engine")]
mod engine;
#[cfg(feature = "gate")]
mod gate;
#[cfg(feature = "engine")]
mod guard;
pub mod hash;
pub mod merkle;
#[cfg(any(feature = "gate", feature = "page"))]
pub mod page;
#[cfg(feature = "engine")]
mod policy;
#[cfg(feature = "solver")]
pub mod protocol;
#[cfg(feature = "solver")]
pub mod solver;
#[cfg(feature = "engine")]
mod store;

#[cfg(feature = "actix")]
pub use adapters::actix;
#[cfg(feature = "tower")]
pub use adapters::tower;
#[cfg(any(feature = "actix", feature = "tower"))]
pub use adapters::{AuthenticatedUser, PeerAddr, ValidatedApiKey};
#[cfg(feature = "engine")]
pub use engine::ingest::{
    BLOCK_SIZE_MAX, BLOCK_SIZE_MIN, INGEST_PROBLEMS_SHOWN, IngestError, IngestLayout, IngestOptions, IngestProblem,
    IngestProgress, IngestReport, Ingested, OnIngest, TREE_NAME_LEN_MAX, walk::SourceFile, walk::WalkError,
};
#[cfg(feature = "engine")]
pub use engine::{
    Accepted, Answer, AwardBasis, BackupError, BackupReport, BlockedTree, Clock, Config, ConfigBuilder, ConfigError,
    CopyOf, DamageCursor, DamagedBlock, Debit, DebitError, Event, EventSink, ExportPolicy, ExportReport, FakeClock,
    FileBytes, IssueError, IssueRequest, Issued, LedgerEntry, NodeSink, OnScrub, OnVerify, OpenError, OpenQuorums,
    PouwEngine, Provenance, Provenances, Receipt, ResponseTimes, Runtime, SCRUB_FINDINGS_SHOWN, ScrubBudget,
    ScrubError, ScrubFinding, ScrubPosition, ScrubReport, ScrubStats, Stats, SubmitError, SweepReport, SystemClock,
    ThreadStats, TreeError, TreeId, TreeInfo, TreeProgress, UnknownPolicy, UpkeepError, UpkeepReport, VerifyProgress,
    WorkProof, WriteError,
};
#[cfg(feature = "gate")]
pub use gate::{
    AcceptedWork, Admission, AnswerBuys, BodyRead, Caller, ClientKey, Decision, Drain, FallbackBehavior, Flight, Gate,
    GateConfig, GateConfigBuilder, GateError, GateEvent, GateEventSink, GateRuntime, GateStats, Head, Headers, Health,
    HealthCondition, IdentifierStrategy, NeedsBody, NetworkPrefix, PartHealth, Pass, Pending, Policy, RateLimitDraft,
    Refusal, ResponseCheck, SelfCheck, SharedWindow, Step, Verdict, WindowError, settings,
};
#[cfg(feature = "gate")]
pub use policy::window::Quota;
#[cfg(feature = "engine")]
pub use store::rows::{
    DataPlace, EntryKind, Exposure, HashReason, HashWork, StoreTotals, Strategy, StrategyAccount, TreeState,
    UnknownStrategy, UsefulnessAccount,
};
#[cfg(feature = "engine")]
pub use store::{
    BackupProgress, CHECK_FINDINGS_SHOWN, CheckFinding, CheckPhase, CheckProgress, CheckReport, MendReport, MendStep,
    OnBackup, OnCheck, StorageBackend, StorageProvider, StoreDirectory, StoreError, StoreFile, StoreOptions,
};

/// The inner parts, for the package's own tests, benchmarks and fuzz targets. They are not part of
/// the interface: they change without notice.
#[cfg(feature = "engine")]
#[doc(hidden)]
pub mod internal {
    pub mod engine {
        pub use crate::engine::*;
    }
    #[cfg(feature = "gate")]
    pub mod gate {
        pub use crate::gate::*;
    }
    pub mod policy {
        pub use crate::policy::*;
    }
    pub mod store {
        pub use crate::store::*;
    }
}

/// The README's examples are compiled with the documentation tests.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../README.md")]
struct Readme;
