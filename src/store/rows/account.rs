//! Totals of offloaded work: accepted from clients, done by the server by reason, bytes sent.

use super::codec::{fields, row};
use serde::Serialize;

use super::Strategy;

/// An amount of hashing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HashWork {
    /// SHA3-512 hashes.
    pub hashes: u64,
    /// Bytes hashed.
    pub bytes: u64,
    /// Keccak-f permutations: `len / 72 + 1` for each hash, rounded down.
    pub permutations: u64,
}

impl HashWork {
    /// Hashing these messages, by their byte lengths.
    pub(crate) fn of(lengths: impl IntoIterator<Item = u64>) -> Self {
        lengths
            .into_iter()
            .fold(Self::default(), |sum, len| sum.plus(Self { hashes: 1, bytes: len, permutations: len / RATE + 1 }))
    }

    /// Hashing `pairs` parents of two children and `singles` of one.
    pub(crate) fn of_parents(pairs: u64, singles: u64) -> Self {
        let hashes = pairs + singles;
        Self { hashes, bytes: 128 * pairs + 64 * singles, permutations: 2 * pairs + singles }
    }

    /// The sum.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            hashes: self.hashes.saturating_add(other.hashes),
            bytes: self.bytes.saturating_add(other.bytes),
            permutations: self.permutations.saturating_add(other.permutations),
        }
    }

    /// Adds another amount.
    pub(crate) fn add(&mut self, other: Self) {
        *self = self.plus(other);
    }

    fn take_away(&mut self, other: Self) {
        self.hashes = self.hashes.saturating_sub(other.hashes);
        self.bytes = self.bytes.saturating_sub(other.bytes);
        self.permutations = self.permutations.saturating_sub(other.permutations);
    }
}

/// Bytes SHA3-512 takes in with one permutation.
const RATE: u64 = 72;

/// Why the server hashed something itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HashReason {
    /// Leaves of a tree during its ingest.
    Ingest,
    /// A sample of an answer.
    Audit,
    /// Leaves on which answers differ, leaves of quorums that were not completed, blocks that do
    /// not fit their address.
    Referee,
    /// Leaves that only clients have hashed: before an export, or because one of these clients
    /// lied.
    Export,
    /// Parents.
    Folding,
}

impl HashReason {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ingest, Self::Audit, Self::Referee, Self::Export, Self::Folding];

    /// The word for this reason in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Audit => "audit",
            Self::Referee => "referee",
            Self::Export => "export",
            Self::Folding => "folding",
        }
    }
}

/// The account of the trees of one strategy, or of made-up work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StrategyAccount {
    /// Leaves and parents accepted from clients.
    pub accepted: HashWork,
    /// Hashed by the server, in the order of [`HashReason::ALL`].
    pub(super) server: [HashWork; 5],
    /// Work in the units sent, parents included; the bytes on the wire are `sent_bytes`.
    pub asked: HashWork,
    /// Units sent, each time one is sent.
    pub sent_units: u64,
    /// Bytes of block data sent to clients.
    pub sent_bytes: u64,
}

impl StrategyAccount {
    /// Hashing by the server for this reason.
    pub fn server(&self, reason: HashReason) -> HashWork {
        self.server[reason as usize]
    }

    /// All hashing by the server.
    pub fn server_work(&self) -> HashWork {
        self.server.iter().fold(HashWork::default(), |sum, work| sum.plus(*work))
    }

    /// Permutations accepted from clients minus those of the server; below zero where offloading
    /// loses.
    pub fn saved(&self) -> i128 {
        i128::from(self.accepted.permutations) - i128::from(self.server_work().permutations)
    }

    /// Adds another account.
    pub(crate) fn add(&mut self, other: &Self) {
        self.accepted.add(other.accepted);
        for (work, more) in self.server.iter_mut().zip(other.server) {
            work.add(more);
        }
        self.asked.add(other.asked);
        self.sent_units = self.sent_units.saturating_add(other.sent_units);
        self.sent_bytes = self.sent_bytes.saturating_add(other.sent_bytes);
    }
}

