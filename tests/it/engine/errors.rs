//! Which errors of the engine a caller may answer by calling again, and that no text repeats a prefix.

use std::path::PathBuf;
use std::time::Duration;

use pouw::merkle::{Level, Position};
use pouw::protocol::{ByTier, Malformed, Reason, TokenError};
use pouw::{
    Config, ConfigBuilder, ConfigError, DebitError, GateError, IngestError, IssueError, OpenError, StoreError,
    SubmitError, TreeError, TreeState, UpkeepError, WalkError, WriteError,
};

fn disk_full() -> StoreError {
    StoreError::Io { what: "disk full".into() }
}

fn unconfirmed() -> WriteError {
    WriteError::Unconfirmed { commit_seq: 7, what: "disk full".into() }
}

/// Every variant, with whether the same call can succeed later.
fn submit_errors() -> Vec<(SubmitError, bool)> {
    vec![
        (SubmitError::Token(TokenError::BadMac), false),
        (SubmitError::Expired { late_ms: 1 }, false),
        (SubmitError::OtherStore, false),
        (SubmitError::ClientMismatch, false),
        (SubmitError::PolicyMismatch, false),
        (SubmitError::Replayed, false),
        (SubmitError::Withdrawn, false),
        (SubmitError::TooEarly { wait_ms: 5 }, true),
        (SubmitError::Malformed(Malformed::new("a", "b", "c")), false),
        (SubmitError::WrongResult { what: "resultHash".into() }, false),
        (SubmitError::NotStored("disk full".into()), true),
        (SubmitError::Unconfirmed { commit_seq: 7, what: "disk full".into() }, true),
        (SubmitError::InFlight, true),
        (SubmitError::Busy, true),
        (SubmitError::Closed, false),
        (SubmitError::Store(disk_full()), true),
        (SubmitError::Store(StoreError::Closed), false),
    ]
}

#[test]
fn an_answer_may_be_sent_again_after_exactly_these_errors() {
    for (error, again) in submit_errors() {
        assert_eq!(error.is_retryable(), again, "{error:?}");
    }
}

#[test]
fn a_write_that_failed_keeps_its_meaning_when_it_was_an_answers() {
    let table = [
        (WriteError::Busy, "too many answers are waiting; send it again in a moment"),
        (WriteError::NotStored("disk full".into()), "the answer was not stored: disk full; send it again"),
        (unconfirmed(), "commit 7 may or may not hold the answer: disk full; send it again, a repeat does no harm"),
        (WriteError::Closed, "the engine is closed; open it again"),
    ];
    for (write, text) in table {
        let retryable = write.is_retryable();
        let error = SubmitError::from(write);
        assert_eq!((error.to_string().as_str(), error.is_retryable()), (text, retryable));
        assert_eq!(error.reason(), Reason::TryAgain);
    }
}

#[test]
fn the_other_calls_may_be_repeated_after_exactly_these_errors() {
    let name = || "t".to_owned();
    let incomplete = |state, damaged| TreeError::NotComplete { name: name(), state, pending: 1, leaves: 2, damaged };
    let policy = TreeError::Policy { field: "epsilon", value: "2".into() };
    let at = Position { level: Level(0), index: 0 };
    let trees = [
        (TreeError::Unknown(name()), false),
        (incomplete(TreeState::Active, 0), true),
        (incomplete(TreeState::Active, 1), false),
        (incomplete(TreeState::Inconsistent, 0), false),
        (TreeError::Unverifiable { name: name(), leaves: 1, what: "gone".into() }, false),
        (TreeError::Damaged { name: name(), leaf: 7 }, false),
        (TreeError::Cancelled, true),
        (TreeError::Corrected(name()), true),
        (policy, false),
        (TreeError::Inconsistent { name: name(), at }, false),
        (TreeError::LeafRange { name: name(), leaf: 3, leaves: 2 }, false),
        (TreeError::Sink(std::io::Error::other("full")), false),
        (TreeError::Write(unconfirmed()), true),
        (TreeError::Store(disk_full()), true),
    ];
    trees.iter().for_each(|(error, again)| assert_eq!(error.is_retryable(), *again, "{error:?}"));
    let issues = [
        (IssueError::NoWork, true),
        (IssueError::Crowded(3), true),
        (IssueError::TooBig { bytes_max: 1 }, false),
        (IssueError::Closed, false),
        (IssueError::Random("none".into()), true),
    ];
    issues.iter().for_each(|(error, again)| assert_eq!(error.is_retryable(), *again, "{error:?}"));
    let debits = [
        (DebitError::Insufficient { balance: 1, amount: 2 }, false),
        (DebitError::KeyConflict, false),
        (DebitError::Write(WriteError::Busy), true),
        (DebitError::Write(WriteError::Closed), false),
        (DebitError::Write(WriteError::ReadOnly), false),
    ];
    debits.iter().for_each(|(error, again)| assert_eq!(error.is_retryable(), *again, "{error:?}"));
    let upkeeps = [
        (UpkeepError::Store(disk_full()), true),
        (UpkeepError::Write(WriteError::Closed), false),
        (UpkeepError::Write(WriteError::NotStored("disk full".into())), true),
    ];
    upkeeps.iter().for_each(|(error, again)| assert_eq!(error.is_retryable(), *again, "{error:?}"));
}

