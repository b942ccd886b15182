//! What stands in the rows, byte for byte: a codec that writes anything else is another format.

use data_encoding::HEXLOWER;
use pouw::hash::Checksum;
use pouw::internal::store::rows::{
    AccountRow, ClaimRow, ClientRow, DataPlace, GroupRow, Head, LeafState, LedgerRow, LengthRow, NodeRow,
    ProvenanceRow, QuorumRow, RowKey, SourceRow, StandingRow, Submitter, SumRow, TileRow, TreeRow, VoteRow,
    encode_meta, meta_bytes, seal, unseal,
};
use pouw::internal::store::{
    CHORE_ASSEMBLE, CHORE_DROP, CHORE_FOLD, CHORE_PURGE, CHUNK_BYTES, FORMAT_VERSION, NO_ENTRY, PRIORITY_FRESH,
    PRIORITY_PARTIAL, VOTED,
};
use pouw::protocol::{ClientDigest, TreeHandle, WorkId};
use pouw::{EntryKind, Exposure, HashReason, HashWork, StoreTotals, Strategy, TreeState};
use quickcheck::{Arbitrary, Gen, QuickCheck};

/// A value of a non-exhaustive type with these fields.
macro_rules! filled {
    ($from:expr; $($field:ident: $value:expr),+ $(,)?) => {{
        let mut filled = $from;
        $(filled.$field = $value;)+
        filled
    }};
}

#[track_caller]
fn golden(bytes: impl AsRef<[u8]>, hex: &str) {
    assert_eq!(HEXLOWER.encode(bytes.as_ref()), hex.replace(char::is_whitespace, ""));
}

fn fill<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|at| first.wrapping_add(at as u8))
}

/// The keys of the rows below.
const SEQ: u64 = 9;
const PAIR: (u64, u64) = (3, 2);
const ID: ClientDigest = ClientDigest::from_bytes([0xc1; 16]);

fn ledger_row() -> LedgerRow {
    LedgerRow {
        id: WorkId::from_bytes(fill(0x10)),
        client: ClientDigest::from_bytes(fill(0x30)),
        tree: 0x0102_0304_0506_0708,
        start: 0x1112_1314_1516_1718,
        order: 5,
        kind: EntryKind::Leaves,
        tier: 2,
        leaves: 0x2122_2324,
        nodes: 0x3132_3334,
        amount: 0x4142_4344_4546_4748,
        at_ms: 0x5152_5354_5556_5758,
        previous: u64::MAX,
        digest: fill(0x80),
    }
}

fn standing_row() -> StandingRow {
    StandingRow { tier: 2, violations: 1, first_violation_ms: 0x0102_0304_0506_0708, last_ms: 0x1112_1314_1516_1718 }
}

fn tree_row() -> TreeRow {
    TreeRow {
        name: "a/b".into(),
        handle: TreeHandle::from_bytes(fill(1)),
        leaves: 300,
        block_len: 4_096,
        total_bytes: 1_228_799,
        send_cap: 131_072,
        data: DataPlace::Copied,
        strategy: Strategy::Precomputed,
        exposure: Exposure::Public,
        state: TreeState::Active,
        done: 250,
        interior_done: 251,
        order: 70_000,
        root: Checksum::from_bytes(fill(0x40)),
        groups: 19,
    }
}

fn head() -> Head {
    Head {
        commit_seq: 1,
        clock_ms: 1_700_000_000_000,
        next_tree: 3,
        next_order: 4,
        next_ledger: 5,
        checkpoint: 6,
        anchor: 7,
        anchor_digest: fill(0xa0),
        last_digest: fill(0xc0),
        totals: filled!(StoreTotals::default();
            trees: 8,
            complete: 9,
            pending: 10,
            units: 11,
            leaves: 12,
            nodes: 13,
            interior: 14,
            synthetic: 15,
            awarded: 16,
            debited: 17,
            refused: 18,
            oversized: 19,
            sealed_awarded: 20,
            sealed_debited: 21,
            sealed_leaves: 22,
        ),
    }
}

fn claim_row() -> ClaimRow {
    let submitter = Submitter {
        client: ClientDigest::from_bytes(fill(0x10)),
        network: fill(0x20),
        seq: 251,
        data_digest: 0x0102_0304_0506_0708,
    };
    ClaimRow { order: 5, submitters: vec![submitter, Submitter { seq: 7, ..submitter }] }
}

