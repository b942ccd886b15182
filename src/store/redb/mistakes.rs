//! Making planted mistakes (feature `testing`).

use crate::store::mistakes::StoreMistake;

use super::open::{Store, StoreOptions};

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

impl Store {
    /// Makes a planted mistake until the store is opened again.
    pub fn make(&self, mistake: StoreMistake) {
        self.writer.write().mistake = Some(mistake);
    }
}
