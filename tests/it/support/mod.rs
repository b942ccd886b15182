//! The harness of the tests.
//!
//! ```text
//! house       an engine on a disk in memory or in a directory, its clock and its events; `config()`, `open()`
//! work        an honest client on any engine: issue, solve, answer, work off
//! clients     many clients of distinct networks, honest or not, as methods of House; blocks and noise
//! desk        a gate before an engine, asked in process          http   the same behind each example server
//! patience    how long tests wait for other threads
//! disk        power cuts, and a hook before each access          store_plant   damage to rows of a closed store
//! scripted    a server that says what a test tells it to         model         the engine beside its oracle
//! ```
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod clients;
pub mod desk;
pub mod disk;
pub mod house;
pub mod http;
pub mod model;
pub mod patience;
pub mod scripted;
pub mod store_plant;
pub mod work;
