//! Percentiles and medians, in one place.

use std::time::Duration;

use serde::Serialize;

/// Times of many operations of one kind.
#[derive(Debug, Clone, Default)]
pub struct Times(Vec<Duration>);

/// What is printed of them, microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    pub p50_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
}

impl Times {
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// How many took this long or longer.
    pub fn at_or_over(&self, limit: Duration) -> usize {
        self.0.iter().filter(|time| **time >= limit).count()
    }

    pub fn spread(mut self) -> Spread {
        self.0.sort_unstable();
        let at = |percent| percentile(&self.0, percent).map_or(0.0, micros);
        Spread { p50_us: at(50), p99_us: at(99), max_us: at(100) }
    }
}

pub fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}

/// The smallest value that at least `percent` of a hundred are not above (nearest rank); `sorted` is.
fn percentile<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

/// The middle value, of an even number the mean of the two in the middle; 0 of none.
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
mod tests {
    use super::*;

    fn times(millis: impl IntoIterator<Item = u64>) -> Times {
        Times(millis.into_iter().map(Duration::from_millis).collect())
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).collect();
        for (percent, expected) in [(1, 1), (50, 50), (99, 99), (100, 100)] {
            assert_eq!(percentile(&hundred, percent), Some(expected), "{percent}");
        }
        assert_eq!(percentile(&[1, 2, 3], 50), Some(2));
        assert_eq!(percentile(&[1, 2, 3, 4], 50), Some(2));
        assert_eq!(percentile(&[1, 2, 3, 4], 99), Some(4));
        assert_eq!(percentile(&[7], 1), Some(7));
        assert_eq!(percentile::<u64>(&[], 50), None);
    }

    #[test]
    fn a_spread_sorts_first_and_is_in_microseconds() {
        let spread = times((1..=200).rev()).spread();
        assert_eq!((spread.p50_us, spread.p99_us, spread.max_us), (100_000.0, 198_000.0, 200_000.0));
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
