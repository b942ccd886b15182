//! What can be done to an engine, in four bytes a piece: one list for the model test and the fuzz targets.

use std::time::Duration;

use pouw::protocol::{ByTier, DifficultyTier};
use pouw::{AwardBasis, Config};

/// One step of a run. Small numbers are reduced to what there is when the step is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Cut bytes into blocks. The name may be in use, with the same content or another.
    IngestBytes { name: u8, size: u8, content: u8 },
    /// One leaf for each block, of mixed lengths.
    IngestBlocks { name: u8, count: u8, content: u8 },
    /// The same content as that of a living tree, or another, under its name.
    IngestAgain { tree: u8, same: bool },
    /// Something that cannot be ingested.
    IngestRefused { what: u8 },
    /// Ask for a unit, perhaps after a refill.
    Issue { client: u8, tier: DifficultyTier, synthetic: bool, refill: bool, policy: u8, floor: bool },
    /// Ask for the unit of an open challenge again.
    Reissue { token: Pick, other_client: bool },
    /// Answer.
    Submit { token: Pick, how: How },
    /// Let time pass.
    Advance { how: u8, by: u8 },
    /// Step the wall clock alone.
    StepWall { how: u8 },
    /// Expiry, reclaim, pruning.
    Sweep,
    /// Fill the ring.
    Refill,
    /// Refill, assemble, drop.
    Upkeep,
    /// Close and open again, or cut the power and open what is left.
    Reopen { power_cut: bool, switch_interior: bool },
    /// Take a tree out.
    Forget { tree: u8 },
    /// Spend credits.
    Debit { client: u8, key: u8, amount: u8 },
    /// Compare everything: trees, ledger, balances, receipts.
    Check,
    /// Prove a leaf of a complete tree and verify the proof against the commitment.
    Prove { tree: u8, leaf: u8 },
    /// Present a token that was never issued: an issued one with a character changed.
    Forge { token: Pick, at: u8, by: u8 },
}

/// Which of the tokens issued so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// One whose lease lives.
    Live(u8),
    /// One of an earlier boot without a lease.
    Dormant(u8),
    /// One that has taken effect, or was used up by a wrong answer.
    Used(u8),
    /// Any.
    Any(u8),
}

/// What to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Right,
    /// At the first moment the floor allows.
    RightInTime,
    WrongLeaf(u8),
    WrongTop,
    Permuted,
    OneMissing,
    OneTooMany,
    OtherClient,
    OtherPolicy,
    /// The answer to another unit, under this token.
    OtherUnit(u8),
    /// Another token in the body than in the header.
    OtherToken,
}

/// Names of the operations, for the tally: the position is [`Op::kind`].
pub const KINDS: [&str; 18] = [
    "ingest_bytes",
    "ingest_blocks",
    "ingest_again",
    "ingest_refused",
    "issue",
    "reissue",
    "submit",
    "advance",
    "step_wall",
    "sweep",
    "refill",
    "upkeep",
    "reopen",
    "forget",
    "debit",
    "check",
    "prove",
    "forge",
];

impl Op {
    /// The operation four bytes stand for. Every four bytes are one; common ones have more of them.
    pub fn decode([kind, a, b, c]: [u8; 4]) -> Self {
        // At least two of 64 each, so that none stays rare.
        match kind % 64 {
            0..=3 => Self::IngestBytes { name: a, size: b, content: c },
            4..=6 => Self::IngestBlocks { name: a, count: b, content: c },
            7..=8 => Self::IngestAgain { tree: a, same: b % 2 == 0 },
            9..=10 => Self::IngestRefused { what: a },
            11..=22 => Self::Issue {
                client: a,
                tier: DifficultyTier::ALL[usize::from(b % 3)],
                synthetic: c % 4 == 0,
                refill: c % 8 < 6,
                policy: (b / 3) % 2,
                floor: c >= 64,
            },
            23..=24 => Self::Reissue { token: Pick::decode(a), other_client: b % 8 == 0 },
            25..=38 => Self::Submit { token: Pick::decode(a), how: How::decode(b, c) },
            39..=42 => Self::Advance { how: a, by: b },
            43..=44 => Self::StepWall { how: a },
            45..=46 => Self::Sweep,
            47..=48 => Self::Refill,
            49..=51 => Self::Upkeep,
            52..=53 => Self::Reopen { power_cut: a % 3 == 0, switch_interior: b % 4 == 0 },
            54..=55 => Self::Forget { tree: a },
            56..=57 => Self::Debit { client: a, key: b, amount: c },
            58..=59 => Self::Check,
            60..=61 => Self::Prove { tree: a, leaf: b },
            _ => Self::Forge { token: Pick::decode(a), at: b, by: c },
        }
    }

