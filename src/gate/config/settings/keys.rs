//! Every key: its type, the builder's field that it sets, its unit, rule and meaning. [`Settings`],
//! the table [`KEYS`] and the way from a document to the builders and back are made from the same
//! lines, so they always have the same keys.
//!
//! A new setting is an entry in the table of its builder and one here. Then
//! `.ci/run configuration_update public_api_update` writes the documentation and the listing again.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::engine::{AwardBasis, ConfigBuilder};
use crate::gate::config::builder::GateConfigBuilder;
use crate::gate::config::choices::{FallbackBehavior, RateLimitDraft};
use crate::protocol::DifficultyTier;

use super::values::Value;
use super::words::{Bought, ClientIdentifier, NeverInAFile, ProxyNetwork, RouteOverride};

/// The description of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// The heading it is listed under.
    pub group: &'static str,
    /// The unit of its number; empty if the value is not a number.
    pub unit: &'static str,
    /// The allowed values.
    pub rule: &'static str,
    /// What the setting does, and what happens at its maximum.
    pub meaning: &'static str,
}

/// A field of a builder, with the key that sets it and the unit of that key.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) key: &'static str,
    pub(super) unit: &'static str,
}

/// Makes [`Settings`] and [`KEYS`] from one entry for each key:
///
/// ```text
/// key: Type => engine.field, "unit", "allowed values", "What it does.";
/// ```
///
/// The key sets this field of the engine's builder, or of the gate's after `=> gate.`, as [`Value`]
/// reads it. Without `=>`, `apply.rs` and `effective.rs` have the key by hand. A field of a builder
/// that no key has does not compile until it has one, or is named at the head of the table.
macro_rules! keys {
    (
        engine leaves out { $($(#[$engine_cfg:meta])? $engine_other:ident)* }
        gate by hand { $($gate_other:ident)* }
        $($group:literal: {
            $($name:ident: $type:ty $(=> engine.$engine:ident)? $(=> gate.$gate:ident)?,
                $unit:literal, $rule:literal, $meaning:literal;)*
        })*
    ) => {
        /// Settings as in a configuration file. Each is optional; a missing key has the default.
        ///
        /// Any serde format works. An unknown key is an error. So is a secret: it belongs in a file
        /// of its own, named by `secret_file`.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[non_exhaustive]
        pub struct Settings {
            $($(
                #[doc = $meaning]
                #[doc = concat!("\n\nAllowed: ", $rule, ". Unit: ", $unit, ".")]
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $name: Option<$type>,
            )*)*
            #[serde(skip_serializing)]
            hmac_secret: Option<NeverInAFile>,
            #[serde(skip_serializing)]
            previous_secrets: Option<NeverInAFile>,
        }

        /// All keys, in the order of the documentation.
        pub const KEYS: &[Key] = &[$($(
            Key { name: stringify!($name), group: $group, unit: $unit, rule: $rule, meaning: $meaning },
        )*)*];

        impl Settings {
            /// Returns whether this key is set. False for an unknown key.
            pub fn is_set(&self, name: &str) -> bool {
                match name {
                    $($(stringify!($name) => self.$name.is_some(),)*)*
                    _ => false,
                }
            }

            /// Resets the key to its default; returns whether it was set.
            pub(super) fn forget(&mut self, name: &str) -> bool {
                match name {
                    $($(stringify!($name) => self.$name.take().is_some(),)*)*
                    _ => false,
                }
            }

            /// Passes the keys that are set to the engine's builder.
            pub(super) fn fill_engine(&self, builder: &mut ConfigBuilder) {
                $($($(if let Some(written) = &self.$name {
                    builder.$engine = Value::read(written.clone(), $unit);
                })?)*)*
            }

            /// Passes the keys that are set to the gate's builder.
            pub(super) fn fill_gate(&self, builder: &mut GateConfigBuilder) {
                $($($(if let Some(written) = &self.$name {
                    builder.$gate = Value::read(written.clone(), $unit);
                })?)*)*
            }

            /// Reads the keys back from the engine's builder.
            pub(super) fn take_engine(&mut self, builder: &ConfigBuilder) {
                // Not compiled if a field has no key and is not at the head of the table.
                let ConfigBuilder { $($($($engine: _,)?)*)* $($(#[$engine_cfg])? $engine_other: _,)* } = builder;
                $($($(self.$name = builder.$engine.write($unit);)?)*)*
            }

            /// Reads the keys back from the gate's builder.
            pub(super) fn take_gate(&mut self, builder: &GateConfigBuilder) {
                // Not compiled if a field has no key and is not at the head of the table.
                let GateConfigBuilder { $($($($gate: _,)?)*)* $($gate_other: _,)* } = builder;
                $($($(self.$name = builder.$gate.write($unit);)?)*)*
            }
        }

        /// The fields of the engine's builder that have a key.
        pub(super) const ENGINE_FIELDS: &[Field] = &[$($($(
            Field { name: stringify!($engine), key: stringify!($name), unit: $unit },
        )?)*)*];

        /// The fields of the gate's builder that have a key.
        pub(super) const GATE_FIELDS: &[Field] = &[$($($(
            Field { name: stringify!($gate), key: stringify!($name), unit: $unit },
        )?)*)*];
    };
}

keys! {
    // Fields without a key: the secrets are in files of their own, accept_clock_ahead is for a
    // single start, and the others are for programs.
    engine leaves out {
        hmac_secret previous_secrets accept_clock_ahead background
        #[cfg(feature = "testing")] mistake
        #[cfg(feature = "testing")] audit_seed
    }
    // Fields whose keys are in `apply.rs` and `effective.rs`.
    gate by hand {
        policies exempt_routes trusted_proxies no_network nat64_prefixes no_nat64
        paid_admissions_per_window paid_admissions_per_prefix
    }

    "The limit": {
        rate_limit: u32, "requests", "1 to 1000000",
            "Requests of one client admitted in a window. The next request gets a 429 with work.";
        window_ms: u64, "ms", "1 to 86400000",
            "Length of the window. An admitted request stops counting when it is this old.";
        route_overrides: Vec<RouteOverride>, "",
            "tables of name, rate_limit, window_ms, routes and optionally answer_buys, at most 999, each name and each route once",
            "Separate limits for some routes. The longest matching route applies; all other routes are under \
             rate_limit.";
        exempt_routes: Vec<String>, "",
            "a list of /path or /path/* (everything below it), optionally with a method in front, like GET /path",
            "Routes without a limit and without rate-limit headers. CORS preflights are always exempt.";
        ratelimit_draft: RateLimitDraft => gate.ratelimit_draft, "",
            "one of none, draft7, draft8, draft12, compatible",
            "Version of the IETF draft's RateLimit and RateLimit-Policy headers to send in addition to \
             X-RateLimit-*, or none. draft8 is the form of versions 8 to 11; compatible has the parameters of \
             versions 8 to 12 and those of 7 as pouw-limit, pouw-remaining and pouw-reset.";
        challenge_page: String => gate.challenge_page, "",
            "empty, or a path of at most 128 plain characters that begins and ends with /",
            "Path of the files of the challenge page. On a 429, browsers get this page instead of a problem \
             document; it does the work and repeats the request. Empty: no page. pouw serve has the files \
             below /pouw/assets/.";
        site_name: String => gate.site_name, "", "empty, or a text of at most 64 characters",
            "Name of the site on the challenge page. Empty: the host of the page's address.";
        site_color: String => gate.site_color, "", "empty, or a colour as #RGB or #RRGGBB",
            "Colour of the strip with the site's name on the challenge page. The text on it is black or white, \
             whichever is easier to read. Empty: no strip.";
        site_contact: String => gate.site_contact, "",
            "empty, or a text of at most 128 characters: mailto: with an address, https:// with a host, or any other",
            "Where a visitor of the challenge page can ask. An address becomes a link. Empty: nothing.";
        shadow: bool => gate.shadow, "", "true or false",
            "Decide and count as usual, but let requests over the limit through, to try out settings.";
    }
    "Who is one client": {
        identifier_strategy: ClientIdentifier => gate.identifier_strategy, "", "one of ip, user, api_key, user_or_ip",
            "How clients are identified. With user or api_key, all requests without one count as one client; \
             with user_or_ip, they count by address.";
        ipv6_prefix: u8 => gate.ipv6_prefix, "bits", "16 to 128",
            "Leading bits of an IPv6 address that identify one client. One subscriber usually has 2^64 \
             addresses, so with more than 64 bits a subscriber can evade the limit.";
        trusted_proxies: Vec<ProxyNetwork>, "", "a list of networks as ADDRESS/BITS, like 10.0.0.0/8",
            "Proxies whose Forwarded or X-Forwarded-For header is trusted. If the list is empty, all clients \
             behind a proxy count as one.";
        client_ip_header: String => gate.client_ip_header, "",
            "empty, or the name of a header with one address, like X-Real-IP",
            "Header in which the trusted proxies send the client's address, read in place of Forwarded and \
             X-Forwarded-For. Requests of such a proxy without one single address in it count together as one \
             client. Empty: none.";
        nat64_prefixes: Vec<String>, "",
            "a list of IPv6 networks of 96 bits, like 2001:db8:64::/96",
            "Prefixes in which the NAT64 translators of your network embed IPv4 addresses. An address in one \
             counts as the IPv4 client in its last 32 bits; so does one in 64:ff9b::/96 without this setting.";
        tracked_clients_max: usize => gate.tracked_clients_max, "clients", "1000 to 16777216",
            "Clients remembered at once, about 100 bytes each, and 300 more while over the limit. At the \
             maximum, new clients share the window of their network and get no work.";
    }
    "The secret": {
        secret_file: PathBuf, "", "a path, relative to the folder of this file",
            "File with the secret that signs the tokens: 32 bytes or more, readable by its owner only.";
        previous_secret_files: Vec<PathBuf>, "", "a list of at most 7 paths, relative to the folder of this file",
            "Files with older secrets. Tokens signed with them are accepted until they expire; new tokens \
             never use them.";
    }
    "The price of a request over the limit": {
        floor_ms: [u64; 3] => engine.floor, "ms",
            "three numbers, for low, medium and high, each below the token's lifetime",
            "Minimum time between a challenge and its answer; an earlier answer has to be sent again later. \
             With zero the only price is the hashing, which is almost nothing.";
        token_ttl_seconds: u64 => engine.token_ttl, "s", "1 to 3600",
            "Lifetime of a challenge. After that, its work is given to another client.";
        answer_buys: Bought, "",
            "a table of requests, 1 to 1000000, and seconds, 1 to 86400",
            "What an answer buys: the request it comes with and more of the same client, until the seconds are \
             over. Unless set, the one request, and on a challenge page 60 requests within 120 seconds. The \
             ceilings on paid admissions count each of them. A table of route_overrides may have its own.";
        open_challenges: [u32; 2] => gate.open_challenges, "challenges", "two numbers, each 1 to 64",
            "Open challenges of a client identified by address, and of one identified by name or key. At the \
             maximum, a 429 without work.";
        paid_admissions_per_window: u32, "requests", "0 to 1000000",
            "Requests of one client admitted by work in a default window; rate_limit unless set, and at \
             least what four answers buy if they buy more than one request. Above it, a 429 without work. With 0 no client gets work.";
        paid_admissions_per_prefix: u32, "requests", "0 to 1000000",
            "The same for one network prefix (IPv4 /24, IPv6 /48); eight times the value for a client unless \
             set.";
        paid_admissions_in_all: u32 => gate.paid_admissions_in_all, "requests",
            "0 to 1000000", "The same for all clients together.";
        bytes_per_minute: u64 => gate.bytes_per_minute, "bytes", "0 or more",
            "Bytes of challenges sent to one client in a minute. Near the maximum units become smaller; at \
             the maximum, a 429 without work.";
        prefix_bytes_per_minute: u64 => gate.prefix_bytes_per_minute, "bytes", "0 or more",
            "The same for one network prefix.";
        bytes_per_second: u64 => gate.bytes_per_second, "bytes", "0 or more",
            "The same for all clients together, per second.";
        bytes_in_flight: u64 => gate.bytes_in_flight, "bytes",
            "at least four thirds of unit_bytes of the high tier, and 3072",
            "Bytes of challenges being sent at one time. Above it, a 429 without work.";
    }
    "Difficulty and reputation": {
        default_difficulty: DifficultyTier => engine.default_difficulty, "", "one of low, medium, high",
            "Tier at which every client begins, and to which it returns.";
        max_difficulty: DifficultyTier => engine.max_difficulty, "",
            "one of low, medium, high, not below default_difficulty",
            "Highest tier that a client can reach.";
        escalation_window_ms: u64 => engine.escalation_window, "ms", "1 or more",
            "Two violations within this time raise the tier by one.";
        cool_down_ms: u64 => engine.cool_down, "ms", "1 or more",
            "Time without a violation after which the tier falls by one.";
        difficulty_clients_max: usize => engine.difficulty_clients_max, "clients", "16 to 16777216",
            "Clients whose tier is remembered, about 120 bytes each. At the maximum, a few entries are \
             compared and the least important one is forgotten.";
        reputation_difficulty_threshold: f64 => gate.reputation_difficulty_threshold, "", "a finite number, 0 or more",
            "Clients with at least this reputation, as reported by the host, get work one tier lower.";
        reputation_exemption_threshold: f64 => gate.reputation_exemption_threshold, "", "a finite number, 0 or more",
            "Clients with at least this reputation get a 429 without work. 1.1 switches this off.";
    }
    "Units of work": {
        unit_bytes: [usize; 3] => engine.unit_bytes, "bytes",
            "three numbers, for low, medium and high, each 1024 to 2097152, none smaller than the one before",
            "Maximum data in one unit. A leaf too long for a high unit is hashed by the server.";
        calibrate: bool => engine.calibrate, "", "true or false",
            "Adapt the size of medium and high units: halve it, down to an eighth, while clients answer too \
             slowly; double it again, up to unit_bytes, when they answer fast.";
        calibrate_target_ms: [u64; 2] => engine.calibrate_target, "ms",
            "two numbers, for medium and high, each 1 to 3600000",
            "Target for the median response time beyond the floor, by the server's clock. Above it units \
             become smaller, at half of it larger.";
        calibrate_bytes_min: usize => engine.calibrate_bytes_min, "bytes", "1024 to 1048576",
            "Calibration never makes a unit smaller than this. A smaller unit_bytes is left as it is.";
        min_queue_depth: usize => engine.min_queue_depth, "units", "1 to 65536",
            "Minimum number of units kept ready while there is a backlog. While none is ready, 429s carry no \
             work.";
        ready_bytes_max: usize => engine.ready_bytes_max, "bytes", "1048576 to 1073741824",
            "Maximum data kept ready in memory. It takes precedence over min_queue_depth.";
        work_unit_max_age_ms: u64 => engine.work_unit_max_age, "ms", "1 or more",
            "Age at which a ready unit is discarded and made again.";
        leases_max: usize => engine.leases_max, "units", "1 to 4194304",
            "Issued units without an answer. At the maximum, no unit is issued until one is answered or \
             expires.";
        interior_units: bool => engine.interior_units, "", "true or false",
            "Also issue interior nodes above the tiles. The server can hash these faster than it can issue \
             them.";
        synthetic: bool => gate.synthetic, "", "true or false",
            "Issue made-up work when the backlog is empty. If false, 429s then carry no work.";
        synthetic_max: usize => engine.synthetic_max, "units", "at most leases_max",
            "Made-up units issued at one time. At the maximum, a 429 without work.";
    }
    "Answers": {
        body_limit_bytes: usize => gate.body_limit_bytes, "bytes", "16384 to 67108864",
            "Maximum size of a request body that may contain a result; such a body is buffered. A longer one \
             gets a 413.";
        buffered_bytes_max: usize => gate.buffered_bytes_max, "bytes", "at least body_limit_bytes",
            "Maximum size of all buffered bodies together. Above it, the client is asked to send its answer \
             again.";
        body_timeout_ms: u64 => gate.body_timeout, "ms", "1 or more",
            "Time in which a buffered body has to arrive; otherwise it counts as malformed. In pouw serve \
             also the longest pause in any body.";
        drain_bytes: u64 => gate.drain_bytes, "bytes", "0 to 67108864",
            "Bytes of a refused request's body that are read and dropped before the refusal is sent, so that \
             clients that send all of it first get the refusal. A body that is known to be longer is not read. \
             0: none is read.";
        drain_timeout_ms: u64 => gate.drain_timeout, "ms", "1 to 60000",
            "Time for that. After it the refusal is sent and the connection closes.";
        write_timeout_ms: u64 => gate.write_timeout, "ms", "1 or more",
            "Time without progress after which a client that does not read its response is disconnected.";
        judge_threads: usize => gate.judge_threads, "threads", "1 to 64", "Threads that verify answers.";
        waiting_answers_max: usize => gate.waiting_answers_max, "answers", "1 to 65536",
            "Answers waiting for such a thread. Above it, the client is asked to send its answer again.";
        waiting_commits_max: usize => engine.waiting_answers_max, "answers", "1 to 65536",
            "Answers waiting for a commit (waiting_answers_max of the engine's builder). Above it, the client \
             is asked to send its answer again.";
        commit_ops_max: usize => engine.commit_ops_max, "answers",
            "1 to 4096", "Maximum number of answers in one commit.";
        quorum_wait_ms: u64 => engine.quorum_wait, "ms", "1 to 43200000",
            "How long an answer waits for equal answers to the same unit, in a tree verified by a quorum. \
             After that the server computes the hash.";
    }
    "Credits": {
        award_joule_credits: bool => engine.award_joule_credits, "",
            "true or false", "Whether accepted answers earn credits.";
        micro_joules_per_hash: u64 => engine.micro_joules_per_hash, "uJ", "0 to 1000000000000", "Credit for each hash.";
        award_basis: AwardBasis => engine.award_basis, "", "one of actual, tier_average",
            "How hashes are counted for credits: the hashes that a unit needs, or the paper's average for its \
             tier (1, 10 or 40).";
        ledger_entries_kept: u64 => engine.ledger_entries_kept, "entries", "1000 or more",
            "Ledger entries stored one by one. Older ones are sealed: their total is kept, their receipts are \
             deleted.";
    }
    "Scrubbing": {
        scrub_bytes_per_second: u64 => engine.scrub_bytes_per_second, "bytes", "0 or more",
            "Bytes a second that are read of what is stored, to find damage before the bytes are needed. 0: \
             never.";
        scrub_every_ms: u64 => engine.scrub_every, "ms", "60000 or more",
            "Shortest time from the beginning of one full pass over everything that is stored to the beginning \
             of the next.";
    }
    "When something fails": {
        circuit_breaker_threshold: u32 => gate.circuit_breaker_threshold, "failures", "1 or more",
            "Consecutive failures of the store that open the breaker. While it is open, 429s carry no work, \
             until a probe succeeds.";
        circuit_breaker_probe_interval_ms: u64 => gate.circuit_breaker_probe_interval, "ms",
            "1 or more", "Time between probes of an open breaker.";
        fallback_behavior: FallbackBehavior => gate.fallback_behavior, "", "one of in_memory, allow, deny",
            "What to do when a window outside the process cannot be reached. Without effect in pouw serve, \
             which has its own windows.";
        strict_checks: bool => gate.strict_checks, "", "true or false",
            "Answer a request that shows a mistake in the setup (a proxy that is not named, CORS inside of the \
             gate) with a 500 that names it. If false, each such finding is reported once. For tests and trials.";
        security_alert_threshold: u32 => gate.security_alert_threshold, "failures", "0 or more",
            "Consecutive failures of one client that raise an alert. 0: no alerts.";
    }
}
