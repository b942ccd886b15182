//! The metrics that the gate publishes, of itself and of the engine.

use crate::engine::{ResponseTimes, ScrubStats, ThreadStats};
use crate::gate::state::Gate;
use crate::protocol::{ByTier, DifficultyTier};

use super::usefulness;

impl Gate {
    /// Publishes counters and gauges of gate and engine to the `metrics` facade. A thread of the
    /// gate does this about once a second; call it before a scrape for newer values.
    pub fn record_metrics(&self) {
        let stats = self.stats();
        let total = |name: &'static str, value: u64| metrics::counter!(name).absolute(value);
        total("pouw_requests_total", stats.requests);
        total("pouw_limited_total", stats.limited);
        total("pouw_shadowed_total", stats.shadowed);
        total("pouw_completed_total", stats.completed);
        total("pouw_resent_total", stats.resent);
        total("pouw_passes_total", stats.passes);
        total("pouw_passed_total", stats.passed);
        total("pouw_sent_bytes_total", stats.bytes_sent);
        total("pouw_credits_micro_joules_total", stats.awarded);
        total("pouw_security_alerts_total", stats.alerts);
        for tier in DifficultyTier::ALL {
            metrics::counter!("pouw_issued_total", "tier" => tier.as_str()).absolute(*stats.issued.get(tier));
        }
        for (reason, count) in &stats.refused {
            metrics::counter!("pouw_refused_total", "reason" => reason.as_str()).absolute(*count);
        }
        let gauge = |name: &'static str, value: usize| metrics::gauge!(name).set(value as f64);
        gauge("pouw_in_flight_bytes", usize::try_from(stats.bytes_in_flight).unwrap_or(usize::MAX));
        gauge("pouw_buffered_bytes", usize::try_from(stats.bytes_buffered).unwrap_or(usize::MAX));
        gauge("pouw_clients", stats.clients);
        gauge("pouw_accounts", stats.accounts);
        gauge("pouw_passes_open", stats.passes_open);
        gauge("pouw_waiting_answers", stats.waiting_answers);
        gauge("pouw_breaker_open", usize::from(self.inner.breaker.is_open()));
        metrics::gauge!("pouw_memory_bytes", "part" => "gate").set(stats.memory_bytes as f64);
        self.record_threads(&stats.threads);
        self.record_engine();
    }

    fn record_engine(&self) {
        let stats = self.inner.engine.stats();
        self.record_threads(&stats.threads);
        let gauge = |name: &'static str, value: u64| metrics::gauge!(name).set(value as f64);
        gauge("pouw_queue_depth", stats.ready_units as u64);
        gauge("pouw_leases", stats.leases as u64);
        metrics::gauge!("pouw_memory_bytes", "part" => "engine").set(stats.memory_bytes as f64);
        record_responses(&stats.responses);
        gauge("pouw_pending_leaves", stats.totals.pending);
        gauge("pouw_trees_in_progress", stats.totals.trees.saturating_sub(stats.totals.complete));
        gauge("pouw_trees_completed", stats.totals.complete);
        gauge("pouw_store_closed", u64::from(stats.closed));
        record_scrubbing(&stats.scrub);
        gauge("pouw_file_bytes", stats.file_bytes.state + stats.file_bytes.blocks);
        metrics::counter!("pouw_hashes_total", "by" => "clients").absolute(stats.totals.nodes);
        metrics::counter!("pouw_hashes_total", "by" => "server")
            .absolute(stats.folds_this_boot + stats.totals.oversized);
        metrics::counter!("pouw_withdrawn_total").absolute(stats.withdrawn_this_boot);
        metrics::counter!("pouw_expired_total").absolute(stats.expired_this_boot);
        metrics::counter!("pouw_commits_total").absolute(stats.commits);
        metrics::counter!("pouw_commits_failed_total").absolute(stats.commits_failed);
        usefulness::record(&self.inner.engine, &stats.account);
    }

    /// Publishes the signs of life of threads.
    fn record_threads(&self, threads: &[ThreadStats]) {
        let now_ms = self.inner.engine.now().0;
        for thread in threads {
            let name = thread.name.clone();
            let since_ms = now_ms.saturating_sub(thread.came_round.0);
            metrics::gauge!("pouw_thread_running", "thread" => name.clone()).set(f64::from(u8::from(thread.running)));
            metrics::gauge!("pouw_thread_came_round_seconds", "thread" => name.clone()).set(since_ms as f64 / 1_000.0);
            metrics::counter!("pouw_thread_panics_total", "thread" => name).absolute(thread.panics);
        }
    }
}

/// Publishes how far scrubbing is and what it found.
fn record_scrubbing(scrub: &ScrubStats) {
    metrics::counter!("pouw_scrub_bytes_total").absolute(scrub.bytes_this_boot);
    metrics::counter!("pouw_scrub_rows_total").absolute(scrub.rows_this_boot);
    metrics::counter!("pouw_scrub_damaged_total").absolute(scrub.damaged_this_boot);
    metrics::gauge!("pouw_scrub_progress_ratio").set(scrub.progress());
    metrics::gauge!("pouw_scrub_pass_findings").set(scrub.pass_found as f64);
    // Before the first pass there is no time: a zero would look like one in 1970.
    if let Some(at) = scrub.last_full_pass {
        metrics::gauge!("pouw_scrub_last_full_pass_seconds").set(at.0 as f64 / 1_000.0);
    }
}

/// Publishes the response times by tier, in seconds, and the size of units.
fn record_responses(responses: &ByTier<ResponseTimes>) {
    for tier in DifficultyTier::ALL {
        let seen = responses.get(tier);
        let tier = tier.as_str();
        metrics::counter!("pouw_responses_observed_total", "tier" => tier).absolute(seen.observations);
        metrics::gauge!("pouw_unit_max_bytes", "tier" => tier).set(seen.unit_bytes as f64);
        // Without an answer there is no time: a zero would look like fast answers.
        if seen.observations == 0 {
            continue;
        }
        let times =
            [("0.5", seen.median_ms, seen.beyond_floor_median_ms), ("0.9", seen.p90_ms, seen.beyond_floor_p90_ms)];
        for (quantile, whole_ms, beyond_ms) in times {
            let seconds = |ms: u64| ms as f64 / 1_000.0;
            metrics::gauge!("pouw_response_seconds", "tier" => tier, "quantile" => quantile).set(seconds(whole_ms));
            metrics::gauge!("pouw_response_beyond_floor_seconds", "tier" => tier, "quantile" => quantile)
                .set(seconds(beyond_ms));
        }
    }
}