#[test]
fn opening_may_be_tried_again_after_exactly_these_errors() {
    let opens = [
        (OpenError::Config(Config::new([7; 31]).unwrap_err()), false),
        (OpenError::Directory { path: "p".into(), what: "read-only".into() }, false),
        (OpenError::Store(StoreError::AlreadyOpen { path: "p".into() }), true),
        (OpenError::Store(disk_full()), true),
        (OpenError::Store(StoreError::Foreign { path: "p".into(), what: "text".into() }), false),
        (OpenError::Store(StoreError::FormatVersion { path: "p".into(), found: 1, expected: 2 }), false),
        (OpenError::Store(StoreError::Corrupted { path: "p".into(), what: "torn".into() }), false),
        (OpenError::Store(StoreError::Contradiction { what: "a row".into() }), false),
        (OpenError::Store(StoreError::NotAPair { blocks: "p".into(), what: "two days".into() }), false),
        (OpenError::Store(StoreError::NotCreated { path: "p".into() }), false),
        (OpenError::Store(StoreError::NoAccess { path: "p".into(), what: "read-only".into() }), false),
        (OpenError::Store(StoreError::ReadOnly), false),
        (OpenError::ClockAhead { wall_ms: 2, high_water_ms: 1 }, false),
        (OpenError::Thread("limit".into()), true),
    ];
    opens.iter().for_each(|(error, again)| assert_eq!(error.is_retryable(), *again, "{error:?}"));
    for (error, again) in opens {
        let error = GateError::from(error);
        assert_eq!(error.is_retryable(), again, "{error:?}");
    }
}

#[test]
fn a_gate_may_be_made_again_after_exactly_these_errors() {
    let limit = std::io::Error::other("limit");
    let table = [
        (GateError::Config(Config::new([7; 31]).unwrap_err()), false),
        (GateError::Open(OpenError::Store(StoreError::AlreadyOpen { path: "p".into() })), true),
        (GateError::Random("none".into()), true),
        (GateError::Thread(limit), true),
    ];
    table.iter().for_each(|(error, again)| assert_eq!(error.is_retryable(), *again, "{error:?}"));
}

#[test]
fn an_ingest_may_be_repeated_after_exactly_these_errors() {
    let (name, path) = (|| "t".to_owned(), || PathBuf::from("p"));
    let no_source = || WalkError::NoSuchSource { path: path() };
    let ingests = [
        (IngestError::Forgotten { name: name() }, false),
        (IngestError::Option { field: "name", value: String::new(), rule: "b" }, false),
        (IngestError::Conflict { name: name() }, false),
        (IngestError::AmbiguousLeaf { name: name(), leaf: 1, len: 128, from: "p".into() }, false),
        (IngestError::Address { path: path() }, false),
        (IngestError::Empty { name: name() }, false),
        (IngestError::Walk(no_source()), false),
        (IngestError::Read { path: path(), what: "denied".into() }, false),
        (IngestError::Cancelled, true),
        (IngestError::Store(disk_full()), true),
        (IngestError::Store(StoreError::Closed), false),
        (IngestError::Write(unconfirmed()), true),
        (IngestError::Write(WriteError::Closed), false),
    ];
    ingests.iter().for_each(|(error, again)| assert_eq!(error.is_retryable(), *again, "{error:?}"));
    let walks = [
        WalkError::Conflict { name: name(), first: path(), second: path() },
        no_source(),
        WalkError::Source { path: path(), source: std::io::Error::other("denied") },
        WalkError::Prefix { len: 5_000 },
    ];
    walks.iter().for_each(|error| assert!(!error.is_retryable(), "{error:?}"));
}

