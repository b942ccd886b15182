//! Percentiles and medians.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Times of many operations of one kind, nanoseconds to three significant digits.
#[derive(Debug)]
pub struct Times(Histogram<u64>);

/// The printed figures of [`Times`], microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    pub p50_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
}

/// Longest time that is recorded; longer ones count as this.
const LONGEST: Duration = Duration::from_secs(600);

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new_with_max(nanos(LONGEST), 3).expect("valid bounds"))
    }
}

impl Times {
    pub fn push(&mut self, time: Duration) {
        self.0.saturating_record(nanos(time));
    }

    pub fn append(&mut self, other: &Self) {
        self.0.add(&other.0).expect("the same bounds");
    }

    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Number of times that are at least `limit`.
    pub fn at_or_over(&self, limit: Duration) -> u64 {
        self.0.count_between(nanos(limit), u64::MAX)
    }

    pub fn spread(&self) -> Spread {
        Spread { p50_us: self.at(0.5), p99_us: self.at(0.99), max_us: self.at(1.0) }
    }

    /// The smallest time, in microseconds, that at least this part of all times do not exceed; 0 of none.
    fn at(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }
}

pub fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the middle value, for an even count the mean of the two in the middle, and 0 without any.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), middle.checked_sub(1).and_then(|below| sorted.get(below))) {
        (Some(upper), Some(lower)) if sorted.len().is_multiple_of(2) => f64::midpoint(*lower, *upper),
        (Some(upper), _) => *upper,
        (None, _) => 0.0,
    }
}

#[cfg(test)]
#[allow(unused, reason = "run by tests/cli")]
mod tests {
    use super::*;

    fn times(millis: impl IntoIterator<Item = u64>) -> Times {
        let mut times = Times::default();
        millis.into_iter().for_each(|millis| times.push(Duration::from_millis(millis)));
        times
    }

    /// Equal to the three digits that are kept.
    fn assert_near(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 1e-3, "{found}, expected {expected}");
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        for (count, quantile, expected) in [
            (100, 0.01, 1),
            (100, 0.5, 50),
            (100, 0.99, 99),
            (100, 1.0, 100),
            (3, 0.5, 2),
            (4, 0.5, 2),
            (4, 0.99, 4),
            (1, 0.01, 1),
        ] {
            assert_near(times(1..=count).at(quantile), expected as f64 * 1e3);
        }
        assert_eq!(times([]).at(0.5), 0.0);
    }

    #[test]
    fn a_spread_sorts_first_and_is_in_microseconds() {
        let spread = times((1..=200).rev()).spread();
        for (found, expected) in [(spread.p50_us, 100_000.0), (spread.p99_us, 198_000.0), (spread.max_us, 200_000.0)] {
            assert_near(found, expected);
        }
        assert_eq!(Times::default().spread(), Spread::default());
    }

    #[test]
    fn what_takes_exactly_the_limit_has_missed_a_target_below_it() {
        assert_eq!(times([49, 50, 51]).at_or_over(Duration::from_millis(50)), 2);
    }

    #[test]
    fn medians_do_not_depend_on_the_order() {
        for (values, expected) in
            [(vec![], 0.0), (vec![3.0], 3.0), (vec![9.0, 1.0, 2.0], 2.0), (vec![4.0, 1.0, 3.0, 2.0], 2.5)]
        {
            assert_eq!(median(values.clone()), expected, "{values:?}");
        }
    }
}
