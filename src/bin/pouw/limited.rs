//! Lines on stderr about something that may go on for hours: one for each change, and at most one a
//! minute while it stays the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::output::complain;

/// The lines about one thing.
#[derive(Debug)]
pub struct Limited<S> {
    last: Mutex<Option<Last<S>>>,
}

#[derive(Debug)]
struct Last<S> {
    state: S,
    at: Instant,
    left_out: u64,
}

/// Lines about things that differ: each of the first few, then at most one a minute.
#[derive(Debug)]
pub struct Burst {
    printed: AtomicU64,
    later: Limited<()>,
}

/// Lines printed one by one.
const BURST_LINES: u64 = 20;

impl Burst {
    pub fn new() -> Self {
        Self { printed: AtomicU64::new(0), later: Limited::new() }
    }

    /// Prints the line, unless it is one of too many.
    pub fn complain(&self, line: &str) {
        print(line, self.left_out(Instant::now()));
    }

    fn left_out(&self, now: Instant) -> Option<u64> {
        let first = self.printed.fetch_add(1, Ordering::Relaxed) < BURST_LINES;
        if first { Some(0) } else { self.later.left_out((), now) }
    }
}

fn print(line: &str, left_out: Option<u64>) {
    match left_out {
        Some(0) => complain(line),
        Some(count) => complain(&format!("{line} ({count} more like this were omitted)")),
        None => {}
    }
}

const EVERY: Duration = Duration::from_secs(60);

impl<S: PartialEq> Limited<S> {
    pub fn new() -> Self {
        Self { last: Mutex::new(None) }
    }

    /// Prints the line, unless one of the same state was printed less than a minute ago.
    pub fn complain(&self, state: S, line: &str) {
        print(line, self.left_out(state, Instant::now()));
    }

    /// Returns the number of lines omitted before this one; `None` if it is to be omitted too.
    fn left_out(&self, state: S, now: Instant) -> Option<u64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *last {
            Some(last) if last.state == state && now.saturating_duration_since(last.at) < EVERY => {
                last.left_out += 1;
                None
            }
            other => {
                let before = other.replace(Last { state, at: now, left_out: 0 });
                Some(before.map_or(0, |last| last.left_out))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_lines_that_differ_the_first_are_printed_then_one_a_minute() {
        let (burst, start) = (Burst::new(), Instant::now());
        assert!((0..BURST_LINES).all(|_| burst.left_out(start) == Some(0)));
        let after = [0, 1, 59, 60].map(|seconds| burst.left_out(start + Duration::from_secs(seconds)));
        assert_eq!(after, [Some(0), None, None, Some(2)]);
    }

    #[test]
    fn a_line_is_printed_at_each_change_and_once_a_minute_with_the_number_of_omitted_ones() {
        let (limited, start) = (Limited::new(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        let lines = [
            (true, 0, Some(0)),
            (true, 1, None),
            (true, 59_999, None),
            (true, 60_000, Some(2)),
            (false, 60_001, Some(0)),
            (false, 60_002, None),
            (true, 60_003, Some(1)),
            (true, 60_004, None),
        ];
        for (state, ms, expected) in lines {
            assert_eq!(limited.left_out(state, at(ms)), expected, "at {ms} ms");
        }
    }
}
