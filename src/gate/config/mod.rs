//! The settings of a gate: choices, routes, the builder and its rules, and the same from a file.

pub(super) mod builder;
mod checks;
pub(super) mod choices;
pub(super) mod routes;
pub mod settings;
pub(super) mod site;
pub(super) mod sizes;
