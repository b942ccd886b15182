//! Export policies: what has to be known about the leaves of a tree before it is exported.
//!
//! Leaves that only clients stand for are hashed by the server, all of them or a sample, in bounded batches that each
//! are durable: a long verification goes on where it was cut short. One that turns out to be wrong is corrected, which
//! gives the tree another root, and everything else its clients stand for is doubted and hashed too.

use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;

use crate::hash::{Checksum, hash_batch};
use crate::merkle::TILE_LEAVES;
use crate::policy::audit::{Selection, sample_size};
use crate::policy::quorum::Voter;
use crate::policy::ready::Loaded;
use crate::store::records::{DataPlace, LeafState, TreeRow, TreeState, Work};
use crate::store::{Command, Outcome, TreeId, Upgrade};

use super::core::Core;
use super::error::{TreeError, WriteError};
use super::event::Event;
use super::load::{LoadError, load_tile};
use super::upkeep::UpkeepError;
use super::verify::leaf_bytes;

/// What has to be known about the leaves of a tree before it is exported.
///
/// ```
/// use pouw::engine::ExportPolicy;
/// assert_eq!("strict".parse(), Ok(ExportPolicy::Strict));
/// let sampled = ExportPolicy::Statistical { epsilon: 0.01, delta: 1e-6 };
/// assert_eq!("statistical:0.01:0.000001".parse(), Ok(sampled));
/// assert!("statistical:0:0.1".parse::<ExportPolicy>().is_err());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub enum ExportPolicy {
    /// Every leaf is verified or known: the server hashes what is not.
    #[default]
    Strict,
    /// A random sample of the leaves that only clients stand for is hashed. If a part of `epsilon` or more of them were
    /// wrong, this would have found one with a chance of at least `1 - delta`.
    Statistical {
        /// Part of wrong leaves that must not go unseen, above 0 and below 1.
        epsilon: f64,
        /// Chance that it does, above 0 and below 1.
        delta: f64,
    },
    /// As it is, but for leaves of clients caught in a lie, which are hashed before any export.
    Attested,
}

impl ExportPolicy {
    pub(super) fn check(self) -> Result<(), TreeError> {
        let Self::Statistical { epsilon, delta } = self else { return Ok(()) };
        for (field, value) in [("epsilon", epsilon), ("delta", delta)] {
            if !(value > 0.0 && value < 1.0) {
                return Err(TreeError::Policy { field, value: value.to_string() });
            }
        }
        Ok(())
    }
}

impl fmt::Display for ExportPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strict => f.write_str("strict"),
            Self::Statistical { epsilon, delta } => write!(f, "statistical:{epsilon}:{delta}"),
            Self::Attested => f.write_str("attested"),
        }
    }
}

/// A word that names no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no policy: `strict`, `statistical:EPSILON:DELTA` with both above 0 and below 1, `attested`")]
pub struct UnknownPolicy(pub String);

impl FromStr for ExportPolicy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let statistical = |rest: &str| {
            let (epsilon, delta) = rest.split_once(':')?;
            Some(Self::Statistical { epsilon: epsilon.parse().ok()?, delta: delta.parse().ok()? })
        };
        let found = match text {
            "strict" => Some(Self::Strict),
            "attested" => Some(Self::Attested),
            _ => text.strip_prefix("statistical:").and_then(statistical),
        };
        found.filter(|policy| policy.check().is_ok()).ok_or_else(|| UnknownPolicy(text.to_owned()))
    }
}

/// How far a verification before an export is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Leaves hashed.
    pub hashed: u64,
    /// Leaves to be hashed, as far as is known.
    pub of: u64,
    /// Leaves that were wrong and are right now.
    pub corrected: u64,
}

/// Called now and then with how far a verification is; `Break` stops it, and what is hashed so far stays.
pub type OnVerify<'p> = &'p mut dyn FnMut(&VerifyProgress) -> ControlFlow<()>;

/// Tiles looked at, and hashed with one command each, before they are written together.
const TILES_PER_PAGE: usize = 256;
const TILES_PER_COMMIT: usize = 64;
const BYTES_PER_COMMIT: u64 = 8 << 20;

