//! The engine: verbs, strategies, trust, refusals, planted mistakes.

mod bad_input_answers;
mod calibration;
mod errors;
mod export_policies;
mod inspected;
mod known_address;
mod lifecycle;
mod planted;
mod planted_trust;
mod quorum_networks;
mod strategies;
mod sweeps;
mod tree_progress;
mod trust_edges;
