//! Judges answers to units whose hashes the server does not know by hashing a sample again
//! (strategy `SampledAudit`).
//!
//! The sample is drawn only once the answer is fixed: its lease is pinned, and a wrong answer ends
//! it.

use crate::hash::{Checksum, sha3_512};
use crate::merkle::{AlignedRange, TILE_LEAVES};
use crate::policy::audit;
use crate::protocol::{WorkResult, WorkUnitOperation};
use crate::store::rows::{HashReason, HashWork, TreeRow};
use crate::store::{Audited, SettleKind, StoreError, TreeNumber};

use super::token::Inspected;
use super::verdict::{Follows, Judged, check_fold};
use crate::engine::answers::again;
use crate::engine::backlog::damaged;
use crate::engine::backlog::leaf_bytes::leaf_bytes;
use crate::engine::backlog::rehash;
use crate::engine::core::Core;
use crate::engine::error::SubmitError;
#[cfg(feature = "testing")]
use crate::engine::mistake::{FORESEEN, Mistake, SplitMix64};
use crate::engine::work::{parents_work, unit_work};

pub(super) type Tree<'t> = (TreeNumber, &'t TreeRow);

/// A unit of leaves, as the store has it.
pub(in crate::engine) struct Unit<'t> {
    pub(super) tree: TreeNumber,
    pub(super) row: &'t TreeRow,
    pub(super) range: AlignedRange,
    /// The lengths of its leaves.
    pub(super) lengths: Result<Vec<u64>, StoreError>,
}

/// Judges under `SampledAudit`: an answer is right if all leaves of a sample are.
pub(in crate::engine) fn verify_sample(
    core: &Core,
    inspected: &Inspected,
    result: &WorkResult,
    unit: Unit<'_>,
    k: u8,
) -> Result<Judged, SubmitError> {
    let Unit { tree, row, range, lengths } = unit;
    let hashes = brought(core, result, row, &range)?;
    let network = core.keys.network_of(&inspected.network);
    let (audit, whole) = audit(core, inspected, &network, (tree, row), &range, &hashes, k)?;
    let accepted = unit_work(&range, lengths?.into_iter());
    let kind = SettleKind::Audited(Box::new(Audited { tree, range, hashes, network, whole }));
    let (nodes, leaves) = (range.node_count(), range.len());
    Ok(Judged { kind, nodes, leaves, accepted, audit, referee: HashWork::default(), follows: Follows::default() })
}

/// Returns the client's leaf hashes. Parents are hashed again from them, so that a lie about a
/// parent is impossible.
pub(super) fn brought(
    core: &Core,
    result: &WorkResult,
    row: &TreeRow,
    range: &AlignedRange,
) -> Result<Vec<Checksum>, SubmitError> {
    let single = range.order() == 0;
    let operation = if single { WorkUnitOperation::LeafHash } else { WorkUnitOperation::SubtreeHash };
    let listed = if single { 0 } else { range.len() as usize };
    result.check_shape(listed, operation).map_err(SubmitError::Malformed)?;
    core.clients.count_server(row.strategy.index(), HashReason::Folding, parents_work(range));
    let hashes = if single { vec![result.result_hash] } else { result.leaf_hashes.clone() };
    check_fold(result, &hashes, range.fold_levels())?;
    Ok(hashes)
}