fn quorum_row() -> QuorumRow {
    let vote = VoteRow {
        id: WorkId::from_bytes(fill(0)),
        expires_ms: 1_700_000_060_000,
        client: ClientDigest::from_bytes(fill(0x10)),
        network: fill(0x20),
        tier: 2,
        nodes: 63,
        award: 6_300,
        at_ms: 1_700_000_000_001,
        strikes: 1,
        data_digest: 0x0102_0304_0506_0708,
        leaves: vec![Checksum::from_bytes(fill(0x80)), Checksum::from_bytes(fill(0x40))],
    };
    QuorumRow {
        order: 1,
        since_ms: 1_700_000_000_000,
        refereed: vec![(1, Checksum::from_bytes(fill(0x40)))],
        votes: vec![vote],
    }
}

/// The numbers 1 to 115, in the order of the fields.
fn account() -> AccountRow {
    unseal("meta-0", "account", &(0..=115).collect::<Vec<u8>>()).unwrap()
}

/// An account of these 115 numbers, as they are in its row.
fn account_of(numbers: [u64; 115]) -> AccountRow {
    unseal("meta-0", "account", &seal("meta-0", "account", &numbers).unwrap()).unwrap()
}

#[test]
fn rows_of_fixed_size_are_plain_bytes_a_mark_and_a_checksum() {
    let mut tile = TileRow::PENDING;
    golden(tile.encode(PAIR), "00000000000000000000000000000000 01 763bd463f91b873b");
    for slot in [0, 3, 30, 31] {
        tile.set(slot, LeafState::Verified);
    }
    golden(tile.encode(PAIR), "01100000000000000000000000000011 01 103be4eab3bea7fd");
    let group = GroupRow { leaves: vec![Checksum::from_bytes(fill(0)); 1], top: Checksum::from_bytes(fill(0x80)) };
    golden(
        group.encode(PAIR),
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f
         303132333435363738393a3b3c3d3e3f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f
         a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf 01 defd81149c9a3e3a",
    );
    let lengths = LengthRow { offset: 0x0102_0304_0506_0708, lengths: vec![0, 1, 0xffff_ffff] };
    golden(
        lengths.encode(PAIR),
        "080706050403020100000000 01000000ffffffff 00000000000000000000
         000000000000000000000000000000000000000000000000000000000000000000000000000000000000 03 661397a0fc4c65cc",
    );
    golden(
        ledger_row().encode(SEQ),
        "101112131415161718191a1b1c1d1e1f303132333435363738393a3b3c3d3e3f08070605040302011817161514131211
         050002242322213433323148474645444342415857565554535251ffffffffffffffff808182838485868788898a8b8c
         8d8e8f909192939495969798999a9b9c9d9e9f 01 b2e1fb5cdffc0817",
    );
    golden(standing_row().encode(ID), "00020100 0807060504030201 1817161514131211 01 64136ae5ac9c742c");
    let provenance = ProvenanceRow { known: 1, agreed: 0x0102, audited: 3, doubted: 4, damaged: u64::MAX };
    golden(
        provenance.encode(SEQ),
        "0100000000000000 0201000000000000 0300000000000000 0400000000000000 ffffffffffffffff 01 4cef860f95092d3c",
    );
    // Every state once, and the last two in the high halves.
    let mut tile = TileRow::PENDING;
    (0..).zip(LeafState::ALL).for_each(|(slot, state)| tile.set(slot, state));
    tile.set(29, LeafState::Doubted);
    tile.set(31, LeafState::Damaged);
    golden(tile.encode(PAIR), "1032540600000000 0000000000005060 01 c0927c47d0ff4668");
    golden(
        NodeRow(Checksum::from_bytes(fill(0x40))).encode((3, 2, 1)),
        "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f
         606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f 01 010b60f63a588050",
    );
    golden(encode_meta("boot", &7_u64.to_le_bytes()), "0700000000000000 01 65b56f8a42d0e7a5");
}

