//! The client against scripted and real servers.

mod exchange;
mod http;
mod passes;
mod redirects;
mod tower;