/// Hashes a sample of an answer and compares every hash, whichever differs. Also returns
/// whether the sample was the whole answer.
pub(super) fn audit(
    core: &Core,
    inspected: &Inspected,
    network: &[u8; 16],
    (tree, row): Tree<'_>,
    range: &AlignedRange,
    hashes: &[Checksum],
    k: u8,
) -> Result<(HashWork, bool), SubmitError> {
    #[cfg(feature = "testing")]
    if core.config.makes(Mistake::SkipAudit) {
        return Ok((HashWork::default(), false));
    }
    let leaves = range.len() as u32;
    let k = core.clients.heightened.lock().sample(network, k.into(), leaves, core.time.now_ms());
    let drawn = drawing(core, |random| audit::draw(leaves, k, random))?;
    let places: Vec<u8> = (0..leaves as u8).filter(|place| drawn & (1 << place) != 0).collect();
    let (hashed, work) = hash_places(core, (tree, row), range, &places)?;
    let differs = |(place, right): &&(u8, Checksum)| hashes.get(usize::from(*place)) != Some(right);
    let wrong: Vec<u8> = hashed.iter().filter(differs).map(|(place, _)| *place).collect();
    if !wrong.is_empty() {
        core.clients.count_server(row.strategy.index(), HashReason::Audit, work);
        is_lie(core, inspected, (tree, row), range, hashes, &wrong)?;
        return Err(SubmitError::WrongResult { what: "leafHashes".to_owned() });
    }
    Ok((work, k >= leaves))
}

/// Returns whether the answer is a lie. A strike needs the server's own hash of exactly the
/// bytes that were sent: they are read again as a whole, compared with the digest in the token,
/// and hashed. If they differ, the unit is withdrawn.
fn is_lie(
    core: &Core,
    inspected: &Inspected,
    (tree, row): Tree<'_>,
    range: &AlignedRange,
    hashes: &[Checksum],
    wrong: &[u8],
) -> Result<(), SubmitError> {
    let data = again::sent_again(core, &inspected.opened, (tree, row), range)?;
    let own = |place: &u8| leaf_bytes(&data, usize::from(*place)).map(sha3_512);
    let lie = wrong.iter().any(|place| own(place).as_ref() != hashes.get(usize::from(*place)));
    if lie {
        return Ok(());
    }
    // Two reads of the same leaf gave different bytes.
    let what = format!("leaves {} to {} are read differently each time", range.start(), range.end() - 1);
    Err(damaged::keep_back(core, (tree, row), range, None, &what))
}

/// Returns the server's own hashes of some leaves of a range.
pub(super) fn hash_places(
    core: &Core,
    (tree, row): Tree<'_>,
    range: &AlignedRange,
    places: &[u8],
) -> Result<(Vec<(u8, Checksum)>, HashWork), SubmitError> {
    let first = (range.start() % TILE_LEAVES) as u8;
    let mask = places.iter().fold(0, |mask, place| mask | (1 << (first + place)));
    let read = rehash::hash_mask(core, (tree, row), range.tile(), mask);
    let (hashed, work) = read.map_err(|error| damaged::unreadable(core, tree, range, error))?;
    Ok((hashed.into_iter().map(|(slot, hash)| (slot - first, hash)).collect(), work))
}

/// Bits for an audit that a test can foresee.
#[cfg(feature = "testing")]
fn foreseen(core: &Core) -> Option<u64> {
    if core.config.makes(Mistake::AuditForeseen) {
        return Some(SplitMix64(FORESEEN).next());
    }
    core.seeded.as_ref().map(|seeded| seeded.lock().next())
}

/// Returns 64 unpredictable bits, for audits.
fn random_bits(core: &Core) -> Result<u64, StoreError> {
    #[cfg(not(feature = "testing"))]
    let _ = core;
    #[cfg(feature = "testing")]
    if let Some(bits) = foreseen(core) {
        return Ok(bits);
    }
    getrandom::u64().map_err(|e| StoreError::Io { what: format!("the system gave no random bytes: {e}") })
}

/// Calls `with` with a source of unpredictable numbers. Fails if the system failed to provide
/// any of them.
pub(in crate::engine) fn drawing<T>(
    core: &Core,
    with: impl FnOnce(&mut dyn FnMut() -> u64) -> T,
) -> Result<T, StoreError> {
    let mut failed = None;
    let drawn = with(&mut || {
        random_bits(core).unwrap_or_else(|error| {
            failed = Some(error);
            0
        })
    });
    failed.map_or(Ok(drawn), Err)
}