#[test]
fn rows_about_who_stands_for_a_leaf_are_a_version_byte_bincode_and_a_checksum() {
    golden(
        seal("claims-0", PAIR, &claim_row()).unwrap(),
        "010502101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2ffbfb00fd0807060504030201
             101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f07fd0807060504030201 e53f115d0a07c5f4",
    );
    golden(
        seal("quorums-0", PAIR, &quorum_row()).unwrap(),
        "0101fd0068e5cf8b0100000101404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162
         636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f01000102030405060708090a0b0c0d0e0ffd6052e6cf8b0100001011
         12131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f023ffb9c18fd0168e5cf8b01000001fd080706050403020102
         808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf
         b0b1b2b3b4b5b6b7b8b9babbbcbdbebf404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f
         606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f 2a25cb99b28dd25a",
    );
    golden(
        seal("meta-0", "account", &AccountRow::default()).unwrap(),
        &format!("01{} 2d53c97c204bb42a", "00".repeat(115)),
    );
    let numbers = HEXLOWER.encode(&(1..=115).collect::<Vec<u8>>());
    golden(seal("meta-0", "account", &account()).unwrap(), &format!("01{numbers} 87077e6658d421af"));
}

#[test]
fn every_number_of_the_account_keeps_its_place() {
    let AccountRow(account) = account();
    let strategies = ["precomputed", "known-address", "audit", "quorum", "synthetic"];
    assert_eq!(account.named().map(|(name, _)| name).collect::<Vec<_>>(), strategies);
    let numbers = |work: HashWork| [work.hashes, work.bytes, work.permutations];
    let found = account.named().flat_map(|(_, of)| {
        let works = [of.accepted].into_iter().chain(HashReason::ALL.map(|reason| of.server(reason))).chain([of.asked]);
        works.flat_map(numbers).chain([of.sent_units, of.sent_bytes]).collect::<Vec<_>>()
    });
    assert_eq!(found.collect::<Vec<_>>(), (1..=115).collect::<Vec<_>>());
    for strategy in ["precomputed", "known-address", "audit:1", "quorum:2"] {
        let strategy = strategy.parse::<Strategy>().unwrap();
        let (_, named) = account.named().find(|(name, _)| *name == strategy.as_str()).unwrap();
        assert_eq!(account.of(strategy), named);
    }
    assert_eq!(account.named().last().unwrap().1, account.synthetic());
}

#[test]
fn the_chain_digest_is_what_it_was() {
    golden(ledger_row().chained(&[0; 32], 0), "fbc224a84c00bd100644fe1f86139989de748b2a5a3fcabae2d3b98d86776d1e");
    golden(ledger_row().chained(&fill(7), 1), "caa210df18b92e12cd4b95ab90c739da0621d819834d0934d368327fef2ce2e0");
}

#[test]
fn variable_rows_are_a_version_byte_bincode_and_a_checksum() {
    golden(seal("clients-0", ID, &ClientRow::default()).unwrap(), "0100fdffffffffffffffff000000 570bee47576b1307");
    let client = ClientRow { balance: 1, last_seq: 250, accepted: 251, strikes: 65_536, updated_ms: 1 << 40 };
    golden(seal("clients-0", ID, &client).unwrap(), "0101fafbfb00fc00000100fd0000000000010000 7443bdd27c0bbf2a");
    golden(
        seal("trees-0", SEQ, &tree_row()).unwrap(),
        "0103612f620102030405060708090a0b0c0d0e0f10fb2c01fb0010fcffbf1200fc0000020000000001fafbfb00fc7011
         0100404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d
         6e6f707172737475767778797a7b7c7d7e7f13 9d3f371898b3839b",
    );
    let source =
        SourceRow { path: b"/x\xff".to_vec(), leaves: 2, cut: 512, len: 1_000, modified_ns: -1, inode: 1 << 33 };
    golden(seal("sources-0", PAIR, &source).unwrap(), "01032f78ff02fb0002fbe80301fd0000000002000000 c9d52592e052232d");
    // Not in an envelope: checksums alone, the last one of the row itself.
    golden(
        SumRow::of(3, 2, [&b"one"[..], b""].into_iter()).encode(3, 2),
        "6c5ea791d07c92d6ea8bfeccb9996ae744e3de35866a4f31",
    );
    golden(
        seal("meta-0", "head", &Head::default()).unwrap(),
        "010000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
         000000000000000000000000000000000000000000000000000000000000000000000000000000 1ef76b973926e6ee",
    );
    golden(
        seal("meta-0", "head", &head()).unwrap(),
        "0101fd0068e5cf8b0100000304050607a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf
         c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf08090a0b0c0d0e0f10111213141516
         99b8bb34f5c973c8",
    );
}

