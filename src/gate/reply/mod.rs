//! Responses: a decision, and what is sent for it.

pub(super) mod decision;
pub(super) mod headers;
pub(super) mod page;
pub(super) mod problem;
pub(super) mod respond;
