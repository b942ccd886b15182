//! The gate behind real servers, over sockets.

mod abuse;
mod adapters;
mod axum_door;
mod browsers;
mod grpc;
mod http2;
mod linger;
mod page;
mod self_checks;
mod table;
mod uploads;
