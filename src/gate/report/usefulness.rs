//! Metrics of the totals of offloaded work since the store was created, by strategy.

use crate::engine::PouwEngine;
use crate::store::rows::{HashReason, UsefulnessAccount};

/// Maximum number of damaged blocks that are counted.
const DAMAGED_COUNTED: u64 = 65_536;

/// Publishes the totals, and the number of damaged blocks.
pub(super) fn record(engine: &PouwEngine, account: &UsefulnessAccount) {
    for (strategy, of) in account.named() {
        let permutations = |kind: &'static str, value: u64| {
            metrics::gauge!("pouw_work_permutations", "strategy" => strategy, "kind" => kind).set(value as f64);
        };
        permutations("accepted", of.accepted.permutations);
        permutations("asked", of.asked.permutations);
        for reason in HashReason::ALL {
            permutations(reason.as_str(), of.server(reason).permutations);
        }
        metrics::gauge!("pouw_data_sent_bytes", "strategy" => strategy).set(of.sent_bytes as f64);
        metrics::gauge!("pouw_data_sent_units", "strategy" => strategy).set(of.sent_units as f64);
    }
    if let Some(fraction) = account.useful_fraction() {
        metrics::gauge!("pouw_useful_fraction").set(fraction);
    }
    // If this cannot be read now, the metric keeps its last value.
    if let Ok(Some(damaged)) = engine.for_gate().damaged_blocks(DAMAGED_COUNTED) {
        metrics::gauge!("pouw_damaged_blocks").set(damaged as f64);
    }
}
