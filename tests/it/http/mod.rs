//! The gate behind real servers, over sockets.

mod abuse;
mod adapters;
mod page;
mod table;
