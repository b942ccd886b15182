//! Work of which one piece is done at a time.

use super::locks::{Rank, Ranked, RankedRw};

#[derive(Debug)]
pub(super) struct Turns {
    pub(super) refill: Ranked<()>,
    pub(super) upkeep: Ranked<()>,
    /// So that tree numbers are begun in the order they were reserved.
    pub(super) ingest: Ranked<()>,
    /// Held for writing by an ingest from its look at trees until data and rows are durable, for
    /// reading by what removes trees or data. Each writes a bounded piece; the writer never waits.
    pub(super) both_files: RankedRw<()>,
    /// Verification of stored leaves. Folding a tree that it may correct takes this turn too.
    pub(super) audit: Ranked<()>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            refill: Ranked::new(Rank::Refilling, ()),
            upkeep: Ranked::new(Rank::Upkeeping, ()),
            ingest: Ranked::new(Rank::Ingesting, ()),
            both_files: RankedRw::new(Rank::BothFiles, ()),
            audit: Ranked::new(Rank::Auditing, ()),
        }
    }
}
