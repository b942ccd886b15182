//! Time: a wall and a monotonic reading, and engine time made of both.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::protocol::UnixMillis;

use super::checked::whole_ms;

/// Where time comes from. [`SystemClock`] in a service, [`FakeClock`] in tests.
pub trait Clock: Debug + Send + Sync {
    /// The wall clock: may step in either direction.
    fn wall(&self) -> UnixMillis;

    /// Time since some fixed moment: never falls.
    fn monotonic(&self) -> Duration;

    /// Time since some fixed moment, for readings that are compared within a window of a
    /// rate limit: it costs less than the monotonic reading, and may drift from it by seconds a
    /// day. By default the same.
    fn window(&self) -> Duration {
        self.monotonic()
    }
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
    // Reading the processor's counter stalls nothing; asking the system for the time waits for
    // every load before it. Calibrated when it is first asked, which takes up to 200 ms.
    #[cfg(feature = "gate")]
    counter: std::sync::OnceLock<(quanta::Clock, quanta::Instant)>,
}

impl SystemClock {
    /// A clock whose monotonic reading starts at zero.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            #[cfg(feature = "gate")]
            counter: std::sync::OnceLock::new(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[cfg(feature = "gate")]
    fn window(&self) -> Duration {
        let (counter, start) = self.counter.get_or_init(|| {
            let counter = quanta::Clock::new();
            let now = counter.now();
            (counter, now)
        });
        counter.now().saturating_duration_since(*start)
    }
}

/// A clock that moves only by calls of its methods. Clones of its `Arc` share the time.
///
/// ```
/// use std::time::Duration;
///
/// use pouw::protocol::UnixMillis;
/// use pouw::{Clock, FakeClock};
///
/// let clock = FakeClock::at(UnixMillis(1_700_000_000_000));
/// clock.advance(Duration::from_millis(250));
/// assert_eq!(clock.wall().0, 1_700_000_000_250);
/// ```
#[derive(Debug, Default)]
pub struct FakeClock {
    wall: AtomicU64,
    monotonic: AtomicU64,
}

impl FakeClock {
    /// A clock that shows `time`.
    pub fn at(time: UnixMillis) -> Self {
        Self { wall: AtomicU64::new(time.0), monotonic: AtomicU64::new(0) }
    }

    /// Lets whole milliseconds pass: both readings move.
    pub fn advance(&self, time: Duration) {
        for reading in [&self.wall, &self.monotonic] {
            step(reading, |ms| ms.saturating_add(whole_ms(time)));
        }
    }

    /// Steps the wall clock alone forward, as a wrong time server does.
    pub fn step_wall_forward(&self, time: Duration) {
        step(&self.wall, |ms| ms.saturating_add(whole_ms(time)));
    }

    /// Steps the wall clock alone back, at most to 1970.
    pub fn step_wall_back(&self, time: Duration) {
        step(&self.wall, |ms| ms.saturating_sub(whole_ms(time)));
    }
}

fn step(reading: &AtomicU64, change: impl Fn(u64) -> u64) {
    let _ = reading.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |ms| Some(change(ms)));
}

impl Clock for FakeClock {
    fn wall(&self) -> UnixMillis {
        UnixMillis(self.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic.load(Ordering::SeqCst))
    }
}

/// Engine time: at open the later of the wall clock and the store's high-water mark; from then on
/// it advances with the monotonic reading alone. A wall step back revives no token, a step forward
/// and back freezes nothing.
#[derive(Debug)]
pub(super) struct EngineTime {
    clock: std::sync::Arc<dyn Clock>,
    base_ms: u64,
    started_ms: u64,
    // Engine time less the clock's reading for windows, when that was first asked for.
    #[cfg(feature = "gate")]
    window_base_ms: std::sync::OnceLock<u64>,
}

/// A wall clock this far ahead of the store's high-water mark is worth an event: the service was
/// off for so long, or the clock is wrong.
pub(super) const AHEAD_TOLD_MS: u64 = 24 * 3_600_000;
/// A wall clock this far ahead needs an explicit word. No service is off for so long and starts
/// again unattended; a clock that is wrong by years is seen before it moves the mark for good.
pub(super) const AHEAD_MAX_MS: u64 = 400 * AHEAD_TOLD_MS;

impl EngineTime {
    pub(super) fn start(clock: std::sync::Arc<dyn Clock>, high_water_ms: u64) -> Self {
        let base_ms = clock.wall().0.max(high_water_ms);
        let started_ms = whole_ms(clock.monotonic());
        Self {
            clock,
            base_ms,
            started_ms,
            #[cfg(feature = "gate")]
            window_base_ms: std::sync::OnceLock::new(),
        }
    }

    /// Engine time at open.
    pub(super) fn opened_ms(&self) -> u64 {
        self.base_ms
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.base_ms.saturating_add(whole_ms(self.clock.monotonic()).saturating_sub(self.started_ms))
    }

    /// Engine time to begin with, then as [`Clock::window`] goes.
    #[cfg(feature = "gate")]
    pub(super) fn window_ms(&self) -> u64 {
        let now_ms = whole_ms(self.clock.window());
        now_ms.wrapping_add(*self.window_base_ms.get_or_init(|| self.now_ms().wrapping_sub(now_ms)))
    }
}
