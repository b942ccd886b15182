//! The main job through the public API: ingest, issue, solve, submit, assemble, validate, export.

use std::ops::ControlFlow;

use pouw::engine::ingest::{IngestOptions, Ingested};
use pouw::engine::{Answer, Config, IssueError, IssueRequest, PouwEngine};
use pouw::hash::{Checksum, sha3_512};
use pouw::merkle::root;
use pouw::protocol::DifficultyTier;
use pouw::solver::compute_work_unit;
use pouw::store::records::{Exposure, TreeState};

fn config() -> Config {
    Config::builder([7; 32]).floor_ms([0; 3]).background(false).build().unwrap()
}

fn drain(engine: &PouwEngine, tier: DifficultyTier) -> u64 {
    let mut units = 0;
    loop {
        engine.upkeep().unwrap();
        let issued = match engine.issue(&IssueRequest::new(b"client", tier)) {
            Ok(issued) => issued,
            Err(IssueError::NoWork) => return units,
            Err(other) => panic!("{other}"),
        };
        let result = compute_work_unit(&issued.unit, |_| ControlFlow::Continue(())).unwrap();
        let accepted = engine.submit(&Answer::new(b"client", &result)).unwrap();
        assert_eq!(accepted.nodes, issued.unit.node_count);
        units += 1;
    }
}

#[test]
fn a_file_becomes_a_complete_tree_whose_leaves_are_its_blocks_hashes() {
    for (len, tier) in [
        (0, DifficultyTier::Low),
        (100, DifficultyTier::High),
        (5_000, DifficultyTier::Medium),
        (70_000, DifficultyTier::High),
        (300_001, DifficultyTier::High),
        (40_000, DifficultyTier::Low),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let engine = PouwEngine::open(dir.path(), config()).unwrap();
        let data: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
        let options = IngestOptions { block_size: 512, ..IngestOptions::new(Exposure::Public) };
        assert_eq!(engine.ingest_bytes(&options, "a", &data).unwrap(), Ingested::Added);
        assert_eq!(engine.ingest_bytes(&options, "a", &data).unwrap(), Ingested::Unchanged);
        let units = drain(&engine, tier);
        engine.upkeep().unwrap();
        let blocks: Vec<&[u8]> = if data.is_empty() { vec![&[]] } else { data.chunks(512).collect() };
        let leaves: Vec<Checksum> = blocks.iter().map(|block| sha3_512(block)).collect();
        let info = engine.tree("a").unwrap();
        assert_eq!(info.state, TreeState::Complete, "len {len} after {units} units");
        assert_eq!(engine.root("a").unwrap(), root(&leaves).unwrap());
        let mut exported = Vec::new();
        engine
            .export_leaves("a", &mut |node| {
                exported.push(*node);
                Ok(())
            })
            .unwrap();
        assert_eq!(exported, leaves);
        let mut all = Vec::new();
        let count = engine
            .export_addresses("a", &mut |node| {
                all.push(*node);
                Ok(())
            })
            .unwrap();
        assert_eq!(count, all.len() as u64);
        assert_eq!(all[0], root(&leaves).unwrap());
        assert_eq!(all[all.len() - leaves.len()..], leaves);
        let stats = engine.stats();
        assert_eq!(stats.totals.leaves, leaves.len() as u64);
        assert_eq!(engine.balance(b"client").unwrap().0, stats.totals.nodes * 100);
    }
}
