//! Configuration: the paper's names in snake_case, its defaults; only the secret is required.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::policy::difficulty::DifficultyRules;
use crate::protocol::{ByTier, DifficultyTier};

use super::checked::{ConfigError, MS_MAX, POSITIVE, check, check_time, whole_ms};

/// How the credit of an accepted answer is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AwardBasis {
    /// The hashes that the unit needs.
    Actual,
    /// The paper's averages, 1 / 10 / 40 hashes by tier, for a unit that met its tier; else as
    /// `Actual`.
    TierAverage,
}

/// The settings of one engine. A `Config` that exists is valid.
///
/// ```
/// use pouw::Config;
/// use std::time::Duration;
/// let config = Config::builder([7; 32]).token_ttl(Duration::from_secs(30)).build()?;
/// assert_eq!(config.token_ttl(), Duration::from_secs(30));
/// let refused = Config::new("short").unwrap_err();
/// assert_eq!(refused.field, "hmac_secret");
/// # Ok::<(), pouw::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Config {
    pub(super) settings: ConfigBuilder,
}

/// Collects settings. [`ConfigBuilder::build`] checks them.
#[derive(Clone)]
#[must_use]
pub struct ConfigBuilder {
    pub(crate) hmac_secret: Vec<u8>,
    pub(crate) previous_secrets: Vec<Vec<u8>>,
    pub(crate) token_ttl: Duration,
    pub(crate) min_queue_depth: usize,
    pub(crate) work_unit_max_age: Duration,
    pub(crate) award_joule_credits: bool,
    pub(crate) micro_joules_per_hash: u64,
    pub(crate) award_basis: AwardBasis,
    pub(crate) floor: ByTier<Duration>,
    pub(crate) unit_bytes: ByTier<usize>,
    pub(crate) calibrate: bool,
    pub(crate) calibrate_target: [Duration; 2],
    pub(crate) calibrate_bytes_min: usize,
    pub(crate) interior_units: bool,
    pub(crate) leases_max: usize,
    pub(crate) synthetic_max: usize,
    pub(crate) ready_bytes_max: usize,
    pub(crate) commit_ops_max: usize,
    pub(crate) waiting_answers_max: usize,
    pub(crate) ledger_entries_kept: u64,
    pub(crate) quorum_wait: Duration,
    pub(crate) default_difficulty: DifficultyTier,
    pub(crate) max_difficulty: DifficultyTier,
    pub(crate) escalation_window: Duration,
    pub(crate) cool_down: Duration,
    pub(crate) difficulty_clients_max: usize,
    pub(crate) accept_clock_ahead: bool,
    pub(crate) background: bool,
    pub(crate) scrub_bytes_per_second: u64,
    pub(crate) scrub_every: Duration,
    #[cfg(feature = "testing")]
    pub(crate) mistake: Option<super::mistake::Mistake>,
    #[cfg(feature = "testing")]
    pub(crate) audit_seed: Option<u64>,
}

impl Config {
    /// Returns the defaults with this secret, which has 32 bytes or more.
    ///
    /// # Errors
    /// The secret is shorter.
    pub fn new(hmac_secret: impl Into<Vec<u8>>) -> Result<Self, ConfigError> {
        Self::builder(hmac_secret).build()
    }

