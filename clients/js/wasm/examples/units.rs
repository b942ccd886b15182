//! Prints units of work of all kinds and their results by the Rust solver, one JSON object a line, for other solvers
//! to be compared with: `units COUNT SEED`. The same arguments give the same lines.

use std::io::{self, BufWriter, Write};

use pouw::protocol::{DifficultyTier, TreeHandle, UnixMillis, WorkId, WorkUnit, WorkUnitOperation, subtree_nodes};
use pouw::solver::compute_work_unit;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (Some(count), Some(seed)) = (arguments.next(), arguments.next()) else {
        return Err("expected COUNT SEED".into());
    };
    let (count, mut random) = (count?, Random(seed?));
    let mut to = BufWriter::new(io::stdout().lock());
    for _ in 0..count {
        let unit = unit(&mut random);
        let mut result = compute_work_unit(&unit)?;
        result.compute_time_ms = random.below(10_000);
        result.completed_at = UnixMillis(random.below(UnixMillis::MAX_TEXT.0));
        let (unit, compact, result) = (unit.to_json(), result.to_compact(), result.to_json());
        writeln!(to, "{{\"unit\":{unit},\"result\":{result},\"compact\":\"{compact}\"}}")?;
    }
    Ok(to.flush()?)
}

fn unit(random: &mut Random) -> WorkUnit {
    let operation = WorkUnitOperation::ALL[random.below(3) as usize];
    let mut unit = WorkUnit {
        id: WorkId::from_parts(random.below(1 << 48), random.bytes(10).try_into().expect("ten bytes")),
        tree_id: TreeHandle::from_bytes(random.bytes(16).try_into().expect("sixteen bytes")),
        tree_level: random.below(20) as u8,
        tree_index: 0,
        operation,
        input_data: Vec::new(),
        leaf_lengths: Vec::new(),
        fold_levels: 0,
        child_count: 0,
        node_count: 1,
        synthetic: random.below(2) == 1,
        difficulty: DifficultyTier::ALL[random.below(3) as usize],
        challenge_token: format!("token-{:x}", random.next()),
        created_at: UnixMillis(random.below(1 << 40)),
        expires_at: UnixMillis(random.below(1 << 40)),
        not_before: UnixMillis(random.below(1 << 40)),
        wait_ms: random.below(10_000),
        ttl_ms: random.below(100_000),
    };
    unit.tree_index = random.below(1 << unit.tree_level);
    match operation {
        WorkUnitOperation::LeafHash => {
            let length = random.length();
            unit.input_data = random.bytes(length);
        }
        WorkUnitOperation::InteriorHash => {
            unit.child_count = 1 + random.below(2) as u32;
            unit.input_data = random.bytes(64 * unit.child_count as usize);
        }
        WorkUnitOperation::SubtreeHash => fill_range(&mut unit, random),
    }
    unit
}

/// A range as trees have them, full or ragged: leaves of one length, the last one often shorter. Sometimes leaves of
/// any length, and more parent steps than it takes.
fn fill_range(unit: &mut WorkUnit, random: &mut Random) {
    let leaves = 1 + random.below(32);
    let length = random.length().min((1 << 20) / leaves as usize);
    let ragged = random.below(4) == 0;
    unit.leaf_lengths = (0..leaves)
        .map(|at| if ragged || at + 1 == leaves { random.below(length as u64 + 1) } else { length as u64 })
        .collect();
    let steps = leaves.next_power_of_two().trailing_zeros() as u8;
    unit.fold_levels = if random.below(3) == 0 { steps + random.below(41 - u64::from(steps)) as u8 } else { steps };
    unit.node_count = subtree_nodes(leaves, unit.fold_levels);
    unit.input_data = random.bytes(unit.leaf_lengths.iter().sum::<u64>() as usize);
}

/// SplitMix64: a counter, well mixed. The same everywhere, which is all that is asked of it.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    /// Mostly short, around the edges of a block, now and then long.
    fn length(&mut self) -> usize {
        (match self.below(20) {
            0 => self.below(100_000),
            1..8 => 72 * self.below(10) + self.below(3),
            8..12 => [512, 4096, 65_536][self.below(3) as usize],
            _ => self.below(600),
        }) as usize
    }
}
