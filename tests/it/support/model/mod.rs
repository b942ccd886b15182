//! The model: one list of operations, one oracle, and a world in which an engine is driven beside it.
//!
//! ```text
//! bytes -> Setup, [Op] -> World: engine and oracle take the same step -> verdict and state compared
//! ```

pub mod compare;
pub mod ops;
pub mod oracle;
pub mod world;

/// Leaves the function with what does not hold.
macro_rules! ensure {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err(format!($($what)+));
        }
    };
}

pub(crate) use ensure;
