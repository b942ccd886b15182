//! Tests that take long or need a process of their own: kills, power cuts, statistics.
//!
//! The kills start this program again, as their victim. `POUW_KILLS` sets how many there are.

mod audit_statistics;
mod bad_input_store;
mod kill;
mod kill_strategies;
mod power_strategies;
mod quorum_statistics;

#[path = "../it/support"]
mod support {
    #![allow(dead_code, reason = "each test binary uses its part")]

    pub mod clients;
    pub mod crash;
    pub mod disk;
    pub mod house;
    pub mod work;
}
