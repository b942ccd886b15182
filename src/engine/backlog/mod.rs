//! The backlog: which leaves are pending, their bytes, and which of them are kept back.

pub(super) mod blocked;
pub(super) mod damaged;
pub(super) mod found;
pub(super) mod interior;
pub(super) mod leaf_bytes;
pub(super) mod queue;
pub(super) mod refill;
pub(super) mod refill_interior;
pub(super) mod rehash;
pub(super) mod synthetic;
