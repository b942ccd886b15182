//! What the tests share.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod clients;
pub mod desk;
pub mod disk;
pub mod house;
pub mod http;
pub mod model;
pub mod scripted;
pub mod store_plant;
pub mod work;
