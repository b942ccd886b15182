//! What the rules know beside the rows: the newest head, and client rows that are not written yet.

use std::collections::HashMap;
use std::sync::Arc;

use crate::protocol::ClientDigest;
#[cfg(feature = "testing")]
use crate::store::mistakes::StoreMistake;
use crate::store::rows::{ClientRow, Head, UsefulnessAccount};

/// The state of the one writer beside the database, as of the last durable batch.
#[derive(Debug, Default)]
pub(in crate::store) struct WriterState {
    pub(in crate::store) head: Head,
    pub(in crate::store) account: UsefulnessAccount,
    pub(in crate::store) dirty: HashMap<ClientDigest, ClientRow>,
    /// The checkpoint in progress, or the last one.
    pub(in crate::store) round: Option<Round>,
    /// Planted by a test.
    #[cfg(feature = "testing")]
    pub(in crate::store) mistake: Option<StoreMistake>,
}

/// A checkpoint in progress.
#[derive(Debug, Clone)]
pub(in crate::store) struct Round {
    pub(super) keys: Arc<Vec<ClientDigest>>,
    pub(super) at: usize,
    pub(super) target: u64,
}

impl Round {
    pub(in crate::store) fn is_through(&self) -> bool {
        self.at >= self.keys.len()
    }
}

/// What changes in memory once the batch is durable.
pub(in crate::store) struct Effects {
    pub(in crate::store) head: Head,
    pub(super) account: UsefulnessAccount,
    pub(super) clients: HashMap<ClientDigest, ClientRow>,
    pub(super) flushed: Vec<ClientDigest>,
    pub(super) round: Option<Round>,
}

impl Effects {
    pub(in crate::store) fn merge_into(self, writer: &mut WriterState) {
        writer.head = self.head;
        writer.account = self.account;
        for key in self.flushed {
            writer.dirty.remove(&key);
        }
        writer.dirty.extend(self.clients);
        if self.round.is_some() {
            writer.round = self.round;
        }
    }
}