impl Core {
    /// Does what `policy` asks for. Afterwards the tree is complete.
    pub(super) fn satisfy(
        &self,
        name: &str,
        policy: ExportPolicy,
        progress: OnVerify<'_>,
    ) -> Result<VerifyProgress, TreeError> {
        policy.check()?;
        let mut done = VerifyProgress::default();
        // While leaves may be corrected, nobody else folds the tree.
        let _one = self.auditing.lock();
        let (_, row) = self.named(name)?;
        if !row.strategy.knows_answers() {
            // The server may just have corrected a leaf of it.
            self.complete_again(name)?;
        }
        let (tree, _) = self.complete(name)?;
        // What is to be doubted is known, and hashed, before any export: lies just caught are written first.
        let waiting = self.refused.lock().len();
        if waiting > 0 {
            (0..waiting.div_ceil(self.config.settings.commit_ops_max))
                .try_for_each(|_| self.write(Command::Touch).map(drop))?;
        }
        while self.follow_suspects().map_err(tree_error)? > 0 {}
        let counts = self.store.read()?.provenance(tree)?;
        let strict = policy == ExportPolicy::Strict;
        #[cfg(feature = "testing")]
        let strict = strict && !self.config.makes(super::testing::Mistake::StrictTrustsAudited);
        if strict {
            done.of = counts.weak();
            self.upgrade_tree(name, LeafState::is_weak, &mut |_| true, &mut done, progress)?;
        } else if counts.doubted > 0 {
            done.of = counts.doubted;
            let doubted = |state| state == LeafState::Doubted;
            self.upgrade_tree(name, doubted, &mut |_| true, &mut done, progress)?;
        }
        match policy {
            ExportPolicy::Attested | ExportPolicy::Strict => {}
            ExportPolicy::Statistical { epsilon, delta } => {
                // Each further round may pass by chance too: their deltas add up to no more than the one given.
                let mut delta = delta / 2.0;
                while self.sample_once(name, sample_size(epsilon, delta), &mut done, progress)? {
                    delta /= 2.0;
                }
            }
        }
        self.complete_again(name)?;
        self.wake();
        Ok(done)
    }

    /// One sample of the leaves that only clients stand for; true if it found a lie.
    fn sample_once(
        &self,
        name: &str,
        count: u64,
        done: &mut VerifyProgress,
        progress: OnVerify<'_>,
    ) -> Result<bool, TreeError> {
        let (tree, _) = self.named(name)?;
        let weak = self.store.read()?.provenance(tree)?.weak();
        let (mut selection, mut failed) = (Selection::new(weak, count), None);
        let mut drawn = |_| {
            selection.takes(&mut || {
                self.draw().unwrap_or_else(|error| {
                    failed = Some(error);
                    0
                })
            })
        };
        done.of += count.min(weak);
        let before = done.corrected;
        self.upgrade_tree(name, LeafState::is_weak, &mut drawn, done, progress)?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        if done.corrected == before {
            return Ok(false);
        }
        // What else the liars stand for is hashed first, and then a new sample is drawn.
        while self.settle_doubts().map_err(tree_error)? > 0 {}
        Ok(true)
    }

    /// Hashes those leaves whose state `is` one of these and which are `wanted`, in order.
    fn upgrade_tree(
        &self,
        name: &str,
        is: fn(LeafState) -> bool,
        wanted: &mut dyn FnMut(u64) -> bool,
        done: &mut VerifyProgress,
        progress: OnVerify<'_>,
    ) -> Result<(), TreeError> {
        let (tree, row) = self.named(name)?;
        if self.store.read()?.provenance(tree)?.weak() == 0 {
            return Ok(());
        }
        let tiles = row.leaves.div_ceil(TILE_LEAVES);
        let mut next = 0;
        let (mut waiting, mut bytes) = (Vec::new(), 0);
        while next < tiles {
            let page = self.store.read()?.tiles(tree, next, TILES_PER_PAGE.min((tiles - next) as usize))?;
            for (tile, states) in (next..).zip(&page) {
                let weak = states.mask(TILE_LEAVES, is);
                let mask =
                    bits(weak).filter(|slot| wanted(tile * TILE_LEAVES + slot)).fold(0, |mask, slot| mask | 1 << slot);
                if mask == 0 {
                    continue;
                }
                let upgrade = self.hash_tile(tree, &row, tile, mask)?;
                bytes += upgrade.work.bytes;
                waiting.push(upgrade);
                if waiting.len() >= TILES_PER_COMMIT || bytes >= BYTES_PER_COMMIT {
                    bytes = 0;
                    self.write_upgrades(&row.name, std::mem::take(&mut waiting), done)?;
                    if progress(done).is_break() {
                        return Err(TreeError::Sink(std::io::Error::other("stopped")));
                    }
                }
            }
            next += page.len() as u64;
        }
        self.write_upgrades(&row.name, waiting, done)?;
        Ok(())
    }

