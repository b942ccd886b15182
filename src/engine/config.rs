//! Configuration: the paper's names in snake_case, its defaults; only the secret is required.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::policy::difficulty::DifficultyRules;
use crate::protocol::{ByTier, DifficultyTier};

use super::checked::{Bounded, ConfigError, MS_MAX, POSITIVE, check, check_time, settings, whole_ms};

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

settings! {
    /// Collects settings. [`ConfigBuilder::build`] checks them.
    #[derive(Clone)]
    #[must_use]
    pub struct ConfigBuilder with pub(crate) fields {
        hmac_secret: Vec<u8> = Vec::new(),
        previous_secrets: Vec<Vec<u8>> = Vec::new(),
        calibrate: bool = false,
        calibrate_target: [Duration; 2] = [1_000, 2_500].map(Duration::from_millis),
        calibrate_bytes_min: usize = 4 << 10,
        background: bool = true,
        scrub_bytes_per_second: u64 = 1 << 20,
        scrub_every: Duration = Duration::from_secs(86_400),
        #[cfg(feature = "testing")] mistake: Option<super::mistake::Mistake> = None,
        #[cfg(feature = "testing")] audit_seed: Option<u64> = None,
    }

    impl {
        /// Adds an older secret: its tokens are accepted until they expire; new tokens never use
        /// it.
        pub fn previous_secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
            self.previous_secrets.push(secret.into());
            self
        }

        /// Checks the settings.
        ///
        /// # Errors
        /// The first invalid setting, with its value and the rule it breaks.
        pub fn build(self) -> Result<Config, ConfigError> {
            self.check_secrets()?;
            self.check_table()?;
            self.check_scrub()?;
            Ok(Config { settings: self })
        }
    }

    settings:
    /// Lifetime of a token, 1 second to 1 hour; default 60 seconds.
    token_ttl(lifetime: Duration) = Duration::from_secs(60), in 1_000..=3_600_000, "it must be from 1 to 3600 seconds";
    /// Minimum number of units kept ready while there is a backlog, 1 to 65 536; default 100.
    min_queue_depth(units: usize) = 100, in 1..=65_536, "it must be from 1 to 65536";
    /// Age at which a ready unit is discarded and made again, 1 ms or more; default 1 hour.
    work_unit_max_age(age: Duration) = Duration::from_secs(3_600), in 1..=MS_MAX, POSITIVE;
    /// Whether accepted answers earn credits; default true.
    award_joule_credits(award: bool) = true;
    /// Micro-Joules for each hash, up to 10^12; default 100.
    micro_joules_per_hash(micro_joules: u64) = 100, in 0..=1_000_000_000_000, "it must be at most 10^12";
    /// How an award is computed; default [`AwardBasis::Actual`].
    award_basis(basis: AwardBasis) = AwardBasis::Actual;
    /// Time before an answer counts, below the token's lifetime; default 1.5 s for low, 4 s for
    /// medium, 7.5 s for high. With zero, hashing alone is the price, as in the paper.
    floor(by_tier: ByTier<Duration>) =
        ByTier { low: 1_500, medium: 4_000, high: 7_500 }.map(Duration::from_millis), by check_floor;
    /// Bytes of data a unit may carry, 1 KiB to 2 MiB, a higher tier not less than a lower one;
    /// default 32 KiB for low, 64 for medium, 128 for high. A unit of one leaf may always carry as
    /// much as a high one.
    unit_bytes(by_tier: ByTier<usize>) = ByTier { low: 32 << 10, medium: 64 << 10, high: 128 << 10 }, by check_sizes;
    /// Whether interior nodes above the tiles are issued to clients too; default false, since
    /// hashing them costs the server less than a request.
    interior_units(issue: bool) = false;
    /// Units issued and unanswered at most, 1 to 4 194 304; default 131 072. Then none is issued.
    leases_max(leases: usize) = 131_072, in 1..=4_194_304, "it must be from 1 to 4194304";
    /// Maximum number of made-up units issued and not answered; default 4 096.
    synthetic_max(units: usize) = 4_096, by check_synthetic_max;
    /// Maximum bytes kept ready, 1 MiB to 1 GiB; default 32 MiB. Overrides `min_queue_depth`.
    ready_bytes_max(bytes: usize) = 32 << 20, in 1 << 20..=1 << 30, "it must be from 1048576 to 1073741824";
    /// Maximum number of answers in one commit, 1 to 4 096; default 256.
    commit_ops_max(ops: usize) = 256, in 1..=4_096, "it must be from 1 to 4096";
    /// Maximum number of answers waiting for a commit, 1 to 65 536; default 4 096. Above it,
    /// `submit` fails with `SubmitError::Busy`.
    waiting_answers_max(answers: usize) = 4_096, in 1..=65_536, "it must be from 1 to 65536";
    /// Ledger entries stored one by one, 1 000 or more; default 100 000 000. Older ones are sealed:
    /// their total and the chain are kept, their receipts are deleted.
    ledger_entries_kept(entries: u64) = 100_000_000, in 1_000.., "it must be 1000 or more";
    // Well below the day after which idle clients, and with them their strikes, are forgotten.
    /// How long an answer waits for equal ones from other clients before the server hashes its
    /// leaves itself, 1 ms to 12 hours; default 10 minutes. For trees verified by a quorum.
    quorum_wait(wait: Duration) = Duration::from_secs(600), in 1..=43_200_000, "it must be from 1 ms to 12 hours";
    /// Tier every client starts at, and falls back to; default low.
    default_difficulty(tier: DifficultyTier) = DifficultyTier::Low;
    /// Highest tier a client can rise to, the default tier or above; default high.
    max_difficulty(tier: DifficultyTier) = DifficultyTier::High, by check_max_difficulty;
    /// Time within which two violations raise the tier, 1 ms or more; default 5 minutes.
    escalation_window(window: Duration) = Duration::from_secs(300), in 1..=MS_MAX, POSITIVE;
    /// Time without violation for each step down, 1 ms or more; default 10 minutes.
    cool_down(time: Duration) = Duration::from_secs(600), in 1..=MS_MAX, POSITIVE;
    /// Clients whose difficulty is remembered, 16 to 16 777 216; default 262 144, about 30 MiB. At
    /// the maximum, the least important of a few entries is forgotten.
    difficulty_clients_max(clients: usize) = 262_144, in 16..=1 << 24, "it must be from 16 to 16777216";
    /// Whether to open a store that is more than 400 days behind the wall clock; default false.
    accept_clock_ahead(accept: bool) = false;
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
        ConfigBuilder { hmac_secret: hmac_secret.into(), ..ConfigBuilder::defaults() }
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

    fn check_secrets(&self) -> Result<(), ConfigError> {
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
        check("previous_secrets", "repeated", !repeated, "each secret must be given once, the newest as hmac_secret")
    }

    fn check_floor(&self) -> Result<(), ConfigError> {
        let below_ttl = ..self.token_ttl.as_millis();
        <[Duration; 3]>::from(self.floor)
            .into_iter()
            .try_for_each(|floor| check_time("floor", floor, below_ttl, "it must be below the token's lifetime"))
    }

    /// Checks the bytes of a unit, and the calibration of them.
    fn check_sizes(&self) -> Result<(), ConfigError> {
        let bytes: [usize; 3] = self.unit_bytes.into();
        for size in bytes {
            size.check_within("unit_bytes", 1 << 10..=1 << 21, "it must be from 1024 to 2097152")?;
        }
        check("unit_bytes", format!("{bytes:?}"), bytes.is_sorted(), "none must be smaller than the one before")?;
        self.check_calibration()
    }

    fn check_synthetic_max(&self) -> Result<(), ConfigError> {
        let made_up = self.synthetic_max;
        check("synthetic_max", made_up, made_up <= self.leases_max, "it must be at most leases_max")
    }

    fn check_max_difficulty(&self) -> Result<(), ConfigError> {
        let (default, cap) = (self.default_difficulty, self.max_difficulty);
        check("max_difficulty", cap, cap >= default, "it must not be below default_difficulty")
    }
}
