//! What a request is to the gate: its head, its client, what it presents, and the facts made of
//! them.

mod accept;
pub(super) mod answerable;
pub(super) mod client;
pub(super) mod cookies;
pub(super) mod facts;
mod forwarded;
pub(super) mod head;
pub mod identity;
mod language;
pub(super) mod navigation;
pub(super) mod pass_id;
pub(super) mod presented;
pub(super) mod result_in_body;
#[cfg(test)]
pub(super) mod sample;
mod weight;
