//! What the tests share.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod client;
pub mod clients;
pub mod disk;
pub mod gate_desk;
pub mod house;
pub mod http;
pub mod model;
pub mod store_plant;
pub mod work;