    /// The server's own hashes of some leaves of a tile.
    pub(super) fn hash_tile(&self, tree: TreeId, row: &TreeRow, tile: u64, mask: u32) -> Result<Upgrade, TreeError> {
        let gone = |what: String| TreeError::Unverifiable {
            name: row.name.clone(),
            leaves: u64::from(mask.count_ones()),
            what,
        };
        if row.data == DataPlace::Dropped {
            return Err(gone("its block data was let go".into()));
        }
        // Each leaf by itself: what lies between two of them need not be there any more.
        let reader = self.store.read()?;
        let mut loaded: Vec<(u8, Loaded)> = Vec::new();
        for slot in bits(mask) {
            match load_tile(&self.store, &reader, tree, row, tile, 1 << slot) {
                Ok(data) => loaded.push((slot as u8, data)),
                Err(LoadError::Store(error)) => return Err(error.into()),
                Err(LoadError::Source(what)) => return Err(gone(what)),
            }
        }
        let slices: Vec<&[u8]> = loaded.iter().map(|(_, data)| leaf_bytes(data, 0).unwrap_or_default()).collect();
        let work = Work::of(slices.iter().map(|leaf| leaf.len() as u64));
        let slots = loaded.iter().map(|(slot, _)| *slot);
        let hashes: Vec<(u8, Checksum)> = slots.zip(hash_batch(&slices)).collect();
        Ok(Upgrade { tree, tile, hashes, work, at_ms: self.now_ms() })
    }

    /// Makes hashes of the server's durable and tells what they corrected.
    pub(super) fn write_upgrades(
        &self,
        name: &str,
        upgrades: Vec<Upgrade>,
        done: &mut VerifyProgress,
    ) -> Result<(), WriteError> {
        if upgrades.is_empty() {
            return Ok(());
        }
        let tree = upgrades.first().map_or(0, |upgrade| upgrade.tree);
        done.hashed += upgrades.iter().map(|upgrade| upgrade.hashes.len() as u64).sum::<u64>();
        for outcome in self.write_bulk(upgrades.into_iter().map(Command::Upgrade).collect())? {
            let Outcome::Judged { corrected, liars, .. } = outcome else { continue };
            done.corrected += corrected.len() as u64;
            for leaf in corrected {
                self.emit(Event::LeafCorrected { tree, name: name.to_owned(), leaf });
            }
            let liars: Vec<Voter> = liars.into_iter().map(|(client, network)| Voter { client, network }).collect();
            self.note_liars(&liars);
        }
        Ok(())
    }

    /// Folds a tree that a correction took its root from.
    fn complete_again(&self, name: &str) -> Result<(), TreeError> {
        let (tree, row) = self.named(name)?;
        if row.state != TreeState::Assembling {
            return Ok(());
        }
        let (_, root) = self.validate_row(tree, &row)?;
        let root = (!row.strategy.knows_answers()).then(|| *root.as_bytes());
        let (from, to) = (TreeState::Assembling, TreeState::Complete);
        self.write_bulk(vec![Command::SetTreeState { tree, from, to, root }])?;
        self.queue.lock().complete(tree);
        self.emit(Event::TreeCompleted { tree, name: row.name });
        Ok(())
    }
}

/// The set bits of a mask, lowest first.
fn bits(mask: u32) -> impl Iterator<Item = u64> {
    (0..TILE_LEAVES).filter(move |slot| mask & (1 << slot) != 0)
}

fn tree_error(error: UpkeepError) -> TreeError {
    match error {
        UpkeepError::Store(error) => error.into(),
        UpkeepError::Write(error) => error.into(),
    }
}
