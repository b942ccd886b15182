//! Blocks with known addresses, over a real directory of 10 000 of them: the server hashes only the damaged ones, no
//! client is ever sent an address, and a block given anew mends its tree.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::support::clients::{HIGH, answer, apart, names, options, wrong};
use crate::support::house::House;
use data_encoding::{HEXLOWER, HEXUPPER};
use pouw::hash::{Checksum, sha3_512};
use pouw::internal::engine::testing::SplitMix64;
use pouw::merkle::{LeafIndex, root};
use pouw::{
    Event, HashReason, IngestError, IngestLayout, IngestOptions, IngestReport, Ingested, Provenance, Strategy,
    SubmitError, TreeError, TreeState,
};

/// Files named by the SHA3-512 of what was in them, in directories named by its first two digits.
struct Vault {
    directory: tempfile::TempDir,
    /// Addresses in the order of the leaves, and the blocks as they were.
    ids: Vec<Checksum>,
    blocks: Vec<Vec<u8>>,
}

impl Vault {
    fn new(count: u64, len: usize, seed: u64) -> Self {
        let mut random = SplitMix64(seed);
        let block = |_| (0..len.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).take(len).collect();
        let mut blocks: Vec<(Checksum, Vec<u8>)> =
            (0..count).map(block).map(|block: Vec<u8>| (sha3_512(&block), block)).collect();
        blocks.sort();
        let (ids, blocks) = blocks.into_iter().unzip();
        let vault = Self { directory: tempfile::tempdir().unwrap(), ids, blocks };
        for leaf in 0..vault.ids.len() {
            std::fs::create_dir_all(vault.path(leaf).parent().unwrap()).unwrap();
            vault.mend(leaf);
        }
        vault
    }

    fn path(&self, leaf: usize) -> PathBuf {
        let name = self.ids[leaf].to_hex();
        self.directory.path().join(&name[..2]).join(name)
    }

    fn mend(&self, leaf: usize) {
        std::fs::write(self.path(leaf), &self.blocks[leaf]).unwrap();
    }

    /// The block with some of its bits flipped.
    fn damaged(&self, leaf: usize) -> Vec<u8> {
        let mut block = self.blocks[leaf].clone();
        let at = leaf % block.len();
        block[at] ^= 1 << (leaf % 8);
        block
    }

    fn damage(&self, leaves: &[usize]) {
        leaves.iter().for_each(|leaf| std::fs::write(self.path(*leaf), self.damaged(*leaf)).unwrap());
    }

    fn ingest(&self, house: &House) -> Result<IngestReport, IngestError> {
        house.engine.ingest_paths(&known(), &[self.directory.path().into()], &mut |_| ControlFlow::Continue(()))
    }
}

fn known() -> IngestOptions {
    options(Strategy::KnownAddress).layout(IngestLayout::Blocks).tree("vault")
}

/// Leaf hashes the server computed for trees of known addresses, whatever for.
fn hashed(house: &House) -> u64 {
    let account = house.engine.stats().account;
    let of = account.of(Strategy::KnownAddress);
    let reasons = [HashReason::Ingest, HashReason::Audit, HashReason::Referee, HashReason::Export];
    reasons.iter().map(|reason| of.server(*reason).hashes).sum()
}

/// Leaves found damaged, as the engine lists them and as events told; these must be the same.
fn found(house: &House) -> Vec<(u64, Checksum)> {
    // Events of the writer's thread are told by the next upkeep.
    house.engine.upkeep().unwrap();
    let mut told: Vec<(u64, Checksum)> = Vec::new();
    for event in house.events.lock().iter() {
        if let Event::BlockDamaged { name, leaf, address, .. } = event {
            assert_eq!(name, "vault");
            told.push((*leaf, *address));
        }
    }
    told.sort();
    let listed = house.engine.damaged(None, 1_000).unwrap();
    assert!(listed.iter().all(|block| block.tree == "vault"));
    let listed: Vec<(u64, Checksum)> = listed.iter().map(|block| (block.leaf.0, block.address)).collect();
    assert_eq!(listed, told);
    listed
}

