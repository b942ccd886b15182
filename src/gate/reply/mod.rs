//! Responses: a decision, and what is sent for it.

pub(super) mod bought;
pub(super) mod challenge_page;
pub(super) mod decision;
pub(super) mod grpc;
pub(super) mod problem;
pub(super) mod rate_headers;
pub(super) mod refusal;
