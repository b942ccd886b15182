//! The gate without a server.

mod attacks;
mod bodies;
mod breaker;
mod ceilings;
mod config;
mod faults;
mod flow;
mod identity;
mod promises;
mod settings;
mod stuck;
mod waiting;
