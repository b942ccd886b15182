//! From files and blocks to trees of pending leaves.
pub mod walk;
