//! Reading stored rows: no bytes panic, and what reads is what would be written.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use pouw::internal::store::records::{
    AccountRow, ClaimRow, ClientRow, GroupRow, Head, LeafState, LedgerRow, LengthRow, ProvenanceRow, QuorumRow,
    RecordError, SourceRow, StandingRow, TileRow, TreeRow, seal, unseal,
};

fuzz_target!(|data: &[u8]| {
    if let Some(row) = read("tiles-0", TileRow::decode(data)) {
        assert_eq!(row.encode(), data);
        let pending = (0..32).filter(|slot| row.state(*slot) == TileRow::PENDING.state(0)).count();
        assert_eq!(row.pending_mask(u64::MAX).count_ones() as usize, pending);
        let each = LeafState::ALL.map(|state| row.mask(32, |found| found == state));
        assert_eq!(
            (each.iter().fold(0, |all, mask| all | mask), each.map(u32::count_ones).iter().sum()),
            (u32::MAX, 32)
        );
    }
    if let Some(row) = read("hashes-0", GroupRow::decode(data)) {
        assert_eq!(row.encode(), data);
    }
    if let Some(row) = read("lengths-0", LengthRow::decode(data)) {
        assert_eq!(row.encode(), data);
    }
    if let Some(row) = read("ledger-0", LedgerRow::decode(data)) {
        assert_eq!(row.encode(), data);
        assert_ne!(row.chained(&row.digest, 0), row.chained(&row.digest, 1));
    }
    if let Some(row) = read("standings-0", StandingRow::decode(data)) {
        assert_eq!(row.encode(), data);
    }
    if let Some(mut row) = read("provenance-0", ProvenanceRow::decode(data)) {
        assert_eq!(row.encode(), data);
        assert_eq!(LeafState::ALL.iter().filter(|state| row.count_mut(**state).is_some()).count(), 5);
    }
    variable(data);
    // The same behind the version byte that every such row has.
    variable(&[&[0], data].concat());
});

fn variable(data: &[u8]) {
    // A number may be written longer than need be, so it is the row that must survive, not its bytes.
    macro_rules! survives {
        ($row:ty, $table:literal) => {
            if let Some(row) = read($table, unseal::<$row>($table, data)) {
                let sealed = seal($table, &row).expect("what was read can be written");
                assert!(sealed.len() <= data.len());
                assert_eq!(unseal::<$row>($table, &sealed), Ok(row));
            }
        };
    }
    survives!(ClientRow, "clients-0");
    survives!(TreeRow, "trees-0");
    survives!(SourceRow, "sources-0");
    survives!(Head, "meta-0");
    survives!(AccountRow, "meta-0");
    survives!(ClaimRow, "claims-0");
    survives!(QuorumRow, "quorums-0");
}

fn read<T: Debug>(table: &str, row: Result<T, RecordError>) -> Option<T> {
    match row {
        Ok(row) => Some(row),
        Err(error) => {
            assert!(error.table == table && !error.what.is_empty() && error.what.len() < 400, "{error:?}");
            None
        }
    }
}
