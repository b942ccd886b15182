//! Satisfies an export policy before a tree is exported.
//!
//! The server hashes leaves known from clients only, all of them or a sample, in bounded batches
//! that each are durable: an interrupted verification continues where it stopped. A wrong leaf is
//! corrected, which changes the root of the tree, and all other leaves of its clients are doubted
//! and hashed too.

use std::ops::ControlFlow;

use crate::merkle::{AlignedRange, GROUP_LEAVES, Shape, TILE_LEAVES};
use crate::policy::audit::{Selection, sample_size};
use crate::policy::ready::mask_of;
use crate::protocol::data_digest;
use crate::store::rows::{DataPlace, HashReason, HashWork, LeafState, TreeRow, TreeState};
use crate::store::{CHORE_DROP, Command, Outcome, TreeNumber, Upgrade};

use super::export_policy::ExportPolicy;
use crate::engine::answers::sample;
use crate::engine::answers::settled;
use crate::engine::backlog::leaf_bytes::{LoadError, load_tile};
use crate::engine::backlog::rehash;
use crate::engine::core::Core;
use crate::engine::error::{TreeError, WriteError};
use crate::engine::event::Event;
use crate::engine::tree_id::TreeId;
use crate::engine::trees::stored;
use crate::engine::trees::suspects;
use crate::engine::upkeep::report::UpkeepError;

/// Progress of a verification before an export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyProgress {
    /// Leaves hashed.
    pub hashed: u64,
    /// Leaves to hash, as far as known.
    pub of: u64,
    /// Wrong leaves that were corrected.
    pub corrected: u64,
}

/// Called repeatedly with the progress of a verification. `Break` stops it; leaves hashed so far
/// stay verified. The callback must not export or verify: one verification runs at a time.
pub type OnVerify<'p> = &'p mut dyn FnMut(&VerifyProgress) -> ControlFlow<()>;

/// Tiles looked at, and hashed with one command each, before they are written together.
const TILES_PER_PAGE: usize = 256;
const TILES_PER_COMMIT: usize = 64;
const BYTES_PER_COMMIT: u64 = 8 << 20;

/// Satisfies `policy`, and returns the tree, which is complete then.
pub(in crate::engine) fn satisfy(
    core: &Core,
    name: &str,
    policy: ExportPolicy,
    progress: OnVerify<'_>,
) -> Result<(TreeNumber, VerifyProgress), TreeError> {
    policy.check()?;
    let (tree, row) = stored::named(core, name)?;
    if row.strategy.knows_answers() {
        // Its leaves are verified or known from the first.
        return Ok((stored::complete(core, name)?.0, VerifyProgress::default()));
    }
    // While leaves may be corrected, no other thread folds such a tree.
    let one = core.turns.audit.lock();
    let done = satisfy_locked(core, tree, name, policy, progress);
    drop(one);
    core.events.report_stored();
    core.background.wake();
    Ok((tree, done?))
}

fn satisfy_locked(
    core: &Core,
    tree: TreeNumber,
    name: &str,
    policy: ExportPolicy,
    progress: OnVerify<'_>,
) -> Result<VerifyProgress, TreeError> {
    let mut done = VerifyProgress::default();
    // The server may just have corrected a leaf of it.
    complete_again(core, tree)?;
    same_tree(core, tree, name)?;
    let strict = policy == ExportPolicy::Strict;
    #[cfg(feature = "testing")]
    let strict = strict && !core.config.makes(crate::engine::mistake::Mistake::StrictTrustsAudited);
    let weak = core.store.read()?.provenance(tree)?.weak();
    if weak > 0 && policy != ExportPolicy::Attested && core.store.read()?.has_chore(CHORE_DROP, tree)? {
        let what = "its block data was released".to_owned();
        return Err(TreeError::Unverifiable { name: name.to_owned(), leaves: weak, what });
    }
    clear_doubts(core, tree, &mut done, progress)?;
    if strict {
        done.of = done.of.max(done.hashed + core.store.read()?.provenance(tree)?.weak());
        upgrade_tree(core, tree, LeafState::is_weak, &mut |_| true, &mut done, progress)?;
    }
    if let ExportPolicy::Statistical { epsilon, delta } = policy {
        // Each further round may pass by chance too: their deltas add up to no more than the
        // one given.
        let mut delta = delta / 2.0;
        while sample_once(core, tree, sample_size(epsilon, delta), &mut done, progress)? {
            delta /= 2.0;
        }
    }
    complete_again(core, tree)?;
    same_tree(core, tree, name)?;
    let left = core.store.read()?.provenance(tree)?.weak();
    if strict && left > 0 {
        let what = "their data is not what it was when clients hashed it".to_owned();
        return Err(TreeError::Unverifiable { name: name.to_owned(), leaves: left, what });
    }
    Ok(done)
}

