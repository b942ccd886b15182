//! The bytes of one file: what a reader sees, what is durable, and what is in between.

/// What a crash does to writes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The machine went on: only the process died.
    Nothing,
    /// Power loss; nothing that was not synced is there.
    Everything,
    /// Power loss; each write is there with even chance, in random order. Each is cut into pieces
    /// of `sector` bytes (0: not cut) that share this fate singly.
    Random {
        /// Seed of the choice.
        seed: u64,
        /// Bytes that are written or not as a whole.
        sector: usize,
    },
}

#[derive(Default, Clone)]
pub(super) struct SimFile {
    /// What a reader sees.
    pub(super) seen: Vec<u8>,
    /// What a power loss leaves at least.
    pub(super) durable: Vec<u8>,
    /// Changes since the last sync.
    pub(super) waiting: Vec<Change>,
    /// Changes a failed sync was to make durable: no later sync will.
    pub(super) doomed: Vec<Change>,
}

#[derive(Clone)]
pub(super) enum Change {
    Write(u64, Vec<u8>),
    Len(u64),
}

impl SimFile {
    fn apply(bytes: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Len(len) => bytes.resize(*len as usize, 0),
            Change::Write(offset, data) => {
                let end = *offset as usize + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset as usize..end].copy_from_slice(data);
            }
        }
    }

    pub(super) fn change(&mut self, change: Change) {
        Self::apply(&mut self.seen, &change);
        self.waiting.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.waiting.drain(..) {
            Self::apply(&mut self.durable, &change);
        }
    }

    fn crash(&mut self, loss: Loss, random: &mut Random) {
        let mut open: Vec<Change> = std::mem::take(&mut self.doomed);
        open.append(&mut self.waiting);
        match loss {
            Loss::Nothing => self.durable = self.seen.clone(),
            Loss::Everything => {}
            Loss::Random { sector, .. } => {
                let mut pieces: Vec<Change> = open.into_iter().flat_map(|change| change.pieces(sector)).collect();
                pieces.retain(|_| random.below(2) == 0);
                for last in (1..pieces.len()).rev() {
                    pieces.swap(last, random.below(last as u64 + 1) as usize);
                }
                for piece in &pieces {
                    Self::apply(&mut self.durable, piece);
                }
            }
        }
        self.seen = self.durable.clone();
    }
}

impl Change {
    fn pieces(self, sector: usize) -> Vec<Self> {
        match self {
            Self::Write(offset, data) if sector > 0 => {
                let mut out = Vec::new();
                let mut at = 0;
                while at < data.len() {
                    // Sectors lie at multiples of their size on the disk, not in the write.
                    let from = offset as usize + at;
                    let end = data.len().min(at + sector - from % sector);
                    out.push(Self::Write(from as u64, data[at..end].to_vec()));
                    at = end;
                }
                out
            }
            other => vec![other],
        }
    }
}

/// What became of both files after a crash.
pub(super) fn crash(files: &mut [SimFile; 2], loss: Loss) {
    let mut random = Random(match loss {
        Loss::Random { seed, .. } => seed,
        _ => 0,
    });
    for file in files {
        file.crash(loss, &mut random);
    }
}

/// Everything that reached a disk, so that one run shows every moment at which it could have
/// crashed.
#[derive(Clone)]
pub struct Recording {
    pub(super) before: [SimFile; 2],
    pub(super) trace: Vec<(usize, Trace)>,
}

#[derive(Clone)]
pub(super) enum Trace {
    Change(Change),
    Sync,
}

impl Recording {
    /// Changes and syncs.
    pub fn len(&self) -> usize {
        self.trace.len()
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.trace.is_empty()
    }
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recording({} changes and syncs)", self.len())
    }
}

/// SplitMix64: enough to choose what is lost.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
