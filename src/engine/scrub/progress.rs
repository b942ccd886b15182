//! How far a pass is, and when that is written: seldom, since an idle engine writes nothing.

use crate::store::rows::ScrubRow;

/// Progress is written after these bytes or this engine time, whichever is first.
const WRITE_BYTES: u64 = 64 << 20;
const WRITE_EVERY_MS: u64 = 600_000;

#[derive(Debug, Default)]
pub(super) struct Progress {
    row: ScrubRow,
    /// As it is stored.
    pub(super) written: ScrubRow,
    pub(super) written_ms: u64,
}

impl Progress {
    pub(super) fn load(&mut self, row: ScrubRow, now_ms: u64) {
        *self = Self { written: row.clone(), row, written_ms: now_ms };
    }

    pub(super) fn row(&self) -> &ScrubRow {
        &self.row
    }

    pub(super) fn edit(&mut self) -> &mut ScrubRow {
        &mut self.row
    }

    pub(super) fn unwritten(&self) -> Option<ScrubRow> {
        (self.row != self.written).then(|| self.row.clone())
    }

    /// Whether the row is to be written: enough was read, enough time has passed, or the pass has
    /// ended.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        let ended = self.row.at.is_none();
        let same_pass = self.row.began_ms == self.written.began_ms;
        let since = if same_pass { self.row.bytes.saturating_sub(self.written.bytes) } else { self.row.bytes };
        let waited = now_ms.saturating_sub(self.written_ms) >= WRITE_EVERY_MS;
        self.row != self.written && (ended || since >= WRITE_BYTES || waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::ScrubPlace;

    #[test]
    fn progress_is_written_at_the_end_of_a_pass_every_64_mib_or_every_10_minutes_and_only_if_it_changed() {
        let mut progress = Progress::default();
        progress.load(ScrubRow::default(), 0);
        assert!(!progress.is_due(WRITE_EVERY_MS * 2));
        let at = |leaf| Some(ScrubPlace::Data { tree: 1, leaf });
        *progress.edit() = ScrubRow { at: at(1), began_ms: 5, bytes: WRITE_BYTES - 1, ..ScrubRow::default() };
        assert!(!progress.is_due(WRITE_EVERY_MS - 1) && progress.is_due(WRITE_EVERY_MS));
        progress.edit().bytes += 1;
        assert!(progress.is_due(0) && progress.unwritten().is_some());
        progress.written = progress.row.clone();
        assert!(!progress.is_due(0) && progress.unwritten().is_none());
        progress.edit().at = None;
        assert!(progress.is_due(0));
    }
}
