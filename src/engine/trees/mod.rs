//! Trees: what is known of them, and what is done with those that are complete.

pub(super) mod assemble;
pub(super) mod assure;
pub(super) mod commitment;
pub(super) mod doubts;
pub(super) mod export;
pub(super) mod export_policy;
pub(super) mod info;
pub(super) mod progress;
pub(super) mod provenance;
pub(super) mod put_off;
pub(super) mod quorums;
pub(super) mod settle_doubts;
pub(super) mod stored;
pub(super) mod suspects;
