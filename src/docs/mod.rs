//! Long documents.
//!
//! * [`design`] how the engine is built, what it promises, what bounds it, and why;
//! * the wire protocol stands in [`protocol`](crate::protocol).

#[doc = include_str!("design.md")]
pub mod design {}