/// All of `texts` in which one of the ids stands, as it is or in hexadecimal, in time linear in the texts: by the first
/// eight bytes, then in full.
fn with_an_id(ids: &[Checksum], texts: &[Vec<u8>]) -> Vec<usize> {
    let mut needles: HashMap<[u8; 8], Vec<Vec<u8>>> = HashMap::new();
    for id in ids {
        let spelt = [HEXLOWER.encode(id.as_bytes()).into_bytes(), HEXUPPER.encode(id.as_bytes()).into_bytes()];
        for needle in spelt.into_iter().chain([id.as_bytes().to_vec()]) {
            needles.entry(*needle.first_chunk().unwrap()).or_default().push(needle);
        }
    }
    let holds = |text: &Vec<u8>| {
        text.windows(8).enumerate().any(|(at, start)| {
            let behind = needles.get(start).into_iter().flatten();
            behind.into_iter().any(|needle| text[at..].starts_with(needle))
        })
    };
    (0..texts.len()).filter(|at| holds(&texts[*at])).collect()
}

/// Works off what there is, honestly. Everything that was sent to clients.
fn drain(house: &House) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    while let Some(issued) = house.issue(apart(1), HIGH) {
        let verdict = house.submit(apart(1), &answer(&issued, |_| {}));
        sent.push(issued.unit.to_json().into_bytes());
        sent.push(issued.unit.input_data);
        sent.push(data_encoding::BASE64URL_NOPAD.decode(issued.unit.challenge_token.as_bytes()).unwrap());
        sent.push(issued.unit.challenge_token.into_bytes());
        sent.push(format!("{:?}", verdict.unwrap()).into_bytes());
    }
    house.settle();
    sent
}

const DAMAGED: [usize; 10] = [0, 31, 320, 321, 4_000, 4_999, 7_777, 9_000, 9_968, 9_999];

#[test]
fn ten_damaged_blocks_of_10_000_are_all_found_and_nothing_else_is_hashed_or_told() {
    let mut house = House::in_memory(1);
    let vault = Vault::new(10_000, 600, 1);
    vault.damage(&DAMAGED);
    let report = vault.ingest(&house).unwrap();
    assert_eq!((report.added, report.read.leaves, report.damaged, hashed(&house)), (1, 10_000, 0, 0));

    let sent = drain(&house);
    assert_eq!(sent.len(), 5 * 10_000_usize.div_ceil(32));
    assert_eq!(with_an_id(&vault.ids, &sent), [0_usize; 0], "an address was sent to a client");
    let (mut raw, mut spelt) = (sent[1].clone(), sent[0].clone());
    raw.splice(77..141, *vault.ids[4_321].as_bytes());
    spelt.extend(vault.ids[9_999].to_hex().into_bytes());
    assert_eq!(with_an_id(&vault.ids, &[sent[3].clone(), raw, spelt, sent[4].clone()]), [1, 2], "the search finds one");

    let expected: Vec<(u64, Checksum)> = DAMAGED.iter().map(|leaf| (*leaf as u64, vault.ids[*leaf])).collect();
    assert_eq!(found(&house), expected);
    assert_eq!(hashed(&house), 10, "one hash for each damaged block, and no other");
    let tree = house.engine.tree("vault").unwrap();
    assert_eq!((tree.pending, tree.provenance.damaged, tree.provenance.count(Provenance::Known)), (0, 10, 9_990));
    let refused = house.engine.export_leaves("vault", &mut |_| Ok(())).unwrap_err();
    assert!(matches!(refused, TreeError::NotComplete { damaged: 10, pending: 0, .. }), "{refused}");
    assert!(refused.to_string().contains("10 damaged"), "{refused}");

    let again = vault.ingest(&house).unwrap();
    assert_eq!((again.unchanged, again.repaired, again.damaged, again.is_clean()), (1, 0, 10, false));
    assert!(again.problems[0].what.contains("leaf 0"), "{:?}", again.problems);
    assert_eq!(again.problems.len(), 10);
    house.checked();
    DAMAGED.iter().for_each(|leaf| vault.mend(*leaf));
    let mended = vault.ingest(&house).unwrap();
    assert_eq!((mended.unchanged, mended.repaired, mended.damaged, mended.is_clean()), (1, 10, 0, true));
    assert_eq!(hashed(&house), 30, "blocks given anew are hashed, each time");
    house.settle();
    assert!(house.engine.damaged(None, 1).unwrap().is_empty());
    assert!(house.issue(apart(2), HIGH).is_none());
    for _ in 0..2 {
        let mut leaves = Vec::new();
        let mut push = |leaf: &Checksum| {
            leaves.push(*leaf);
            Ok(())
        };
        let exported = house.engine.export_leaves("vault", &mut push).unwrap();
        assert_eq!((exported.nodes, exported.provenance), (10_000, Provenance::Known));
        assert!(leaves == vault.ids, "the addresses in their order");
        assert_eq!(house.engine.root("vault").unwrap(), root(&vault.ids).unwrap());
        house.checked();
    }
    assert_eq!(hashed(&house), 30, "the export hashes none");
}

