//! The engine beside an oracle.

mod random_operations;
