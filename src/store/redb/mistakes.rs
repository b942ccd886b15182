//! Making planted mistakes (feature `testing`).

use crate::store::mistakes::StoreMistake;

use super::open::Store;

impl Store {
    /// Makes a planted mistake until the store is opened again.
    pub fn make(&self, mistake: StoreMistake) {
        self.writer.write().mistake = Some(mistake);
    }
}