#[test]
fn every_variant_keeps_its_number() {
    let place = |row: &TreeRow| seal("trees-0", SEQ, row).unwrap();
    let plain = place(&tree_row());
    // The four enumerations stand behind the cap: data, strategy, exposure, state.
    let at = plain.windows(4).position(|window| window == [0, 0, 0, 1]).unwrap();
    for (number, data) in [DataPlace::Copied, DataPlace::Referenced, DataPlace::Dropped].into_iter().enumerate() {
        assert_eq!(place(&TreeRow { data, ..tree_row() })[at], number as u8);
    }
    for (number, exposure) in [Exposure::Public, Exposure::Ciphertext].into_iter().enumerate() {
        assert_eq!(place(&TreeRow { exposure, ..tree_row() })[at + 2], number as u8);
    }
    let states = [
        TreeState::Ingesting,
        TreeState::Active,
        TreeState::Folding,
        TreeState::Assembling,
        TreeState::Complete,
        TreeState::Inconsistent,
    ];
    for (number, state) in states.into_iter().enumerate() {
        assert_eq!(place(&TreeRow { state, ..tree_row() })[at + 3], number as u8);
    }
    for (number, kind) in KINDS.into_iter().enumerate() {
        assert_eq!(LedgerRow { kind, ..ledger_row() }.encode(SEQ)[49], number as u8);
    }
    let strategies = [
        (Strategy::Precomputed, &[0][..]),
        (Strategy::KnownAddress, &[1]),
        (Strategy::SampledAudit { k: 32 }, &[2, 32]),
        (Strategy::Redundant { quorum: 8 }, &[3, 8]),
    ];
    for (strategy, bytes) in strategies {
        let row = place(&TreeRow { strategy, ..tree_row() });
        assert_eq!((&row[at + 1..][..bytes.len()], row.len()), (bytes, plain.len() - 1 + bytes.len()));
    }
    for (number, state) in LeafState::ALL.into_iter().enumerate() {
        assert_eq!(state as usize, number);
    }
}

const KINDS: [EntryKind; 7] = [
    EntryKind::Leaves,
    EntryKind::Interior,
    EntryKind::Synthetic,
    EntryKind::Debit,
    EntryKind::Part,
    EntryKind::Vote,
    EntryKind::Correction,
];

#[test]
fn numbers_that_stand_in_keys_are_what_they_were() {
    assert_eq!((CHORE_PURGE, CHORE_ASSEMBLE, CHORE_DROP, CHORE_FOLD), (0, 1, 2, 3));
    assert_eq!((PRIORITY_PARTIAL, PRIORITY_FRESH), (0, 1));
    assert_eq!((CHUNK_BYTES, FORMAT_VERSION, NO_ENTRY, VOTED), (65_516, 0, u64::MAX, u64::MAX - 1));
}

#[derive(Debug, Clone)]
struct Bytes(Vec<u8>);

impl Arbitrary for Bytes {
    /// Bytes near a row that decodes are more telling than noise.
    fn arbitrary(g: &mut Gen) -> Self {
        let rows = [
            seal("trees-0", SEQ, &tree_row()).unwrap(),
            seal("meta-0", "head", &head()).unwrap(),
            seal("clients-0", ID, &ClientRow::default()).unwrap(),
            ledger_row().encode(SEQ).to_vec(),
            standing_row().encode(ID).to_vec(),
            seal("claims-0", PAIR, &claim_row()).unwrap(),
            seal("quorums-0", PAIR, &quorum_row()).unwrap(),
            seal("meta-0", "account", &account()).unwrap(),
            vec![1; 40],
            vec![0; 16],
            vec![7; 64 * (2 + usize::arbitrary(g) % 18)],
            Vec::arbitrary(g),
        ];
        let mut bytes = g.choose(&rows).cloned().unwrap_or_default();
        for _ in 0..usize::arbitrary(g) % 4 {
            if !bytes.is_empty() {
                let at = usize::arbitrary(g) % bytes.len();
                match u8::arbitrary(g) % 3 {
                    0 => bytes[at] = u8::arbitrary(g),
                    1 => bytes.truncate(at),
                    _ => bytes.insert(at, u8::arbitrary(g)),
                }
            }
        }
        Self(bytes)
    }
}

