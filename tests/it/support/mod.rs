//! What the tests share.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod backlog;
pub mod client;
pub mod gate_desk;
pub mod http;
pub mod model;
pub mod store_plant;
pub mod trust;
