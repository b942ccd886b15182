//! Deferred rows: no caller waits for them, so they are written with the next commit that happens
//! anyway, or alone after half a second.

use crate::store::rows::UsefulnessAccount;
use crate::store::{Command, PutStandings, Refuse};

use crate::engine::clients::standings::{Change, row_of};
use crate::engine::core::Core;

/// The deferred rows of one commit.
#[derive(Debug, Default)]
pub(in crate::engine) struct Behind {
    refused: Vec<Refuse>,
    standings: Vec<Change>,
    account: UsefulnessAccount,
    checkpoint: bool,
}

impl Behind {
    /// Takes the oldest: at most `refused` tokens and `standings` standings.
    pub(in crate::engine) fn due(core: &Core, refused: usize, standings: usize) -> Self {
        Self {
            refused: core.refused.oldest(refused),
            standings: core.clients.standings.lock().oldest(standings),
            account: *core.clients.account.lock(),
            checkpoint: core.store.checkpoint_due(),
        }
    }

    pub(in crate::engine) fn is_empty(&self) -> bool {
        !self.has_rows() && !self.checkpoint && self.account.is_empty()
    }

    /// Whether it has rows that can be tried again without the rest.
    pub(in crate::engine) fn has_rows(&self) -> bool {
        !self.refused.is_empty() || !self.standings.is_empty()
    }

    pub(in crate::engine) fn add_to(&self, commands: &mut Vec<Command>) {
        commands.extend(self.refused.iter().cloned().map(Command::Refuse));
        if !self.standings.is_empty() {
            let row = |(client, standing): &Change| (*client, standing.as_ref().map(row_of));
            commands.push(Command::PutStandings(PutStandings { rows: self.standings.iter().map(row).collect() }));
        }
        if !self.account.is_empty() {
            commands.push(Command::Count(Box::new(self.account)));
        }
        if self.checkpoint {
            commands.push(Command::Checkpoint { limit: CHECKPOINT_SLICE });
        }
    }

    /// Updates the memory: these rows are durable now.
    pub(in crate::engine) fn written(&self, core: &Core) {
        if !self.refused.is_empty() {
            core.refused.written(&self.refused);
        }
        if !self.standings.is_empty() {
            core.clients.standings.lock().written(&self.standings);
        }
        if !self.account.is_empty() {
            core.clients.account.lock().take_away(&self.account);
        }
    }

    /// Splits it: each token by itself, and the standings together, since no damaged row can keep
    /// them from being written.
    pub(in crate::engine) fn pieces(&self) -> Vec<Self> {
        let token = |refuse: &Refuse| Self { refused: vec![refuse.clone()], ..Self::default() };
        let mut out: Vec<Self> = self.refused.iter().map(token).collect();
        if !self.standings.is_empty() {
            out.push(Self { standings: self.standings.clone(), ..Self::default() });
        }
        if !self.account.is_empty() {
            out.push(Self { account: self.account, ..Self::default() });
        }
        out
    }
}

/// Rows of a checkpoint written with one commit: more than can become dirty meanwhile.
const CHECKPOINT_SLICE: usize = 512;