/// Setting, value and rule.
fn parts(error: &ConfigError) -> (&str, &str, &str) {
    (error.field, &error.value, error.rule)
}

#[test]
fn a_time_is_refused_by_setting_value_and_rule_if_it_is_no_whole_milliseconds_or_out_of_bounds() {
    type Change = fn(ConfigBuilder) -> ConfigBuilder;
    const WHOLE: &str = "it must be a whole number of milliseconds";
    let nanos = Duration::from_nanos;
    let odd: [(Change, &str); 7] = [
        (|c| c.token_ttl(Duration::from_nanos(1_000_500_000_001)), "token_ttl"),
        (|c| c.work_unit_max_age(Duration::from_nanos(1_000_500_000_001)), "work_unit_max_age"),
        (|c| c.floor(ByTier { high: Duration::from_nanos(1_000_500_000_001), ..ByTier::default() }), "floor"),
        (|c| c.calibrate_target(Duration::from_secs(1), Duration::from_nanos(1_000_500_000_001)), "calibrate_target"),
        (|c| c.quorum_wait(Duration::from_nanos(1_000_500_000_001)), "quorum_wait"),
        (|c| c.escalation_window(Duration::from_nanos(1_000_500_000_001)), "escalation_window"),
        (|c| c.cool_down(Duration::from_nanos(1_000_500_000_001)), "cool_down"),
    ];
    for (change, field) in odd {
        let error = change(Config::builder([7; 32])).build().unwrap_err();
        assert_eq!(parts(&error), (field, "1000500000001 ns", WHOLE));
    }
    let error = Config::builder([7; 32]).cool_down(nanos(999_999)).build().unwrap_err();
    assert_eq!(error.to_string(), format!("`cool_down` is 999999 ns: {WHOLE}"));
    let longest = Duration::from_millis(u64::MAX);
    let positive = "it must be from 1 ms to 2^64 - 1 ms";
    for (value, shown) in [(Duration::ZERO, "0 ms"), (longest + Duration::from_millis(1), "18446744073709551616 ms")] {
        let found = [
            Config::builder([7; 32]).work_unit_max_age(value).build().unwrap_err(),
            Config::builder([7; 32]).escalation_window(value).build().unwrap_err(),
            Config::builder([7; 32]).cool_down(value).build().unwrap_err(),
        ];
        for (error, field) in found.into_iter().zip(["work_unit_max_age", "escalation_window", "cool_down"]) {
            assert_eq!(parts(&error), (field, shown, positive));
        }
    }
    let bounded: [(Change, &str, &str, &str); 6] = [
        (
            |c| c.token_ttl(Duration::MAX - Duration::from_nanos(999_999_999)),
            "token_ttl",
            "18446744073709551615000 ms",
            "it must be from 1 to 3600 seconds",
        ),
        (|c| c.token_ttl(Duration::from_millis(999)), "token_ttl", "999 ms", "it must be from 1 to 3600 seconds"),
        (
            |c| c.floor(ByTier::all(Duration::from_secs(60))),
            "floor",
            "60000 ms",
            "it must be below the token's lifetime",
        ),
        (
            |c| c.quorum_wait(Duration::from_millis(43_200_001)),
            "quorum_wait",
            "43200001 ms",
            "it must be from 1 ms to 12 hours",
        ),
        (|c| c.quorum_wait(Duration::ZERO), "quorum_wait", "0 ms", "it must be from 1 ms to 12 hours"),
        (
            |c| c.calibrate_target(Duration::ZERO, Duration::from_secs(1)),
            "calibrate_target",
            "0 ms",
            "it must be from 1 ms to 1 hour",
        ),
    ];
    for (change, field, value, rule) in bounded {
        let error = change(Config::builder([7; 32])).build().unwrap_err();
        assert_eq!(parts(&error), (field, value, rule));
    }
    let edges = Config::builder([7; 32]).work_unit_max_age(longest).escalation_window(longest).cool_down(longest);
    let edges = edges.token_ttl(Duration::from_secs(3_600)).floor(ByTier::all(Duration::from_millis(3_599_999)));
    edges.quorum_wait(Duration::from_secs(43_200)).build().unwrap();
}