    /// Returns a builder with the defaults and this secret.
    pub fn builder(hmac_secret: impl Into<Vec<u8>>) -> ConfigBuilder {
        ConfigBuilder {
            hmac_secret: hmac_secret.into(),
            previous_secrets: Vec::new(),
            token_ttl: Duration::from_secs(60),
            min_queue_depth: 100,
            work_unit_max_age: Duration::from_secs(3_600),
            award_joule_credits: true,
            micro_joules_per_hash: 100,
            award_basis: AwardBasis::Actual,
            floor: ByTier { low: 1_500, medium: 4_000, high: 7_500 }.map(Duration::from_millis),
            unit_bytes: ByTier { low: 32 << 10, medium: 64 << 10, high: 128 << 10 },
            calibrate: false,
            calibrate_target: [1_000, 2_500].map(Duration::from_millis),
            calibrate_bytes_min: 4 << 10,
            interior_units: false,
            leases_max: 131_072,
            synthetic_max: 4_096,
            ready_bytes_max: 32 << 20,
            commit_ops_max: 256,
            waiting_answers_max: 4_096,
            ledger_entries_kept: 100_000_000,
            quorum_wait: Duration::from_secs(600),
            default_difficulty: DifficultyTier::Low,
            max_difficulty: DifficultyTier::High,
            escalation_window: Duration::from_secs(300),
            cool_down: Duration::from_secs(600),
            difficulty_clients_max: 262_144,
            accept_clock_ahead: false,
            background: true,
            scrub_bytes_per_second: 1 << 20,
            scrub_every: Duration::from_secs(86_400),
            #[cfg(feature = "testing")]
            mistake: None,
            #[cfg(feature = "testing")]
            audit_seed: None,
        }
    }

    /// Lifetime of a token.
    pub fn token_ttl(&self) -> Duration {
        self.settings.token_ttl
    }

    /// Time between issue and the first moment an answer counts.
    pub fn floor(&self, tier: DifficultyTier) -> Duration {
        *self.settings.floor.get(tier)
    }

    pub(super) fn token_ttl_ms(&self) -> u64 {
        whole_ms(self.settings.token_ttl)
    }

    /// Bytes of data a unit of this tier may carry; one of a single leaf may carry as much as a
    /// high one.
    pub fn unit_bytes(&self, tier: DifficultyTier) -> usize {
        *self.settings.unit_bytes.get(tier)
    }

    /// How a client's difficulty rises and falls.
    pub(super) fn difficulty(&self) -> DifficultyRules {
        let settings = &self.settings;
        DifficultyRules {
            default: settings.default_difficulty,
            cap: settings.max_difficulty,
            escalation_window_ms: whole_ms(settings.escalation_window),
            cool_down_ms: whole_ms(settings.cool_down),
        }
    }

    /// Largest leaf a unit can carry, bytes. Longer ones are hashed by the server.
    pub fn send_cap(&self) -> usize {
        self.settings.unit_bytes.high
    }

    #[cfg(feature = "testing")]
    pub(crate) fn makes(&self, mistake: super::mistake::Mistake) -> bool {
        self.settings.mistake == Some(mistake)
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("hmac_secret", &"(hidden)").finish_non_exhaustive()
    }
}

