//! Pure state machines: functions of (state, event, now). No I/O, no clock, no randomness of their
//! own.
//!
//! * [`window`] the sliding window of one client;
//! * [`difficulty`] how hard its next challenge is, and [`reputation`] what softens it;
//! * [`budget`] how many bytes it may be sent;
//! * [`calibration`] how long answers take, and the size of units that follows from it;
//! * [`backoff`] when something that failed is tried again;
//! * [`alert`] when its failures are worth an alarm;
//! * [`breaker`] when no work is handed out at all;
//! * [`clock_table`] a bounded table of clients, for the engine and the gate;
//! * [`lease`] who holds which work until when (rule L);
//! * [`audit`] which leaves of an answer are hashed again, and what that finds;
//! * [`quorum`] when distinct clients agree, and what the server has to decide when they do not;
//! * [`ready`] the bounded ring of units that can be handed out at once.

pub mod alert;
pub mod audit;
pub mod backoff;
pub mod breaker;
pub mod budget;
pub mod calibration;
pub mod clock_table;
pub mod difficulty;
pub mod lease;
pub mod quorum;
pub mod ready;
pub mod reputation;
pub mod window;
