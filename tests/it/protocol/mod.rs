//! The wire protocol, hashing and the solver, with known answers.

mod json;
mod known_answers;
mod solver;
mod token;
mod words;
