//! The mark that both files of a store get at each opening, so that a file of another day is not
//! taken for this one's other half.
//!
//! The block file is marked first, with the mark before and the new one; the state file follows
//! with the new one; then the block file drops the mark before. So after a crash between any two of
//! them the state file has one of the marks in the block file, and else only the newest fits.

use crate::store::error::StoreError;
use crate::store::random::random;

/// The mark of one opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::store) struct Generation {
    /// Counts the openings since the store has marks; 0 before the first.
    number: u64,
    /// Random: two copies of one store that are opened apart get different marks.
    drawn: [u8; 16],
}

/// The marks in the block file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Marks {
    /// The mark of the state file until that gets the new one; the same as `now` from then on.
    pub(in crate::store) before: Generation,
    /// The mark of the newest opening.
    pub(in crate::store) now: Generation,
}

impl Generation {
    /// The mark of the next opening.
    pub(in crate::store) fn next(self) -> Result<Self, StoreError> {
        let drawn =
            random().map_err(|e| StoreError::Io { what: format!("the system returned no random bytes: {e}") })?;
        Ok(Self { number: self.number.saturating_add(1), drawn })
    }

    /// 24 bytes: number, drawn bytes.
    pub(in crate::store) fn encode(self) -> [u8; 24] {
        let mut out = [0; 24];
        out[..8].copy_from_slice(&self.number.to_le_bytes());
        out[8..].copy_from_slice(&self.drawn);
        out
    }

    pub(in crate::store) fn decode(bytes: &[u8; 24]) -> Self {
        let (mut number, mut drawn) = ([0; 8], [0; 16]);
        number.copy_from_slice(&bytes[..8]);
        drawn.copy_from_slice(&bytes[8..]);
        Self { number: u64::from_le_bytes(number), drawn }
    }
}

impl Marks {
    /// 48 bytes: the mark before, the newest.
    pub(in crate::store) fn encode(self) -> [u8; 48] {
        let mut out = [0; 48];
        out[..24].copy_from_slice(&self.before.encode());
        out[24..].copy_from_slice(&self.now.encode());
        out
    }

    pub(in crate::store) fn decode(bytes: &[u8; 48]) -> Self {
        let (mut before, mut now) = ([0; 24], [0; 24]);
        before.copy_from_slice(&bytes[..24]);
        now.copy_from_slice(&bytes[24..]);
        Self { before: Generation::decode(&before), now: Generation::decode(&now) }
    }
}

/// What contradicts that a state file with the mark `state` and a block file with `blocks` were
/// last open together; `None` if nothing does. Files without marks are of a store from before
/// them.
pub(in crate::store) fn mismatch(state: Option<Generation>, blocks: Option<Marks>) -> Option<String> {
    let (state, blocks) = match (state, blocks) {
        (None, None) => return None,
        (Some(state), None) => {
            return Some(format!("state.redb was opened {} times since blocks.redb", state.number));
        }
        (state, Some(blocks)) => (state.unwrap_or_default(), blocks),
    };
    if state == blocks.now || state == blocks.before {
        return None;
    }
    Some(match (state.number, blocks.now.number) {
        (state, blocks) if state == blocks => {
            format!("both were opened {state} times, but not together: they are of two copies of the store")
        }
        (state, blocks) => format!("state.redb is of opening {state}, blocks.redb of opening {blocks}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: u64, drawn: u8) -> Generation {
        Generation { number, drawn: [drawn; 16] }
    }

    #[test]
    fn marks_are_read_as_they_were_written() {
        let marks = Marks { before: of(7, 1), now: of(8, 2) };
        assert_eq!(Marks::decode(&marks.encode()), marks);
        assert_eq!(Generation::decode(&of(u64::MAX, 9).encode()), of(u64::MAX, 9));
        assert_eq!(of(3, 1).next().unwrap().number, 4);
        assert_ne!(of(3, 1).next().unwrap(), of(3, 1).next().unwrap());
    }

    #[test]
    fn a_pair_is_one_that_was_open_together_last_or_was_cut_short_while_it_was_marked() {
        let marks = Some(Marks { before: of(7, 1), now: of(8, 2) });
        for state in [of(7, 1), of(8, 2)] {
            assert_eq!(mismatch(Some(state), marks), None);
        }
        for state in [of(6, 3), of(7, 2), of(8, 1), of(9, 2)] {
            assert!(mismatch(Some(state), marks).is_some(), "{state:?}");
        }
        let first = Some(Marks { before: Generation::default(), now: of(1, 2) });
        assert_eq!(mismatch(None, None), None, "a store from before the marks");
        assert_eq!(mismatch(None, first), None, "cut short while it got its first mark");
        assert!(mismatch(None, marks).is_some() && mismatch(Some(of(1, 2)), None).is_some());
    }
}