/// `meta-0` under `account`: totals of offloaded work, by strategy. No row: no counts yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccountRow(pub UsefulnessAccount);

/// Totals of offloaded work, by strategy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsefulnessAccount {
    /// In the order of the strategies, then made-up work.
    pub(crate) by: [StrategyAccount; Self::PLACES],
}

impl UsefulnessAccount {
    /// Strategies, and made-up work.
    pub(crate) const PLACES: usize = Strategy::NAMES.len() + 1;
    /// The place of made-up work.
    pub(crate) const SYNTHETIC: usize = Strategy::NAMES.len();

    /// The accounts with the names of their places.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &StrategyAccount)> {
        Strategy::NAMES.into_iter().chain(["synthetic"]).zip(&self.by)
    }

    /// The account of the trees of one strategy, whatever its parameter.
    pub fn of(&self, strategy: Strategy) -> &StrategyAccount {
        &self.by[strategy.index()]
    }

    /// The account of made-up work.
    pub fn synthetic(&self) -> &StrategyAccount {
        &self.by[Self::SYNTHETIC]
    }

    /// The accounts of the strategies with their names, without made-up work.
    pub fn strategies(&self) -> impl Iterator<Item = (&'static str, &StrategyAccount)> {
        self.named().take(Self::SYNTHETIC)
    }

    /// Counts work of the server.
    pub(crate) fn count_server(&mut self, place: usize, reason: HashReason, work: HashWork) {
        if let Some(account) = self.by.get_mut(place) {
            account.server[reason as usize].add(work);
        }
    }

    /// Adds another account.
    pub(crate) fn add(&mut self, other: &Self) {
        for (account, more) in self.by.iter_mut().zip(&other.by) {
            account.add(more);
        }
    }

    /// Subtracts another account.
    pub(crate) fn take_away(&mut self, other: &Self) {
        for (account, less) in self.by.iter_mut().zip(&other.by) {
            account.accepted.take_away(less.accepted);
            account.asked.take_away(less.asked);
            for (work, less) in account.server.iter_mut().zip(less.server) {
                work.take_away(less);
            }
            account.sent_units = account.sent_units.saturating_sub(less.sent_units);
            account.sent_bytes = account.sent_bytes.saturating_sub(less.sent_bytes);
        }
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The part of the permutations sent to clients that came back as accepted leaves and parents;
    /// `None` before the first unit. Made-up work counts as useless.
    pub fn useful_fraction(&self) -> Option<f64> {
        let asked: u64 = self.by.iter().map(|account| account.asked.permutations).sum();
        let accepted: u64 = self.by[..Self::SYNTHETIC].iter().map(|account| account.accepted.permutations).sum();
        (asked > 0).then(|| accepted as f64 / asked as f64)
    }
}

super::words::written_as_str!(HashReason);

row!(AccountRow);
fields!(UsefulnessAccount { by });
fields!(StrategyAccount { accepted, server, asked, sent_units, sent_bytes });
fields!(HashWork { hashes, bytes, permutations });
fields!(AccountRow { 0 });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_strategy_has_its_name_at_its_place() {
        let all = ["precomputed", "known-address", "audit:1", "quorum:2"].map(|text| text.parse::<Strategy>().unwrap());
        for strategy in all {
            let account = UsefulnessAccount::default();
            assert_eq!(account.named().nth(strategy.index()).unwrap().0, strategy.as_str());
            assert!(strategy.to_string().starts_with(strategy.as_str()));
        }
        let named = UsefulnessAccount::default();
        let names: Vec<&str> = named.named().map(|(name, _)| name).collect();
        assert_eq!(names, ["precomputed", "known-address", "audit", "quorum", "synthetic"]);
    }

    #[test]
    fn permutations_follow_the_rate() {
        let of = |len| HashWork::of([len]).permutations;
        assert_eq!([0, 71, 72, 128, 4_096, 65_536].map(of), [1, 1, 2, 2, 57, 911]);
        assert_eq!(HashWork::of_parents(3, 1), HashWork::of([128, 128, 128, 64]));
    }
}
