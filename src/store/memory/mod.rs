//! A store in memory, for tests of what is above the port.

#[cfg(feature = "testing")]
mod store;
mod tables;

#[cfg(feature = "testing")]
pub use store::{MemoryDatabase, MemoryStore};
#[cfg(test)]
pub(in crate::store) use tables::{InMemory, Tables};