/// The name may belong to another tree by now.
fn same_tree(core: &Core, tree: TreeNumber, name: &str) -> Result<(), TreeError> {
    let (now, _) = stored::complete(core, name)?;
    if now == tree { Ok(()) } else { Err(TreeError::Corrected(name.to_owned())) }
}

/// Before any export, what is to be doubted is known, and what is doubted in this tree is
/// hashed. A lie found on the way makes more doubtful, so this goes on until nothing is found.
pub(in crate::engine) fn clear_doubts(
    core: &Core,
    tree: TreeNumber,
    done: &mut VerifyProgress,
    progress: OnVerify<'_>,
) -> Result<(), TreeError> {
    // Lies just caught are written first.
    let waiting = core.refused.len();
    for _ in 0..waiting.div_ceil(core.config.settings.commit_ops_max) {
        core.writer.write_bulk(vec![Command::Touch])?;
    }
    loop {
        while suspects::follow_suspects(core).map_err(tree_error)? > 0 {}
        let doubted = core.store.read()?.provenance(tree)?.doubted;
        if doubted == 0 {
            return Ok(());
        }
        done.of += doubted;
        let before = done.hashed;
        let is = |state| state == LeafState::Doubted;
        upgrade_tree(core, tree, is, &mut |_| true, done, progress)?;
        let left = core.store.read()?.provenance(tree)?.doubted;
        if done.hashed == before || left >= doubted {
            let name = core.store.read()?.tree(tree)?.map_or_else(String::new, |row| row.name);
            let what = "their data is not what it was when clients hashed it".to_owned();
            return Err(TreeError::Unverifiable { name, leaves: left, what });
        }
    }
}

/// Hashes one sample of the leaves known from clients only; true if it found a lie.
fn sample_once(
    core: &Core,
    tree: TreeNumber,
    count: u64,
    done: &mut VerifyProgress,
    progress: OnVerify<'_>,
) -> Result<bool, TreeError> {
    let weak = core.store.read()?.provenance(tree)?.weak();
    done.of += count.min(weak);
    let before = done.corrected;
    let mut selection = Selection::new(weak, count);
    sample::drawing(core, |random| {
        let mut drawn = |_| selection.takes(random);
        upgrade_tree(core, tree, LeafState::is_weak, &mut drawn, done, progress)
    })??;
    if done.corrected == before {
        return Ok(false);
    }
    // The other leaves of the liars are hashed first, and then a new sample is drawn.
    clear_doubts(core, tree, done, progress)?;
    Ok(true)
}

/// Hashes those leaves whose state `is` one of these and which are `wanted`, in order.
fn upgrade_tree(
    core: &Core,
    tree: TreeNumber,
    is: fn(LeafState) -> bool,
    wanted: &mut dyn FnMut(u64) -> bool,
    done: &mut VerifyProgress,
    progress: OnVerify<'_>,
) -> Result<(), TreeError> {
    let Some(row) = core.store.read()?.tree(tree)? else { return Ok(()) };
    let tiles = row.leaves.div_ceil(TILE_LEAVES);
    let mut next = 0;
    let (mut waiting, mut bytes) = (Vec::new(), 0);
    while next < tiles {
        let page = core.store.read()?.tiles(tree, next, TILES_PER_PAGE.min((tiles - next) as usize))?;
        for (tile, states) in (next..).zip(&page) {
            let weak = states.mask(TILE_LEAVES, is);
            let mask =
                bits(weak).filter(|slot| wanted(tile * TILE_LEAVES + slot)).fold(0, |mask, slot| mask | 1 << slot);
            if mask == 0 {
                continue;
            }
            let upgrade = hash_tile(core, tree, &row, tile, mask)?;
            bytes += upgrade.work.bytes;
            waiting.push(upgrade);
            if waiting.len() >= TILES_PER_COMMIT || bytes >= BYTES_PER_COMMIT {
                bytes = 0;
                write_upgrades(core, &row.name, std::mem::take(&mut waiting), done)?;
                if progress(done).is_break() {
                    return Err(TreeError::Cancelled);
                }
            }
        }
        next += page.len() as u64;
    }
    write_upgrades(core, &row.name, waiting, done)?;
    Ok(())
}

