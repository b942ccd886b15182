//! What the engine knows of its clients: their difficulty, their response times, and the worth of
//! their work.

pub(super) mod difficulty;
pub(super) mod response_times;
mod settings;
pub(super) mod standings;
pub(super) mod state;
pub(super) mod usefulness;
