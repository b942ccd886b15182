//! Every key: its type, unit, rule and meaning on one page. The document and the table that explains it are
//! made from the same lines, so that neither has a key the other lacks.

use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::engine::AwardBasis;
use crate::gate::choices::{FallbackBehavior, RateLimitDraft};
use crate::protocol::DifficultyTier;

use super::words::{ClientIdentifier, NeverInAFile, RouteOverride};

/// What there is to know of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// The heading it stands under.
    pub group: &'static str,
    /// What its number counts; empty where it is no number.
    pub unit: &'static str,
    /// Which values are allowed.
    pub rule: &'static str,
    /// What it does, and what happens at the bound.
    pub meaning: &'static str,
}

/// The document from one line for each key.
macro_rules! keys {
    ($($group:literal: { $($name:ident: $type:ty, $unit:literal, $rule:literal, $meaning:literal;)* })*) => {
        /// Settings as they stand in a file: each is optional, and what is left away has the default.
        ///
        /// Any format of serde will do. A key that is not known is an error, and so is a secret: it belongs in
        /// a file of its own, which `secret_file` names.
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

        /// All keys, in the order in which they are explained.
        pub const KEYS: &[Key] = &[$($(
            Key { name: stringify!($name), group: $group, unit: $unit, rule: $rule, meaning: $meaning },
        )*)*];

        impl Settings {
            /// Whether this key is set.
            pub fn is_set(&self, name: &str) -> bool {
                match name {
                    $($(stringify!($name) => self.$name.is_some(),)*)*
                    _ => false,
                }
            }

            /// Goes back to the default; whether the key was set.
            pub(super) fn forget(&mut self, name: &str) -> bool {
                match name {
                    $($(stringify!($name) => self.$name.take().is_some(),)*)*
                    _ => false,
                }
            }
        }
    };
}

