//! Properties over random inputs.

mod calibration;
mod engine;
mod gate;
mod policy;
mod quorum;
mod trust;