impl ConfigBuilder {
    /// Adds an older secret: its tokens are accepted until they expire; new tokens never use it.
    pub fn previous_secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.previous_secrets.push(secret.into());
        self
    }

    /// Lifetime of a token, 1 second to 1 hour; default 60 seconds.
    pub fn token_ttl(mut self, lifetime: Duration) -> Self {
        self.token_ttl = lifetime;
        self
    }

    /// Minimum number of units kept ready while there is a backlog, 1 to 65 536; default 100.
    pub fn min_queue_depth(mut self, units: usize) -> Self {
        self.min_queue_depth = units;
        self
    }

    /// Age at which a ready unit is discarded and made again, 1 ms or more; default 1 hour.
    pub fn work_unit_max_age(mut self, age: Duration) -> Self {
        self.work_unit_max_age = age;
        self
    }

    /// Whether accepted answers earn credits; default true.
    pub fn award_joule_credits(mut self, award: bool) -> Self {
        self.award_joule_credits = award;
        self
    }

    /// Micro-Joules for each hash, up to 10^12; default 100.
    pub fn micro_joules_per_hash(mut self, micro_joules: u64) -> Self {
        self.micro_joules_per_hash = micro_joules;
        self
    }

    /// How an award is computed; default [`AwardBasis::Actual`].
    pub fn award_basis(mut self, basis: AwardBasis) -> Self {
        self.award_basis = basis;
        self
    }

    /// Time before an answer counts, below the token's lifetime; default 1.5 s for low, 4 s for
    /// medium, 7.5 s for high. With zero, hashing alone is the price, as in the paper.
    pub fn floor(mut self, by_tier: ByTier<Duration>) -> Self {
        self.floor = by_tier;
        self
    }

    /// Bytes of data a unit may carry, 1 KiB to 2 MiB, a higher tier not less than a lower one;
    /// default 32 KiB for low, 64 for medium, 128 for high. A unit of one leaf may always carry as
    /// much as a high one.
    pub fn unit_bytes(mut self, by_tier: ByTier<usize>) -> Self {
        self.unit_bytes = by_tier;
        self
    }

    /// Whether interior nodes above the tiles are issued to clients too; default false, since
    /// hashing them costs the server less than a request.
    pub fn interior_units(mut self, issue: bool) -> Self {
        self.interior_units = issue;
        self
    }

    /// Units issued and unanswered at most, 1 to 4 194 304; default 131 072. Then none is issued.
    pub fn leases_max(mut self, leases: usize) -> Self {
        self.leases_max = leases;
        self
    }

    /// Maximum number of made-up units issued and not answered; default 4 096.
    pub fn synthetic_max(mut self, units: usize) -> Self {
        self.synthetic_max = units;
        self
    }

    /// Maximum bytes kept ready, 1 MiB to 1 GiB; default 32 MiB. Overrides `min_queue_depth`.
    pub fn ready_bytes_max(mut self, bytes: usize) -> Self {
        self.ready_bytes_max = bytes;
        self
    }

    /// Maximum number of answers in one commit, 1 to 4 096; default 256.
    pub fn commit_ops_max(mut self, ops: usize) -> Self {
        self.commit_ops_max = ops;
        self
    }

    /// Maximum number of answers waiting for a commit, 1 to 65 536; default 4 096. Above it,
    /// `submit` fails with `SubmitError::Busy`.
    pub fn waiting_answers_max(mut self, answers: usize) -> Self {
        self.waiting_answers_max = answers;
        self
    }

    /// Ledger entries stored one by one, 1 000 or more; default 100 000 000. Older ones are sealed:
    /// their total and the chain are kept, their receipts are deleted.
    pub fn ledger_entries_kept(mut self, entries: u64) -> Self {
        self.ledger_entries_kept = entries;
        self
    }

    /// How long an answer waits for equal ones from other clients before the server hashes its
    /// leaves itself, 1 ms to 12 hours; default 10 minutes. For trees verified by a quorum.
    pub fn quorum_wait(mut self, wait: Duration) -> Self {
        self.quorum_wait = wait;
        self
    }

    /// Tier every client starts at, and falls back to; default low.
    pub fn default_difficulty(mut self, tier: DifficultyTier) -> Self {
        self.default_difficulty = tier;
        self
    }

    /// Highest tier a client can rise to, the default tier or above; default high.
    pub fn max_difficulty(mut self, tier: DifficultyTier) -> Self {
        self.max_difficulty = tier;
        self
    }

    /// Time within which two violations raise the tier, 1 ms or more; default 5 minutes.
    pub fn escalation_window(mut self, window: Duration) -> Self {
        self.escalation_window = window;
        self
    }

    /// Time without violation for each step down, 1 ms or more; default 10 minutes.
    pub fn cool_down(mut self, time: Duration) -> Self {
        self.cool_down = time;
        self
    }

    /// Clients whose difficulty is remembered, 16 to 16 777 216; default 262 144, about 30 MiB. At
    /// the maximum, the least important of a few entries is forgotten.
    pub fn difficulty_clients_max(mut self, clients: usize) -> Self {
        self.difficulty_clients_max = clients;
        self
    }

    /// Whether to open a store that is more than 400 days behind the wall clock; default false.
    pub fn accept_clock_ahead(mut self, accept: bool) -> Self {
        self.accept_clock_ahead = accept;
        self
    }

    /// Plants a mistake, to see the tests catch it.
    #[cfg(feature = "testing")]
    #[doc(hidden)]
    pub fn mistake(mut self, mistake: super::mistake::Mistake) -> Self {
        self.mistake = Some(mistake);
        self
    }

    /// Draws audits from a seed, for tests that repeat. Clients could predict them.
    #[cfg(feature = "testing")]
    #[doc(hidden)]
    pub fn audit_seed(mut self, seed: u64) -> Self {
        self.audit_seed = Some(seed);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// The first invalid setting, with its value and the rule it breaks.
    pub fn build(self) -> Result<Config, ConfigError> {
        for secret in std::iter::once(&self.hmac_secret).chain(&self.previous_secrets) {
            let found = format!("{} bytes", secret.len());
            check("hmac_secret", found, secret.len() >= 32, "it must have at least 32 bytes")?;
        }
        let previous = &self.previous_secrets;
        let few = "there must be at most 7 older secrets; remove those whose tokens have expired";
        check("previous_secrets", previous.len(), previous.len() < 8, few)?;
        let repeated = previous
            .iter()
            .enumerate()
            .any(|(at, secret)| *secret == self.hmac_secret || previous.iter().take(at).any(|other| other == secret));
        check("previous_secrets", "repeated", !repeated, "each secret must be given once, the newest as hmac_secret")?;
        check_time("token_ttl", self.token_ttl, 1_000..=3_600_000, "it must be from 1 to 3600 seconds")?;
        let depth = self.min_queue_depth;
        check("min_queue_depth", depth, (1..=65_536).contains(&depth), "it must be from 1 to 65536")?;
        check_time("work_unit_max_age", self.work_unit_max_age, 1..=MS_MAX, POSITIVE)?;
        let per_hash = self.micro_joules_per_hash;
        check("micro_joules_per_hash", per_hash, per_hash <= 1_000_000_000_000, "it must be at most 10^12")?;
        let below_ttl = 0..=self.token_ttl.as_millis().saturating_sub(1);
        for floor in <[Duration; 3]>::from(self.floor) {
            check_time("floor", floor, below_ttl.clone(), "it must be below the token's lifetime")?;
        }
        let bytes: [usize; 3] = self.unit_bytes.into();
        for size in bytes {
            check("unit_bytes", size, (1 << 10..=1 << 21).contains(&size), "it must be from 1024 to 2097152")?;
        }
        check("unit_bytes", format!("{bytes:?}"), bytes.is_sorted(), "none must be smaller than the one before")?;
        self.check_calibration()?;
        let leases = self.leases_max;
        check("leases_max", leases, (1..=4_194_304).contains(&leases), "it must be from 1 to 4194304")?;
        let made_up = self.synthetic_max;
        check("synthetic_max", made_up, made_up <= leases, "it must be at most leases_max")?;
        let ready = self.ready_bytes_max;
        check("ready_bytes_max", ready, (1 << 20..=1 << 30).contains(&ready), "it must be from 1048576 to 1073741824")?;
        let ops = self.commit_ops_max;
        check("commit_ops_max", ops, (1..=4_096).contains(&ops), "it must be from 1 to 4096")?;
        let waiting = self.waiting_answers_max;
        check("waiting_answers_max", waiting, (1..=65_536).contains(&waiting), "it must be from 1 to 65536")?;
        let kept = self.ledger_entries_kept;
        check("ledger_entries_kept", kept, kept >= 1_000, "it must be 1000 or more")?;
        // Well below the day after which idle clients, and with them their strikes, are forgotten.
        check_time("quorum_wait", self.quorum_wait, 1..=43_200_000, "it must be from 1 ms to 12 hours")?;
        let (default, cap) = (self.default_difficulty, self.max_difficulty);
        check("max_difficulty", cap, cap >= default, "it must not be below default_difficulty")?;
        check_time("escalation_window", self.escalation_window, 1..=MS_MAX, POSITIVE)?;
        check_time("cool_down", self.cool_down, 1..=MS_MAX, POSITIVE)?;
        let clients = self.difficulty_clients_max;
        let fits = (16..=1 << 24).contains(&clients);
        check("difficulty_clients_max", clients, fits, "it must be from 16 to 16777216")?;
        self.check_scrub()?;
        Ok(Config { settings: self })
    }
}