keys! {
    "The limit": {
        rate_limit: u32, "requests", "1 to 1000000",
            "Admitted requests of one client in a window. The next one is over the limit: a 429 with work in it.";
        window_ms: u64, "ms", "1 to 86400000",
            "Length of the window. A slot frees when the request that took it is this old.";
        route_overrides: Vec<RouteOverride>, "",
            "tables of name, rate_limit, window_ms and routes, at most 999, each name and each route once",
            "Limits of their own for some routes. The longest route that matches counts; all else is under rate_limit.";
        exempt_routes: Vec<String>, "",
            "a list of /path or /path/* (all below it), with a method and a space before it if for that only",
            "Routes that are not limited and get no headers. CORS preflights never are.";
        ratelimit_draft: RateLimitDraft, "", "one of none, draft7, draft8",
            "Form of the IETF draft's RateLimit and RateLimit-Policy beside X-RateLimit-*, or none of them.";
        challenge_page: String, "", "empty, or a path of at most 128 plain characters that begins and ends with /",
            "Where the files of the page are that browsers get instead of a problem document: it does the work and asks \
             again. Empty for none. pouw serve has them below /pouw/assets/.";
        shadow: bool, "", "true or false",
            "Decide and count, but let everything through that is only over its limit: a rehearsal.";
    }
    "Who is one client": {
        identifier_strategy: ClientIdentifier, "", "one of ip, user, api_key, user_or_ip",
            "What tells clients apart. With user or api_key all who have none are one client together; user_or_ip \
             takes their address.";
        ipv6_prefix: u8, "bits", "16 to 128",
            "Bits of an IPv6 address that make one client. One line has 2^64 addresses, so more than 64 limits nobody.";
        trusted_proxies: Vec<IpNet>, "", "a list of networks as ADDRESS/BITS, like 10.0.0.0/8",
            "Proxies whose Forwarded or X-Forwarded-For is believed. With none, all who come through a proxy are one \
             client.";
        tracked_clients_max: usize, "clients", "1000 to 16777216",
            "Clients remembered at once, about 100 bytes each. At the bound new ones share the window of their network \
             and get no work.";
    }
    "The secret": {
        secret_file: PathBuf, "", "a path, from the folder of this file on",
            "File with the secret that tokens are signed with, 32 bytes or more, readable by its owner only.";
        previous_secret_files: Vec<PathBuf>, "", "a list of at most 7 paths, from the folder of this file on",
            "Older secrets. Their tokens are honoured until they expire; none are made with them.";
    }
    "The price of a request over the limit": {
        floor_ms: [u64; 3], "ms", "three numbers, for low, medium and high, each below the token's lifetime",
            "Time before an answer counts; an earlier one is told to wait. Zero leaves the hashing alone as the price, \
             which is next to none.";
        token_ttl_seconds: u64, "s", "1 to 3600",
            "Lifetime of a challenge. After that its work goes to somebody else.";
        open_challenges: [u32; 2], "challenges", "two numbers, each 1 to 64",
            "Open challenges of a client known by address, and of one known by name or key. At the bound it gets a \
             429 without work.";
        paid_admissions_per_window: u32, "requests", "0 to 1000000",
            "Requests of one client admitted by work in a default window, rate_limit unless set. Beyond it, a 429 \
             without work; 0 asks nobody for work.";
        paid_admissions_per_prefix: u32, "requests", "0 to 1000000",
            "The same for one network prefix (IPv4 /24, IPv6 /48), eight times that of a client unless set.";
        paid_admissions_in_all: u32, "requests", "0 to 1000000", "The same for all clients together.";
        bytes_per_minute: u64, "bytes", "0 or more",
            "Bytes of challenges sent to one client in a minute. Near it units shrink, then it gets a 429 without work.";
        prefix_bytes_per_minute: u64, "bytes", "0 or more",
            "The same for one network prefix.";
        bytes_per_second: u64, "bytes", "0 or more", "The same for all clients together, in a second.";
        bytes_in_flight: u64, "bytes", "at least four thirds of unit_bytes of the high tier, and 3072",
            "Bytes of challenges on their way at once. Beyond it, a 429 without work.";
    }
    "Difficulty and reputation": {
        default_difficulty: DifficultyTier, "", "one of low, medium, high",
            "Tier every client begins at and falls back to.";
        max_difficulty: DifficultyTier, "", "one of low, medium, high, not below default_difficulty",
            "Highest tier a client can rise to.";
        escalation_window_ms: u64, "ms", "1 or more",
            "Time within which two violations raise the tier by one.";
        cool_down_ms: u64, "ms", "1 or more", "Time without violation for each step down.";
        difficulty_clients_max: usize, "clients", "16 to 16777216",
            "Clients whose tier is remembered, about 120 bytes each. At the bound the least telling of a few is \
             forgotten.";
        reputation_difficulty_threshold: f64, "", "a finite number from 0 up",
            "Reputation, as the host reports it, from which the tier handed out is one lower.";
        reputation_exemption_threshold: f64, "", "a finite number from 0 up",
            "Reputation from which no work is asked: a plain 429. 1.1 switches it off.";
    }
    "Units of work": {
        unit_bytes: [usize; 3], "bytes", "three numbers, for low, medium and high, each 1024 to 2097152, not falling",
            "Data a unit may carry. A longer leaf than a high one may carry is hashed by the server.";
        calibrate: bool, "", "true or false",
            "Halve units of the medium and high tier, down to an eighth, while answers are observed to take too long, and \
             double them again, up to unit_bytes, once they do not.";
        calibrate_target_ms: [u64; 2], "ms", "two numbers, for medium and high, each 1 to 3600000",
            "Wanted median time beyond the floor, by the server's own clock. Above it units shrink, at half of it they grow.";
        calibrate_bytes_min: usize, "bytes", "1024 to 1048576",
            "Data that is left to a unit at least; a smaller unit_bytes stays as it is.";
        min_queue_depth: usize, "units", "1 to 65536",
            "Units kept ready at least while there is a backlog. An empty queue gives 429s without work.";
        ready_bytes_max: usize, "bytes", "1048576 to 1073741824",
            "Data held ready. It wins over min_queue_depth.";
        work_unit_max_age_ms: u64, "ms", "1 or more", "Age at which a ready unit is taken back and made anew.";
        leases_max: usize, "units", "1 to 4194304",
            "Units out at once. At the bound nothing is issued until one comes back or expires.";
        interior_units: bool, "", "true or false",
            "Hand out interior nodes above the tiles too. The server hashes them faster than it can ask.";
        synthetic: bool, "", "true or false",
            "Hand out made-up work when the backlog is empty; without it, 429s without work.";
        synthetic_max: usize, "units", "at most leases_max",
            "Made-up units out at once. At the bound, a 429 without work.";
    }
    "Answers": {
        body_limit_bytes: usize, "bytes", "16384 to 67108864",
            "A body that may hold a result is buffered up to this; a longer one gets a 413.";
        buffered_bytes_max: usize, "bytes", "at least body_limit_bytes",
            "All such bodies together. At the bound an answer is asked to come again.";
        body_timeout_ms: u64, "ms", "1 or more",
            "Time for such a body to arrive; later it is malformed. In pouw serve also the longest pause in any body.";
        write_timeout_ms: u64, "ms", "1 or more",
            "Time a client may take to read without progress; then its connection is cut off.";
        judge_threads: usize, "threads", "1 to 64", "Threads that judge answers.";
        waiting_answers_max: usize, "answers", "1 to 65536",
            "Answers waiting for such a thread. Beyond it they are asked to come again.";
        waiting_commits_max: usize, "answers", "1 to 65536",
            "Answers waiting for a commit; the engine's own waiting_answers_max. Beyond it they are asked to come again.";
        commit_ops_max: usize, "answers", "1 to 4096", "Answers in one commit at most.";
        quorum_wait_ms: u64, "ms", "1 to 43200000",
            "How long answers to a tree verified by a quorum wait for others like them; then the server hashes.";
    }
    "Credits": {
        award_joule_credits: bool, "", "true or false", "Whether accepted answers earn credits.";
        micro_joules_per_hash: u64, "uJ", "0 to 1000000000000", "Credit for each hash.";
        award_basis: AwardBasis, "", "one of actual, tier_average",
            "Whether the hashes a unit asked for count, or the paper's averages of 1, 10 and 40 by tier.";
        ledger_entries_kept: u64, "entries", "1000 or more",
            "Ledger entries kept singly. Older ones are sealed: their sum stays, their receipts go.";
    }
    "When something fails": {
        circuit_breaker_threshold: u32, "failures", "1 or more",
            "Failures of the store in a row that open the breaker: 429s without work until a probe succeeds.";
        circuit_breaker_probe_interval_ms: u64, "ms", "1 or more", "Time between probes of an open breaker.";
        fallback_behavior: FallbackBehavior, "", "one of in_memory, allow, deny",
            "What to do when windows kept outside the process cannot be reached. pouw serve keeps its own.";
        security_alert_threshold: u32, "failures", "0 or more",
            "Failures of one client in a row that raise an alert; 0 for never.";
    }
}
