//! Counts of times in buckets that widen with the time, of fixed size.

use std::ops::RangeInclusive;

/// How often each time occurred, to one part in sixteen; below 32 ms exactly.
#[derive(Debug)]
pub(super) struct Histogram {
    counts: Vec<u32>,
    total: u64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }

    pub(super) fn add(&mut self, ms: u64) {
        let count = &mut self.counts[bucket(ms)];
        *count = count.saturating_add(1);
        self.total += 1;
    }

    pub(super) fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Where the time lies that `permille` of all do not exceed.
    pub(super) fn quantile(&self, permille: u64) -> Option<RangeInclusive<u64>> {
        quantile(self.counts.iter().copied().map(u64::from), self.total, permille)
    }
}

/// The times of recent answers: two generations, of which the older one goes when the newer is full
/// or old.
#[derive(Debug)]
pub(super) struct Record {
    now: Histogram,
    before: Histogram,
    since_ms: u64,
}

impl Record {
    pub(super) fn new(now_ms: u64) -> Self {
        Self { now: Histogram::new(), before: Histogram::new(), since_ms: now_ms }
    }

    pub(super) fn add(&mut self, ms: u64, now_ms: u64) {
        let age_ms = now_ms.saturating_sub(self.since_ms);
        if self.now.total() >= GENERATION || age_ms >= GENERATION_MS {
            std::mem::swap(&mut self.now, &mut self.before);
            self.now.clear();
            if age_ms >= 2 * GENERATION_MS {
                self.before.clear();
            }
            self.since_ms = now_ms;
        }
        self.now.add(ms);
    }

    /// The middle of where that quantile lies, 0 without any.
    pub(super) fn middle(&self, permille: u64) -> u64 {
        let counts =
            self.now.counts.iter().zip(&self.before.counts).map(|(now, before)| u64::from(*now) + u64::from(*before));
        let range = quantile(counts, self.now.total + self.before.total, permille);
        range.map_or(0, |range| range.start() + (range.end() - range.start()) / 2)
    }
}

fn quantile(counts: impl Iterator<Item = u64>, total: u64, permille: u64) -> Option<RangeInclusive<u64>> {
    let rank = (total * permille).div_ceil(1_000).max(1);
    let mut passed = 0;
    for (bucket, count) in counts.enumerate() {
        passed += count;
        if passed >= rank {
            return Some(range(bucket));
        }
    }
    None
}

/// The bucket of a time: 16 for each doubling.
fn bucket(ms: u64) -> usize {
    let ms = ms.min(TIME_MAX_MS);
    let doublings = ms.max(FINE).ilog2() - FINE.ilog2();
    (u64::from(doublings) * FINE + (ms >> doublings)) as usize
}

/// The times in it.
fn range(bucket: usize) -> RangeInclusive<u64> {
    let bucket = bucket as u64;
    let doublings = (bucket / FINE).saturating_sub(1);
    let first = (bucket - doublings * FINE) << doublings;
    first..=first + (1 << doublings) - 1
}

const FINE: u64 = 16;
/// Longer ones count as this: beyond the longest lifetime of a token, an hour.
const TIME_MAX_MS: u64 = (1 << 22) - 1;
const BUCKETS: usize = 19 * FINE as usize;
/// Answers, and milliseconds, of a generation.
const GENERATION: u64 = 1_024;
const GENERATION_MS: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_lies_in_its_bucket_which_is_no_wider_than_a_sixteenth_of_it() {
        let mut times: Vec<u64> = (0..5_000).collect();
        times.extend(
            (0..22).flat_map(|bits| [(1 << bits) - 1, 1 << bits, (3 << bits) / 2]).filter(|ms| *ms <= TIME_MAX_MS),
        );
        for ms in times {
            let range = range(bucket(ms));
            assert!(range.contains(&ms), "{ms} in {range:?}");
            assert!((range.end() - range.start()) * FINE <= *range.start(), "{range:?}");
            assert!(ms >= 2 * FINE || range == (ms..=ms), "{range:?}");
        }
        assert_eq!(bucket(TIME_MAX_MS), BUCKETS - 1);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert!((1..BUCKETS).all(|at| *range(at).start() == range(at - 1).end() + 1), "without a gap");
    }

    #[test]
    fn a_quantile_is_the_first_time_that_so_many_do_not_exceed() {
        let mut counts = Histogram::new();
        assert_eq!(counts.quantile(500), None);
        for ms in [4, 1, 3, 2] {
            counts.add(ms);
        }
        let at = |permille| counts.quantile(permille).unwrap().into_inner().0;
        assert_eq!([at(0), at(250), at(500), at(501), at(900), at(1_000)], [1, 1, 2, 3, 4, 4]);
    }

    #[test]
    fn a_record_forgets_the_generation_before_the_last() {
        let mut record = Record::new(0);
        for at in 0..GENERATION {
            record.add(10, at);
        }
        assert_eq!(record.middle(1_000), 10);
        for at in 0..GENERATION {
            record.add(5, at);
        }
        assert_eq!((record.middle(500), record.middle(1_000)), (5, 10), "half and half");
        record.add(7, 0);
        assert_eq!((record.middle(500), record.middle(1_000)), (5, 7), "the first 1 024 are gone");
        record.add(20, GENERATION_MS);
        assert_eq!((record.middle(500), record.middle(1_000)), (7, 20), "of the hour before only what it had");
        record.add(30, 4 * GENERATION_MS);
        assert_eq!(record.middle(0), 30, "after a long pause nothing older");
    }
}