/// The server's own hashes of some leaves of a tile. Where they differ from what is stored, the
/// digest of the data that is there shows whether their clients were sent the same.
pub(in crate::engine) fn hash_tile(
    core: &Core,
    tree: TreeNumber,
    row: &TreeRow,
    tile: u64,
    mask: u32,
) -> Result<Upgrade, TreeError> {
    let gone = |what: String| {
        let leaves = u64::from(mask.count_ones());
        TreeError::Unverifiable { name: row.name.clone(), leaves, what }
    };
    if row.data == DataPlace::Dropped {
        return Err(gone("its block data was released".into()));
    }
    let failed = |error| match error {
        LoadError::Store(error) => error.into(),
        LoadError::Source(what) => gone(what),
        LoadError::Damaged { tile, mask, what } => {
            // Leaves with a hash that counts keep their state.
            let of = TreeId::new(tree);
            suspects::put_off(core, tree, what, |what| match row.data {
                DataPlace::Referenced => Event::SourceChanged { tree: of, what },
                _ => Event::CorruptionFound { tree: Some(of), what },
            });
            let leaf = tile * TILE_LEAVES + u64::from(mask.trailing_zeros());
            TreeError::Damaged { name: row.name.clone(), leaf }
        }
    };
    let (hashes, work) = rehash::hash_mask(core, (tree, row), tile, mask).map_err(failed)?;
    let reader = core.store.read()?;
    let first = tile * TILE_LEAVES;
    let mut wrong = 0_u32;
    for (slot, hash) in &hashes {
        let leaf = first + u64::from(*slot);
        let group = reader.group(tree, leaf / GROUP_LEAVES)?;
        if group.leaves.get((leaf % GROUP_LEAVES) as usize) != Some(hash) {
            wrong |= 1 << slot;
        }
    }
    let mut digests = Vec::new();
    let claims = if wrong == 0 { Vec::new() } else { reader.claims(tree, first, TILE_LEAVES as usize)? };
    let shape = Shape::new(row.leaves).map_err(|_| gone("it has no leaves".into()))?;
    for (start, claim) in claims.into_iter().take_while(|(start, _)| *start < first + TILE_LEAVES) {
        let Ok(range) = AlignedRange::new(shape, start, claim.order) else { continue };
        if mask_of(&range) & wrong != 0 {
            let data = load_tile(&*core.store, &*reader, tree, row, tile, mask_of(&range)).map_err(failed)?;
            digests.push((start, data_digest(&data.bytes)));
        }
    }
    Ok(Upgrade { tree, tile, hashes, digests, work, at_ms: core.time.now_ms() })
}

/// Makes hashes of the server durable and reports the corrections.
pub(in crate::engine) fn write_upgrades(
    core: &Core,
    name: &str,
    upgrades: Vec<Upgrade>,
    done: &mut VerifyProgress,
) -> Result<(), WriteError> {
    if upgrades.is_empty() {
        return Ok(());
    }
    let tree = upgrades.first().map_or(0, |upgrade| upgrade.tree);
    done.hashed += upgrades.iter().map(|upgrade| upgrade.hashes.len() as u64).sum::<u64>();
    for outcome in core.writer.write_bulk(upgrades.into_iter().map(Command::Upgrade).collect())? {
        let Outcome::Judged { corrected, liars, .. } = outcome else { continue };
        done.corrected += corrected.len() as u64;
        if !corrected.is_empty() {
            // Nodes above them that are out or ready were made of the old hashes.
            core.queue.lock().interior.drop_tree(tree);
        }
        for leaf in corrected {
            core.events.later(Event::LeafCorrected { tree: TreeId::new(tree), name: name.to_owned(), leaf });
        }
        settled::note_liars(core, &liars);
    }
    Ok(())
}

/// Folds a tree that a correction took its root from.
pub(in crate::engine) fn complete_again(core: &Core, tree: TreeNumber) -> Result<(), TreeError> {
    let Some(row) = core.store.read()?.tree(tree)?.filter(|row| row.state == TreeState::Assembling) else {
        return Ok(());
    };
    let (folds, root) = stored::validate_row(core, tree, &row)?;
    core.clients.count_server(row.strategy.index(), HashReason::Folding, HashWork::of_parents(folds, 0));
    let (from, to) = (TreeState::Assembling, TreeState::Complete);
    let root = Some(root);
    let outcomes = core.writer.write_bulk(vec![Command::SetTreeState { tree, from, to, root }])?;
    if matches!(outcomes.first(), Some(Outcome::Done { .. })) {
        core.queue.lock().complete(tree);
        core.events.later(Event::TreeCompleted { tree: TreeId::new(tree), name: row.name });
    }
    Ok(())
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
