//! Tests of the built command `pouw`, and of the bench `paper`.

mod bench;
mod config;
mod damage;
#[cfg(unix)]
mod fetch;
mod flow;
mod look;
mod refusals;
mod scrub;
#[cfg(unix)]
mod serve;
mod strategies;
#[cfg(unix)]
mod uploads;

#[path = "../../benches/paper/main.rs"]
#[allow(dead_code, reason = "its main function is not called here")]
mod paper;

#[path = "../it/support"]
mod support {
    #![allow(dead_code, reason = "each test binary uses its part")]

    pub mod cli;
    pub mod http {
        pub mod client;
    }
    pub mod patience;
    pub mod scripted;
}