/// What decodes is encoded to bytes that decode to the same row.
fn survives(bytes: &[u8]) -> bool {
    macro_rules! fixed {
        ($($row:ident($key:expr)),+) => {
            $($row::decode($key, bytes).is_ok_and(|row| $row::decode($key, &row.encode($key)[..]) != Ok(row)))||+
        };
    }
    fn again<T: bincode::Encode + bincode::Decode<()> + PartialEq>(bytes: &[u8]) -> bool {
        unseal::<T>("any", SEQ, bytes).is_ok_and(|row| {
            let sealed = seal("any", SEQ, &row);
            !sealed.is_ok_and(|sealed| unseal::<T>("any", SEQ, &sealed).is_ok_and(|same| same == row))
        })
    }
    !(fixed!(
        TileRow(PAIR),
        GroupRow(PAIR),
        LengthRow(PAIR),
        LedgerRow(SEQ),
        StandingRow(ID),
        ProvenanceRow(SEQ),
        NodeRow((3, 2, 1))
    ) || again::<TreeRow>(bytes)
        || again::<Head>(bytes)
        || again::<ClientRow>(bytes)
        || again::<SourceRow>(bytes)
        || again::<ClaimRow>(bytes)
        || again::<QuorumRow>(bytes)
        || again::<AccountRow>(bytes))
}

/// The same row as older stores have it: without mark and checksum, and version 0 of an envelope.
fn older(row: &[u8]) -> Vec<u8> {
    row[..row.len() - 9].to_vec()
}

fn older_sealed(row: &[u8]) -> Vec<u8> {
    [&[0], &row[1..row.len() - 8]].concat()
}

#[test]
fn rows_of_older_stores_are_read() {
    let tile = TileRow::decode(PAIR, &[0x10; 16]).unwrap();
    assert_eq!(older(&tile.encode(PAIR)), [0x10; 16]);
    let group = GroupRow { leaves: vec![Checksum::from_bytes(fill(0)); 9], top: Checksum::from_bytes(fill(0x80)) };
    assert_eq!(GroupRow::decode(PAIR, &older(&group.encode(PAIR))), Ok(group));
    let lengths = LengthRow { offset: 7, lengths: vec![1, 2] };
    let bytes = HEXLOWER.decode(b"07000000000000000100000002000000").unwrap();
    assert_eq!(LengthRow::decode(PAIR, &bytes), Ok(lengths));
    assert_eq!(LedgerRow::decode(SEQ, &older(&ledger_row().encode(SEQ))), Ok(ledger_row()));
    assert_eq!(StandingRow::decode(ID, &older(&standing_row().encode(ID))), Ok(standing_row()));
    // An older build wrote whether the newest challenge was unanswered.
    let mut answered = older(&standing_row().encode(ID));
    answered[3] = 1;
    assert_eq!(StandingRow::decode(ID, &answered), Ok(standing_row()));
    let provenance = ProvenanceRow { known: 1, agreed: 2, audited: 3, doubted: 4, damaged: 5 };
    assert_eq!(ProvenanceRow::decode(SEQ, &older(&provenance.encode(SEQ))), Ok(provenance));
    assert_eq!(NodeRow::decode((3, 2, 1), &[5; 64]), Ok(NodeRow(Checksum::from_bytes([5; 64]))));
    assert_eq!(meta_bytes("store", &[5; 16]), Ok([5; 16]));
    assert_eq!(unseal("trees-0", SEQ, &older_sealed(&seal("trees-0", SEQ, &tree_row()).unwrap())), Ok(tree_row()));
    assert_eq!(unseal("meta-0", "head", &older_sealed(&seal("meta-0", "head", &head()).unwrap())), Ok(head()));
}

type Reads = Box<dyn Fn(&[u8]) -> bool>;