/// Blocks of known addresses from memory, some of them damaged.
fn from_memory(house: &House, vault: &Vault, damaged: &[usize]) -> Ingested {
    let data: Vec<Vec<u8>> = (0..vault.ids.len())
        .map(|leaf| if damaged.contains(&leaf) { vault.damaged(leaf) } else { vault.blocks[leaf].clone() })
        .collect();
    let given: Vec<(Checksum, &[u8])> = vault.ids.iter().copied().zip(data.iter().map(Vec::as_slice)).collect();
    house.engine.ingest_known_blocks(&options(Strategy::Precomputed), "vault", &given).unwrap()
}

#[test]
fn a_wrong_answer_for_a_good_block_beside_damaged_ones_is_a_lie_and_nothing_of_it_is_recorded() {
    let mut house = House::in_memory(2);
    let vault = Vault::new(32, 600, 2);
    assert_eq!(from_memory(&house, &vault, &[3, 9]), Ingested::Added);
    for (who, lie, server_hashes) in [(apart(1), 20, 3), (apart(2), 5, 2), (apart(3), 0, 1), (apart(4), 3, 1)] {
        let before = hashed(&house);
        let caught = house.work(who, |leaves| leaves[lie] = wrong(&leaves[lie])).unwrap();
        let Err(SubmitError::WrongResult { what }) = &caught else { panic!("{caught:?}") };
        assert_eq!(*what, format!("leafHashes[{lie}]"));
        assert_eq!(hashed(&house) - before, server_hashes, "until the lie is found, and no further");
        assert_eq!(house.engine.balance(&names(who).0).unwrap().0, 0);
    }
    assert_eq!(found(&house), []);
    assert_eq!(house.engine.tree("vault").unwrap().pending, 32);
    house.checked();
    assert_eq!(house.engine.stats().totals.refused, 4);
    let paid = house.work(apart(5), |_| {}).unwrap().unwrap();
    assert!(paid.award.0 > 0, "the client is right about damaged blocks, and paid");
    assert_eq!(found(&house).iter().map(|block| block.0).collect::<Vec<_>>(), [3, 9]);
    house.checked();
}

/// The footnote of the guarantee: whoever knows the addresses need not hash. The answer is right, and the scrub misses.
#[test]
fn a_client_that_knows_the_addresses_can_hide_damage_but_not_change_the_tree() {
    let house = House::in_memory(3);
    let vault = Vault::new(32, 600, 3);
    from_memory(&house, &vault, &[3, 9]);
    house.work(apart(1), |leaves| leaves.clone_from(&vault.ids)).unwrap().unwrap();
    house.settle();
    assert_eq!((found(&house), hashed(&house)), (vec![], 0));
    house.assert_right("vault", &vault.blocks);
}

#[test]
fn one_wrong_address_given_with_its_block_is_found_and_mended_by_the_block_it_names() {
    let mut house = House::in_memory(4);
    let vault = Vault::new(45, 300, 4);
    assert_eq!(from_memory(&house, &vault, &[40]), Ingested::Added);
    assert_eq!(house.engine.tree("vault").unwrap().strategy, Strategy::KnownAddress, "whatever the options say");
    house.drain(1..2);
    assert_eq!(found(&house), [(40, vault.ids[40])]);
    assert_eq!(from_memory(&house, &vault, &[40]), Ingested::Unchanged);
    house.checked();
    assert_eq!(from_memory(&house, &vault, &[]), Ingested::Repaired);
    house.settle();
    assert_eq!(house.engine.provenance("vault", LeafIndex(40)).unwrap(), Some(Provenance::Verified));
    assert_eq!(house.engine.provenance("vault", LeafIndex(39)).unwrap(), Some(Provenance::Known));
    house.assert_right("vault", &vault.blocks);
    assert_eq!(from_memory(&house, &vault, &[]), Ingested::Unchanged);
    house.checked();
}

