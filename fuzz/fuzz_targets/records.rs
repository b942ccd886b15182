//! Reading stored rows: no bytes panic, and what reads is what would be written.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use pouw::internal::store::rows::{
    AccountRow, ClaimRow, ClientRow, GroupRow, Head, LeafState, LedgerRow, LengthRow, ProvenanceRow, QuorumRow,
    RowError, SourceRow, StandingRow, TileRow, TreeRow, seal, unseal,
};
use pouw::protocol::ClientDigest;

/// The keys under which the rows are read.
const PAIR: (u64, u64) = (3, 5);
const SEQ: u64 = 7;
const CLIENT: ClientDigest = ClientDigest::from_bytes([9; 16]);

fuzz_target!(|data: &[u8]| {
    if let Some(row) = read("tiles-0", TileRow::decode(PAIR, data)) {
        same(&row.encode(PAIR), data);
        let pending = (0..32).filter(|slot| row.state(*slot) == TileRow::PENDING.state(0)).count();
        assert_eq!(row.pending_mask(u64::MAX).count_ones() as usize, pending);
        let each = LeafState::ALL.map(|state| row.mask(32, |found| found == state));
        assert_eq!(
            (each.iter().fold(0, |all, mask| all | mask), each.map(u32::count_ones).iter().sum()),
            (u32::MAX, 32)
        );
    }
    if let Some(row) = read("hashes-0", GroupRow::decode(PAIR, data)) {
        same(&row.encode(PAIR), data);
    }
    if let Some(row) = read("lengths-0", LengthRow::decode(PAIR, data)) {
        assert_eq!(read("lengths-0", LengthRow::decode(PAIR, &row.encode(PAIR))), Some(row));
    }
    if let Some(row) = read("ledger-0", LedgerRow::decode(SEQ, data)) {
        same(&row.encode(SEQ), data);
        assert_ne!(row.chained(&row.digest, 0), row.chained(&row.digest, 1));
    }
    if let Some(row) = read("standings-0", StandingRow::decode(CLIENT, data)) {
        let written = row.encode(CLIENT);
        assert_eq!(read("standings-0", StandingRow::decode(CLIENT, &written)), Some(row));
        // The fourth byte is of an older build and is not written again.
        if data[3] == 0 {
            same(&written, data);
        }
    }
    if let Some(mut row) = read("provenance-0", ProvenanceRow::decode(SEQ, data)) {
        same(&row.encode(SEQ), data);
        assert_eq!(LeafState::ALL.iter().filter(|state| row.count_mut(**state).is_some()).count(), 5);
    }
    variable(data);
    // The same behind the version byte that every such row has.
    variable(&[&[0], data].concat());
});

/// What is written is what was read, or, of a row of an older store, that and its checksum.
fn same(written: &[u8], read: &[u8]) {
    assert!(written == read || (written.len() == read.len() + 9 && written.starts_with(read)));
}

fn variable(data: &[u8]) {
    // A number may be written longer than need be, so it is the row that must survive, not its bytes.
    macro_rules! survives {
        ($row:ty, $table:literal, $key:expr) => {
            if let Some(row) = read($table, unseal::<$row>($table, $key, data)) {
                let sealed = seal($table, $key, &row).expect("what was read can be written");
                // A row of an older store gets its checksum.
                assert!(sealed.len() <= data.len() + 8);
                assert_eq!(unseal::<$row>($table, $key, &sealed), Ok(row));
            }
        };
    }
    survives!(ClientRow, "clients-0", CLIENT);
    survives!(TreeRow, "trees-0", SEQ);
    survives!(SourceRow, "sources-0", PAIR);
    survives!(Head, "meta-0", "head");
    survives!(AccountRow, "meta-0", "account");
    survives!(ClaimRow, "claims-0", PAIR);
    survives!(QuorumRow, "quorums-0", PAIR);
}

fn read<T: Debug>(table: &str, row: Result<T, RowError>) -> Option<T> {
    match row {
        Ok(row) => Some(row),
        Err(error) => {
            assert!(error.table == table && !error.what.is_empty() && error.what.len() < 400, "{error:?}");
            None
        }
    }
}