#[test]
fn a_changed_bit_another_length_or_another_key_is_refused_in_every_row() {
    fn row<K: RowKey + 'static, R: 'static, E: 'static>(
        bytes: impl AsRef<[u8]>,
        decode: fn(K, &[u8]) -> Result<R, E>,
        keys: [K; 2],
    ) -> (Vec<u8>, [Reads; 2]) {
        (bytes.as_ref().to_vec(), keys.map(|key| Box::new(move |bytes: &[u8]| decode(key, bytes).is_ok()) as Reads))
    }
    let (seqs, pairs, ids) = ([SEQ, SEQ + 1], [PAIR, (3, 3)], [ID, ClientDigest::from_bytes([0xc2; 16])]);
    let group = |leaves| GroupRow { leaves: vec![Checksum::ZERO; leaves], top: Checksum::ZERO }.encode(PAIR);
    let lengths = |leaves| LengthRow { offset: 0, lengths: vec![4_096; leaves] }.encode(PAIR);
    let mut rows = vec![
        row(TileRow::PENDING.encode(PAIR), TileRow::decode, pairs),
        row(ledger_row().encode(SEQ), LedgerRow::decode, seqs),
        row(standing_row().encode(ID), StandingRow::decode, ids),
        row(ProvenanceRow::default().encode(SEQ), ProvenanceRow::decode, seqs),
        row(NodeRow(Checksum::ZERO).encode((3, 2, 1)), NodeRow::decode, [(3, 2, 1), (3, 1, 2)]),
        row(encode_meta("boot", &[0; 8]), |key: &str, bytes| meta_bytes::<8>(key, bytes), ["boot", "store"]),
        row(seal("trees-0", SEQ, &tree_row()).unwrap(), |key, raw| unseal::<TreeRow>("trees-0", key, raw), seqs),
        row(
            seal("meta-0", "head", &head()).unwrap(),
            |key, raw| unseal::<Head>("meta-0", key, raw),
            ["head", "account"],
        ),
        row(
            seal("clients-0", ID, &ClientRow::default()).unwrap(),
            |key, raw| unseal::<ClientRow>("clients-0", key, raw),
            ids,
        ),
        row(seal("claims-0", PAIR, &claim_row()).unwrap(), |key, raw| unseal::<ClaimRow>("claims-0", key, raw), pairs),
        row(
            seal("quorums-0", PAIR, &quorum_row()).unwrap(),
            |key, raw| unseal::<QuorumRow>("quorums-0", key, raw),
            pairs,
        ),
    ];
    rows.extend((1..=16).map(|leaves| row(group(leaves), GroupRow::decode, pairs)));
    rows.extend((1..=16).map(|leaves| row(lengths(leaves), LengthRow::decode, pairs)));
    for (at, (bytes, [own, other])) in rows.iter().enumerate() {
        assert!(own(bytes) && !other(bytes), "row {at}");
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!own(&changed), "row {at}, bit {bit}");
        }
        // One bit of a length that redb keeps: of this row's end, or of its beginning.
        for change in (0..16).map(|bit| 1_usize << bit) {
            let longer = [&bytes[..], &[0; 1 << 15]].concat();
            let earlier = [&[0; 1 << 15], &bytes[..]].concat();
            let mut others =
                vec![&longer[..bytes.len() + change.min(1 << 15)], &earlier[(1 << 15) - change.min(1 << 15)..]];
            if let Some(left) = bytes.len().checked_sub(change) {
                others.extend([&bytes[..left], &bytes[change..]]);
            }
            assert!(others.into_iter().all(|bytes| !own(bytes)), "row {at}, {change} bytes");
        }
    }
}

#[test]
fn no_bytes_panic_a_decoder_and_what_decodes_survives() {
    QuickCheck::new().tests(20_000).quickcheck((|bytes: Bytes| survives(&bytes.0)) as fn(Bytes) -> bool);
}

#[derive(Debug, Clone)]
struct Rows {
    tree: TreeRow,
    client: ClientRow,
    source: SourceRow,
    head: Head,
    ledger: LedgerRow,
    lengths: LengthRow,
    standing: StandingRow,
    provenance: ProvenanceRow,
    claim: ClaimRow,
    quorum: QuorumRow,
    account: AccountRow,
    states: Vec<LeafState>,
}

