//! What the gate remembers: windows, challenges, bodies and answers. Each part has a bound and its
//! own lock, and none knows the gate.

pub(super) mod breaker;
pub(super) mod buffers;
pub(super) mod challenges;
pub(super) mod digest;
pub(super) mod flight;
pub(super) mod jobs;
pub(super) mod limit;
mod limiter;
pub(super) mod passes;
pub(super) mod replaced;
mod reservation;
mod round;
pub(super) mod self_checks;
pub(super) mod shared_window;
mod usage;
