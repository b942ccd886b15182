//! The engine: verbs, strategies, trust, refusals, planted mistakes.

mod bad_input_answers;
mod calibration;
mod errors;
mod export_policies;
mod held_leases;
mod idle;
mod inspected;
mod kept_back;
mod known_address;
mod lifecycle;
mod planted;
mod planted_disk;
mod planted_faults;
mod planted_trust;
mod prunings;
mod quorum_networks;
mod read_only;
mod rot;
mod rot_votes;
mod scrub;
mod scrub_pace;
mod strategies;
mod sweeps;
mod tree_progress;
mod trust_edges;