impl Arbitrary for Rows {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut number = || u64::arbitrary(g) >> (u32::arbitrary(g) % 64);
        let (a, b, c, d) = (number(), number(), number(), number());
        let states = [TreeState::Ingesting, TreeState::Folding, TreeState::Complete, TreeState::Inconsistent];
        let places = [DataPlace::Copied, DataPlace::Referenced, DataPlace::Dropped];
        let strategies = [
            Strategy::Precomputed,
            Strategy::KnownAddress,
            Strategy::SampledAudit { k: 1 + a as u8 % 32 },
            Strategy::Redundant { quorum: 2 + b as u8 % 7 },
        ];
        let digest = fill(u8::arbitrary(g));
        Self {
            tree: TreeRow {
                name: String::arbitrary(g),
                leaves: a,
                block_len: b,
                total_bytes: c,
                order: d,
                data: *g.choose(&places).unwrap(),
                state: *g.choose(&states).unwrap(),
                strategy: *g.choose(&strategies).unwrap(),
                root: Checksum::from_bytes(fill(a as u8)),
                ..tree_row()
            },
            client: ClientRow { balance: a, last_seq: b, accepted: c, strikes: d, updated_ms: a ^ b },
            source: SourceRow {
                path: Vec::arbitrary(g),
                leaves: a,
                cut: b,
                len: c,
                modified_ns: i128::arbitrary(g),
                inode: d,
            },
            head: Head { commit_seq: a, anchor: b, last_digest: digest, next_ledger: c, checkpoint: d, ..head() },
            ledger: LedgerRow {
                tree: a,
                start: b,
                amount: c,
                at_ms: d,
                previous: a ^ d,
                kind: *g.choose(&KINDS).unwrap(),
                tier: u8::arbitrary(g) % 3,
                leaves: a as u32,
                nodes: b as u32,
                order: c as u8,
                digest,
                ..ledger_row()
            },
            lengths: LengthRow { offset: a, lengths: vec![b as u32; 1 + (c % 16) as usize] },
            standing: StandingRow { tier: a as u8 % 3, violations: b as u8, first_violation_ms: c, last_ms: d },
            provenance: ProvenanceRow { known: a, agreed: b, audited: c, doubted: d, damaged: a ^ b },
            claim: ClaimRow { order: a as u8, submitters: vec![claim_row().submitters[0]; (b % 9) as usize] },
            quorum: quorum_of([a, b, c, d]),
            account: account_of(std::array::from_fn(|at| [a, b, c, d][at % 4])),
            states: (0..32).map(|_| *g.choose(&LeafState::ALL).unwrap()).collect(),
        }
    }
}

fn quorum_of([a, b, c, d]: [u64; 4]) -> QuorumRow {
    let vote = VoteRow {
        award: a,
        at_ms: b,
        strikes: c,
        nodes: d as u32,
        leaves: vec![Checksum::from_bytes(fill(a as u8)); 1 + (b % 32) as usize],
        ..quorum_row().votes[0].clone()
    };
    QuorumRow { order: a as u8, since_ms: b, votes: vec![vote; (c % 8) as usize], ..quorum_row() }
}

#[test]
fn every_row_reads_back_as_it_was_written() {
    fn same(rows: Rows) -> bool {
        let Rows { tree, client, source, head, ledger, lengths, standing, provenance, claim, quorum, account, states } =
            rows;
        let mut tile = TileRow::PENDING;
        (0..).zip(&states).for_each(|(slot, state)| tile.set(slot, *state));
        (0..).zip(&states).all(|(slot, state)| tile.state(slot) == *state)
            && TileRow::decode(PAIR, &tile.encode(PAIR)) == Ok(tile)
            && unseal("trees-0", SEQ, &seal("trees-0", SEQ, &tree).unwrap()) == Ok(tree)
            && unseal("clients-0", ID, &seal("clients-0", ID, &client).unwrap()) == Ok(client)
            && unseal("sources-0", PAIR, &seal("sources-0", PAIR, &source).unwrap()) == Ok(source)
            && unseal("meta-0", "head", &seal("meta-0", "head", &head).unwrap()) == Ok(head)
            && LedgerRow::decode(SEQ, &ledger.encode(SEQ)) == Ok(ledger)
            && LengthRow::decode(PAIR, &lengths.encode(PAIR)) == Ok(lengths)
            && StandingRow::decode(ID, &standing.encode(ID)) == Ok(standing)
            && ProvenanceRow::decode(SEQ, &provenance.encode(SEQ)) == Ok(provenance)
            && unseal("claims-0", PAIR, &seal("claims-0", PAIR, &claim).unwrap()) == Ok(claim)
            && unseal("quorums-0", PAIR, &seal("quorums-0", PAIR, &quorum).unwrap()) == Ok(quorum)
            && unseal("meta-0", "account", &seal("meta-0", "account", &account).unwrap()) == Ok(account)
    }
    QuickCheck::new().tests(5_000).quickcheck(same as fn(Rows) -> bool);
}

