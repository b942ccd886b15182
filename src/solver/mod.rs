//! Computes the result of a unit of work. `no_std` with `alloc`.
//!
//! A unit is checked before anything is hashed, so an invalid unit costs nothing. Progress is
//! reported after each leaf, and each report can cancel.

use alloc::vec::Vec;
use core::ops::ControlFlow;

use crate::hash::{Checksum, hash_batch, sha3_512};
use crate::merkle::fold;
use crate::protocol::{UnitError, UnixMillis, WorkResult, WorkUnit, WorkUnitOperation};

/// Progress in a unit: nodes hashed so far and in total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Nodes hashed.
    pub done: u64,
    /// Nodes in the unit; the last report has `done == total`.
    pub total: u64,
}

/// Computes a unit and returns the answer to send back.
///
/// There is no clock here: `compute_time_ms` and `completed_at` are 0, for the caller to fill in.
///
/// ```
/// # use pouw::protocol::*;
/// # fn show(unit: &WorkUnit) -> Result<(), Box<dyn core::error::Error>> {
/// let result = pouw::solver::compute_work_unit(unit)?;
/// let body = result.to_json();
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`UnitError`], before anything is hashed, if the unit contradicts itself.
pub fn compute_work_unit(unit: &WorkUnit) -> Result<WorkResult, UnitError> {
    compute(unit, |_| Ok(()))
}

/// [`compute_work_unit`], reporting progress; a report can cancel the work.
///
/// `progress` is called after each leaf and once at the end; returning [`ControlFlow::Break`] stops
/// the work. Leaves are hashed in batches of eight, so up to eight reports follow each other, and
/// cancelling wastes at most one batch.
///
/// # Errors
/// [`SolveError::Invalid`], before anything is hashed, if the unit contradicts itself;
/// [`SolveError::Cancelled`] if `progress` returned [`ControlFlow::Break`].
pub fn compute_work_unit_with(
    unit: &WorkUnit,
    mut progress: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<WorkResult, SolveError> {
    let total = unit.node_count;
    compute(unit, |done| match progress(Progress { done, total }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(SolveError::Cancelled { done, total }),
    })
}

/// [`compute_work_unit_with`] that also fills in `compute_time_ms` and `completed_at`, from the
/// clocks of the operating system.
///
/// # Errors
/// The errors of [`compute_work_unit_with`].
#[cfg(feature = "std")]
pub fn compute_work_unit_timed(
    unit: &WorkUnit,
    progress: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<WorkResult, SolveError> {
    use std::time::{Instant, SystemTime, UNIX_EPOCH};

    let started = Instant::now();
    let mut result = compute_work_unit_with(unit, progress)?;
    result.compute_time_ms = started.elapsed().as_millis() as u64;
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    result.completed_at = UnixMillis(since_epoch.map_or(0, |since| since.as_millis() as u64));
    Ok(result)
}

/// A unit that was not computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SolveError {
    /// The unit is inconsistent; nothing was hashed.
    #[error("invalid unit: {0}")]
    Invalid(#[from] UnitError),
    /// The progress closure returned [`ControlFlow::Break`].
    #[error("cancelled after {done} of {total} nodes; the unit can be computed until its token expires")]
    Cancelled {
        /// Nodes hashed.
        done: u64,
        /// Nodes in the unit.
        total: u64,
    },
}

fn compute<E: From<UnitError>>(unit: &WorkUnit, mut report: impl FnMut(u64) -> Result<(), E>) -> Result<WorkResult, E> {
    unit.validate()?;
    let (result_hash, leaf_hashes) = match unit.operation {
        WorkUnitOperation::LeafHash | WorkUnitOperation::InteriorHash => (sha3_512(&unit.input_data), Vec::new()),
        WorkUnitOperation::SubtreeHash => {
            let leaf_hashes = hash_leaves(unit, &mut report)?;
            let top = fold(&leaf_hashes, unit.fold_levels)
                .ok_or(UnitError::ManyTops { leaves: leaf_hashes.len() as u64, fold_levels: unit.fold_levels })?;
            (top, leaf_hashes)
        }
    };
    report(unit.node_count)?;
    Ok(WorkResult {
        work_unit_id: unit.id,
        result_hash,
        leaf_hashes,
        challenge_token: unit.challenge_token.clone(),
        compute_time_ms: 0,
        completed_at: UnixMillis(0),
    })
}

fn hash_leaves<E>(unit: &WorkUnit, report: &mut impl FnMut(u64) -> Result<(), E>) -> Result<Vec<Checksum>, E> {
    let leaves: Vec<&[u8]> = unit.leaves().collect();
    let mut hashes = Vec::with_capacity(leaves.len());
    for batch in leaves.chunks(BATCH_LEAVES) {
        for hash in hash_batch(batch) {
            hashes.push(hash);
            report(hashes.len() as u64)?;
        }
    }
    Ok(hashes)
}

/// The number of leaves that the widest hash kernel hashes at once.
const BATCH_LEAVES: usize = 8;
