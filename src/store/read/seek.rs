//! Going on behind pages that cannot be read: the first key from which on a table can be read.

use crate::store::error::StoreError;
use crate::store::key::{KeyPart, TableKey};
use crate::store::port::{Rows, Snapshot, View};
use crate::store::schema::{TreeNumber, Trees};
use crate::store::table::{Owned, Table};

/// The first key behind `from`, stored bytes of one, from which on a table can be read; `None` if
/// there is none, or if keys have no fixed length.
pub(super) fn first_readable<T: Table>(
    rows: &impl Snapshot<View: Rows<T>>,
    table: T,
    from: &[u8],
) -> Result<Option<Owned<T>>, StoreError> {
    let layout = T::Key::PARTS;
    if layout.is_empty() {
        return Ok(None);
    }
    let found = first_that_reads(layout, from, |at| {
        let Some(at) = T::Key::from_stored(at) else { return Ok(true) };
        read_or_not(rows.look(|rows| rows.page_of_any(table, at.., 1).map(drop)))
    })?;
    Ok(found.and_then(|found| T::Key::from_stored(&found)))
}

pub(super) fn next_readable_tree(
    rows: &impl Snapshot<View: View>,
    from: TreeNumber,
) -> Result<Option<TreeNumber>, StoreError> {
    first_readable(rows, Trees, &from.to_stored())
}

/// Turns a key into bytes that are ordered as the table is, and back.
fn turned(layout: &[KeyPart], key: &[u8]) -> Vec<u8> {
    let mut out = key.to_vec();
    let mut rest = out.as_mut_slice();
    for KeyPart { len, number } in layout {
        let Some((part, behind)) = rest.split_at_mut_checked(*len) else { break };
        if *number {
            part.reverse();
        }
        rest = behind;
    }
    out
}

/// The big-endian number `at` plus 2 to the power of `exponent`.
fn plus(at: &[u8], exponent: usize) -> Option<Vec<u8>> {
    let mut out = at.to_vec();
    let mut place = at.len().checked_sub(1 + exponent / 8)?;
    let mut add = 1_u8 << (exponent % 8);
    loop {
        let (sum, carry) = out[place].overflowing_add(add);
        out[place] = sum;
        if !carry {
            return Some(out);
        }
        (place, add) = (place.checked_sub(1)?, 1);
    }
}

/// The first key behind `from` at which `reads` says that the table can be read: steps grow until
/// it can, then shrink. At most two tries for each bit of a key.
fn first_that_reads(
    layout: &[KeyPart],
    from: &[u8],
    mut reads: impl FnMut(&[u8]) -> Result<bool, StoreError>,
) -> Result<Option<Vec<u8>>, StoreError> {
    let width: usize = layout.iter().map(|part| part.len).sum();
    let mut bad = if from.len() == width { turned(layout, from) } else { vec![0; width] };
    // Behind the last key there is nothing that cannot be read.
    let mut reads = |at: Option<&Vec<u8>>| at.map_or(Ok(true), |at| reads(&turned(layout, at)));
    let mut exponent = 0;
    while !reads(plus(&bad, exponent).as_ref())? {
        exponent += 1;
    }
    if let Some(exponent) = exponent.checked_sub(1) {
        let begin = bad.clone();
        bad = plus(&begin, exponent).unwrap_or(begin);
        for exponent in (0..exponent).rev() {
            let at = plus(&bad, exponent);
            if !reads(at.as_ref())? {
                bad = at.unwrap_or(bad);
            }
        }
    }
    Ok(plus(&bad, 0).map(|at| turned(layout, &at)))
}

fn read_or_not(read: Result<(), StoreError>) -> Result<bool, StoreError> {
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.is_of_the_place() => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_behind_a_stretch_that_cannot_be_read_is_found_with_few_tries() {
        const PAIR: &[KeyPart] = <(u64, u64)>::PARTS;
        let key = |(tree, group): (u64, u64)| [tree.to_le_bytes(), group.to_le_bytes()].concat();
        let number = |key: &[u8]| u128::from_be_bytes(turned(PAIR, key).try_into().unwrap());
        let cases = [
            ((3, 7), (3, 8)),
            ((3, 7), (3, 9_000)),
            ((0, 0), (9, 0)),
            ((3, u64::MAX), (4, 0)),
            ((1, 1), (u64::MAX, 5)),
        ];
        for (from, to) in cases {
            let (end, mut tries) = (number(&key(to)), 0);
            let found = first_that_reads(PAIR, &key(from), |at| {
                tries += 1;
                Ok(number(at) >= end)
            });
            assert_eq!(found.unwrap(), Some(key(to)), "{from:?}");
            assert!(tries <= 256, "{tries}");
        }
        assert_eq!(first_that_reads(PAIR, &key((3, 3)), |_| Ok(false)).unwrap(), None);
        assert_eq!(first_that_reads(PAIR, &[], |_| Ok(true)).unwrap(), Some(key((0, 1))));
    }
}
