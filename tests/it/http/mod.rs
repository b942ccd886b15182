//! The gate behind real servers, over sockets.

mod abuse;
mod adapters;
mod axum_door;
mod page;
mod table;