#[test]
fn damaged_blocks_can_be_mended_one_after_the_other() {
    let mut house = House::in_memory(5);
    let vault = Vault::new(100, 200, 5);
    vault.damage(&[1, 50, 51, 99]);
    drop(vault.ingest(&house).unwrap());
    drain(&house);
    for (number, leaf) in (1..).zip([50, 99, 1, 51]) {
        assert_eq!(house.engine.tree("vault").unwrap().state, TreeState::Active);
        vault.mend(leaf);
        let report = vault.ingest(&house).unwrap();
        assert_eq!((report.repaired, report.damaged), (1, 4 - number));
        house.checked();
    }
    house.settle();
    house.assert_right("vault", &vault.blocks);
}

#[test]
fn a_file_whose_name_is_no_address_is_named_and_leaves_nothing_behind() {
    let upper = |id: &Checksum| id.to_hex().to_uppercase();
    let short = |id: &Checksum| id.to_hex()[1..].to_owned();
    let named: [&dyn Fn(&Checksum) -> String; 4] = [&upper, &short, &|id| id.to_hex() + ".bin", &|_| "README".into()];
    for rename in named {
        let house = House::in_memory(6);
        let vault = Vault::new(40, 100, 6);
        let stray = vault.path(39).with_file_name(rename(&vault.ids[39]));
        std::fs::rename(vault.path(39), &stray).unwrap();
        let refused = vault.ingest(&house).unwrap_err();
        assert!(refused.to_string().contains("file name is not a block address"), "{refused}");
        let IngestError::Address { path } = refused else { panic!("{refused}") };
        assert_eq!(path, stray);
        assert!(matches!(house.engine.tree("vault"), Err(TreeError::Unknown(_))));
        std::fs::rename(&stray, vault.path(39)).unwrap();
        assert_eq!(vault.ingest(&house).unwrap().added, 1);
    }
}

/// Ingests until so many bytes were read.
fn cut_short(house: &House, directory: &Path, bytes: u64) {
    let mut stop = |at: &pouw::IngestProgress| {
        if at.bytes >= bytes { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let ended = house.engine.ingest_paths(&known(), &[directory.into()], &mut stop).unwrap_err();
    assert!(matches!(ended, IngestError::Cancelled), "{ended}");
}

#[test]
fn an_ingest_cut_short_goes_on_behind_what_is_stored_and_the_damage_in_both_parts_is_found() {
    let mut house = House::in_memory(7);
    // Of 20 MiB, the first 16 are committed before the end.
    let vault = Vault::new(160, 128 << 10, 7);
    vault.damage(&[5, 155]);
    cut_short(&house, vault.directory.path(), 18 << 20);
    house.checked();
    let part = house.engine.tree("vault").unwrap();
    assert!(part.state == TreeState::Ingesting && part.leaves >= 112, "{part:?}");
    assert!(house.issue(apart(1), HIGH).is_none(), "nothing is handed out of a part");
    let report = vault.ingest(&house).unwrap();
    assert_eq!((report.added, report.resumed), (0, 1));
    assert_eq!((house.engine.tree("vault").unwrap().id, hashed(&house)), (part.id, 0));
    drain(&house);
    assert_eq!(found(&house).iter().map(|block| block.0).collect::<Vec<_>>(), [5, 155]);
    assert_eq!(hashed(&house), 2);
    [5, 155].into_iter().for_each(|leaf| vault.mend(leaf));
    assert_eq!(vault.ingest(&house).unwrap().repaired, 2);
    house.settle();
    house.assert_right("vault", &vault.blocks);
    house.checked();
}

#[test]
fn blocks_no_unit_can_carry_are_hashed_at_ingest_and_damage_to_them_is_found_there() {
    let mut house = House::in_memory(8);
    let mut vault = Vault::new(8, 140_000, 8);
    vault.damage(&[6]);
    let report = vault.ingest(&house).unwrap();
    assert_eq!((report.oversized, hashed(&house)), (8, 8));
    house.checked();
    let listed: Vec<u64> = house.engine.damaged(None, 9).unwrap().iter().map(|block| block.leaf.0).collect();
    assert_eq!((listed, house.engine.tree("vault").unwrap().pending), (vec![6], 0));
    vault.mend(6);
    assert_eq!(vault.ingest(&house).unwrap().repaired, 1);
    house.settle();
    house.assert_right("vault", &vault.blocks);
    house.checked();
    vault.ids.reverse();
    vault.blocks.reverse();
    let given: Vec<(Checksum, &[u8])> = vault.ids.iter().copied().zip(vault.blocks.iter().map(Vec::as_slice)).collect();
    let other = house.engine.ingest_known_blocks(&options(Strategy::Precomputed), "vault", &given).unwrap_err();
    assert!(matches!(other, IngestError::Conflict { .. }), "{other}");
}
