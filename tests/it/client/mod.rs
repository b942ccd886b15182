//! The client against scripted and real servers.

mod exchange;
mod http;
mod redirects;
mod tower;