#[test]
fn a_row_that_does_not_fit_is_refused_by_name() {
    let refused = |error: pouw::internal::store::rows::RowError, what: &str| {
        let text = error.to_string();
        assert!(text.contains(what) && text.contains("run `pouw check`"), "{text}");
    };
    refused(TileRow::decode(PAIR, &[0; 15]).unwrap_err(), "table tiles-0 is damaged: 15 bytes instead of 25");
    refused(TileRow::decode(PAIR, &[0; 25]).unwrap_err(), "it does not match its own checksum");
    refused(TileRow::decode(PAIR, &[7; 16]).unwrap_err(), "unknown leaf state");
    refused(GroupRow::decode(PAIR, &[0; 64]).unwrap_err(), "64 bytes are not those of 2 to 17 digests");
    refused(GroupRow::decode(PAIR, &[0; 64 * 18]).unwrap_err(), "1152 bytes");
    refused(LengthRow::decode(PAIR, &[0; 8]).unwrap_err(), "0 bytes of lengths");
    refused(LengthRow::decode(PAIR, &[0; 8 + 17 * 4]).unwrap_err(), "68 bytes of lengths");
    refused(LedgerRow::decode(SEQ, &[0; 114]).unwrap_err(), "114 bytes instead of 124");
    refused(LedgerRow::decode(SEQ, &LedgerRow { tier: 3, ..ledger_row() }.encode(SEQ)).unwrap_err(), "unknown tier 3");
    refused(StandingRow::decode(ID, &[0; 19]).unwrap_err(), "19 bytes instead of 29");
    refused(ProvenanceRow::decode(SEQ, &[0; 39]).unwrap_err(), "39 bytes instead of 49");
    refused(ProvenanceRow::decode(SEQ, &[0; 48]).unwrap_err(), "48 bytes instead of 49");
    let standing = |at: usize, byte| {
        let mut raw = older(&standing_row().encode(ID));
        raw[at] = byte;
        StandingRow::decode(ID, &raw).unwrap_err()
    };
    refused(standing(0, 1), "row version 1, this build reads 0");
    refused(standing(1, 3), "unknown tier 3");
    refused(standing(3, 2), "the unused byte is 2, not 0 or 1");
    refused(unseal::<ClientRow>("clients-0", ID, &[]).unwrap_err(), "empty row");
    let sealed = unseal::<ClientRow>("clients-0", ID, &[2, 0, 0, 0, 0, 0]);
    refused(sealed.unwrap_err(), "row version 2, this build reads 0 and 1");
    let sealed = unseal::<ClientRow>("clients-0", ID, &[1, 0, 0, 0, 0, 0]);
    refused(sealed.unwrap_err(), "it does not match its own checksum");
    refused(unseal::<ClientRow>("clients-0", ID, &[0, 0, 0, 0, 0, 0, 0]).unwrap_err(), "1 bytes left over");
    // A length of 2^60 is refused before anything is allocated for it.
    let long = [&[0, 253][..], &(1_u64 << 60).to_le_bytes()].concat();
    refused(unseal::<SourceRow>("sources-0", PAIR, &long).unwrap_err(), "sources-0");
    let kind = |kind: u8| {
        let mut raw = older(&ledger_row().encode(SEQ));
        raw[49] = kind;
        LedgerRow::decode(SEQ, &raw).unwrap_err()
    };
    refused(kind(7), "unknown kind 7");
    let name = "x".repeat(70_000);
    refused(seal("trees-0", SEQ, &TreeRow { name, ..tree_row() }).unwrap_err(), "trees-0");
}
