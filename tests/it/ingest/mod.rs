//! Ingest: sources, names, blocks, resuming, strategies.

mod blocks;
mod damaged_rows;
mod forgotten;
mod known_answers;
mod names;
mod reference;
mod resume;
mod strategies;
mod verify_sample;
