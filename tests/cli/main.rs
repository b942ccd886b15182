//! Tests of the built command `pouw`.

mod bench;
mod config;
mod fetch;
mod flow;
mod refusals;
mod serve;
mod strategies;

#[path = "../it/support"]
mod support {
    #![allow(dead_code, reason = "each test binary uses its part")]

    pub mod cli;
    pub mod client;
    pub mod http {
        pub mod client;
    }
}