    /// Operations from bytes, four each; what is left over at the end is dropped.
    pub fn decode_all(bytes: &[u8]) -> Vec<Self> {
        bytes.as_chunks::<4>().0.iter().map(|op| Self::decode(*op)).collect()
    }

    /// Position of this operation in [`KINDS`].
    pub fn kind(&self) -> usize {
        match self {
            Self::IngestBytes { .. } => 0,
            Self::IngestBlocks { .. } => 1,
            Self::IngestAgain { .. } => 2,
            Self::IngestRefused { .. } => 3,
            Self::Issue { .. } => 4,
            Self::Reissue { .. } => 5,
            Self::Submit { .. } => 6,
            Self::Advance { .. } => 7,
            Self::StepWall { .. } => 8,
            Self::Sweep => 9,
            Self::Refill => 10,
            Self::Upkeep => 11,
            Self::Reopen { .. } => 12,
            Self::Forget { .. } => 13,
            Self::Debit { .. } => 14,
            Self::Check => 15,
            Self::Prove { .. } => 16,
            Self::Forge { .. } => 17,
        }
    }
}

impl Pick {
    fn decode(byte: u8) -> Self {
        match byte % 16 {
            0..=8 => Self::Live(byte / 16),
            9..=11 => Self::Dormant(byte / 16),
            12 => Self::Used(byte / 16),
            _ => Self::Any(byte),
        }
    }
}

impl How {
    fn decode(byte: u8, more: u8) -> Self {
        match byte % 32 {
            0..=7 => Self::Right,
            8..=20 => Self::RightInTime,
            21 => Self::WrongLeaf(more),
            22 => Self::WrongTop,
            23 => Self::Permuted,
            24..=25 => Self::OneMissing,
            26 => Self::OneTooMany,
            27 => Self::OtherClient,
            28 => Self::OtherPolicy,
            29 => Self::OtherUnit(more),
            30 => Self::OtherToken,
            _ => Self::Right,
        }
    }
}

/// Settings of one run, in two bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// Milliseconds before an answer counts, by tier.
    pub floor_ms: [u64; 3],
    /// Units that may be out at once.
    pub leases_max: usize,
    /// Made-up units among them.
    pub synthetic_max: usize,
    /// Largest data of a unit by tier; leaves above the last are hashed by the server.
    pub unit_bytes: [usize; 3],
    /// Ready units kept at least.
    pub min_queue_depth: usize,
    /// Interior nodes are issued too. Changes with [`Op::Reopen`].
    pub interior: bool,
    /// Credit by the paper's averages instead of by hashes.
    pub tier_average: bool,
}

/// Lifetime of a token in every run, milliseconds.
pub const TTL_MS: u64 = 60_000;
/// Age at which a ready unit is made anew, milliseconds.
pub const MAX_AGE_MS: u64 = 100_000;
/// Micro-Joules for each hash.
pub const PER_HASH: u64 = 7;
/// The signing secret of every run.
pub const SECRET: [u8; 32] = [42; 32];

impl Setup {
    /// The settings two bytes stand for.
    pub fn decode([a, b]: [u8; 2]) -> Self {
        let leases_max = [4, 24, 1_000, 1_000][usize::from(a % 4)];
        Self {
            floor_ms: if a & 4 == 0 { [0; 3] } else { [1_500, 4_000, 7_500] },
            leases_max,
            synthetic_max: leases_max / 2,
            unit_bytes: if a & 8 == 0 { [32 << 10, 64 << 10, 128 << 10] } else { [1_024, 2_048, 5_000] },
            min_queue_depth: [1, 3, 8, 40][usize::from(b % 4)],
            interior: b & 4 != 0,
            tier_average: b & 8 != 0,
        }
    }

    /// An engine's configuration.
    pub fn config(&self) -> pouw::ConfigBuilder {
        Config::builder(SECRET)
            .token_ttl(Duration::from_millis(TTL_MS))
            .work_unit_max_age(Duration::from_millis(MAX_AGE_MS))
            .micro_joules_per_hash(PER_HASH)
            .award_basis(if self.tier_average { AwardBasis::TierAverage } else { AwardBasis::Actual })
            .floor(ByTier::from(self.floor_ms).map(Duration::from_millis))
            .leases_max(self.leases_max)
            .synthetic_max(self.synthetic_max)
            .unit_bytes(self.unit_bytes.into())
            .min_queue_depth(self.min_queue_depth)
            .interior_units(self.interior)
            .background(false)
    }
}
