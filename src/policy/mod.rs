//! Pure state machines: functions of (state, event, now). No I/O, no clock, no randomness of their own.
//!
//! * [`lease`] who holds which work until when (rule L);
//! * [`ready`] the bounded ring of units that can be handed out at once.

pub mod lease;
pub mod ready;
