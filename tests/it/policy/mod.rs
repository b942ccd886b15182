//! The state machines of the policies, from text tables.

mod tables;
