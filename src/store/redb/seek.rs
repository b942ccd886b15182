//! Going on behind pages that cannot be read: the first key from which on a table can be read.

use std::ops::Bound;

use redb::{Key, TableDefinition, Value};

use super::read::Reader;
use super::snapshot::RedbSnapshot;
use crate::store::error::StoreError;
use crate::store::redb::errors::DbResult;
use crate::store::redb::tables::{InRedb, known};
use crate::store::schema::{TreeNumber, Trees};

/// The parts of a key in the order of their weight: bytes, and whether they are a little-endian
/// number.
type Layout = &'static [(usize, bool)];

/// `None` for keys of no fixed length.
fn layout<K: Key>() -> Option<Layout> {
    let name = K::type_name();
    let layouts: [(_, Layout); 7] = [
        (u64::type_name(), &[(8, true)]),
        (<[u8; 16]>::type_name(), &[(16, false)]),
        (<(u64, u64)>::type_name(), &[(8, true), (8, true)]),
        (<(u64, u32)>::type_name(), &[(8, true), (4, true)]),
        (<(u64, u8, u64)>::type_name(), &[(8, true), (1, true), (8, true)]),
        (<(u8, u64)>::type_name(), &[(1, true), (8, true)]),
        (<(u64, [u8; 16])>::type_name(), &[(8, true), (16, false)]),
    ];
    layouts.into_iter().find_map(|(of, layout)| (of == name).then_some(layout))
}

/// Turns a key into bytes that are ordered as the table is, and back.
fn turned(layout: Layout, key: &[u8]) -> Vec<u8> {
    let mut out = key.to_vec();
    let mut rest = out.as_mut_slice();
    for (len, little) in layout {
        let Some((part, behind)) = rest.split_at_mut_checked(*len) else { break };
        if *little {
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
fn first_readable(
    layout: Layout,
    from: &[u8],
    mut reads: impl FnMut(&[u8]) -> Result<bool, StoreError>,
) -> Result<Option<Vec<u8>>, StoreError> {
    let width: usize = layout.iter().map(|(len, _)| len).sum();
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

impl RedbSnapshot {
    /// The first key behind `from` from which on a table can be read; `None` if there is none, or
    /// if keys have no fixed length.
    pub(in crate::store) fn first_readable<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'static, K, V>,
        from: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(layout) = layout::<K>() else { return Ok(None) };
        first_readable(layout, from, |at| {
            read_or_not(self.look_inside(|txn| {
                let Some(table) = known(txn, definition)? else { return Ok(()) };
                let begin = Bound::Included(K::from_bytes(at));
                let mut rows = table.range::<K::SelfType<'_>>((begin, Bound::Unbounded)).db()?;
                rows.next().transpose().db()?;
                Ok(())
            }))
        })
    }
}

impl Reader {
    /// The first number behind `from` from which on the rows of trees can be read; `None` if
    /// there is none.
    ///
    /// # Errors
    /// [`StoreError`] if the storage fails.
    pub fn next_readable_tree(&self, from: TreeNumber) -> Result<Option<TreeNumber>, StoreError> {
        let found = self.rows.first_readable(Trees::DEFINITION, &from.to_le_bytes())?;
        Ok(found.and_then(|key| key.first_chunk::<8>().copied()).map(u64::from_le_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_behind_a_stretch_that_cannot_be_read_is_found_with_few_tries() {
        const PAIR: Layout = &[(8, true), (8, true)];
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
            let found = first_readable(PAIR, &key(from), |at| {
                tries += 1;
                Ok(number(at) >= end)
            });
            assert_eq!(found.unwrap(), Some(key(to)), "{from:?}");
            assert!(tries <= 256, "{tries}");
        }
        assert_eq!(first_readable(PAIR, &key((3, 3)), |_| Ok(false)).unwrap(), None);
        assert_eq!(first_readable(PAIR, &[], |_| Ok(true)).unwrap(), Some(key((0, 1))));
    }
}
