//! The options of a store.

#[cfg(feature = "testing")]
use crate::store::mistakes::StoreMistake;

/// Sizes of a store's page caches.
///
/// # Examples
///
/// ```
/// use pouw::{Runtime, StoreOptions};
/// let options = StoreOptions::new().state_cache_bytes(256 << 20).blocks_cache_bytes(64 << 20);
/// let runtime = Runtime::in_directory("store").options(options);
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use]
#[non_exhaustive]
pub struct StoreOptions {
    /// Page cache of the state file, bytes.
    pub state_cache_bytes: usize,
    /// Page cache of the block file, bytes.
    pub blocks_cache_bytes: usize,
    /// Planted by a test.
    #[cfg(feature = "testing")]
    pub(in crate::store) mistake: Option<StoreMistake>,
}

impl StoreOptions {
    /// The defaults: 48 MiB for the state file, 16 MiB for the block file.
    pub const fn new() -> Self {
        Self {
            state_cache_bytes: 48 << 20,
            blocks_cache_bytes: 16 << 20,
            #[cfg(feature = "testing")]
            mistake: None,
        }
    }

    /// Sets the page cache of the state file, bytes.
    pub const fn state_cache_bytes(mut self, bytes: usize) -> Self {
        self.state_cache_bytes = bytes;
        self
    }

    /// Sets the page cache of the block file, bytes.
    pub const fn blocks_cache_bytes(mut self, bytes: usize) -> Self {
        self.blocks_cache_bytes = bytes;
        self
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(feature = "testing")]
impl StoreOptions {
    /// Makes a planted mistake, also while the store is opened.
    pub const fn mistake(mut self, mistake: StoreMistake) -> Self {
        self.mistake = Some(mistake);
        self
    }

    pub(super) fn makes(&self, mistake: StoreMistake) -> bool {
        self.mistake == Some(mistake)
    }
}
