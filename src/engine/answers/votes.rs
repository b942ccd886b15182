//! Judges answers to units whose hashes the server does not know. `SampledAudit` hashes a sample
//! again. `Redundant` waits for more equal answers, and hashes a sample too; where answers differ,
//! the server hashes those leaves itself.
//!
//! The sample is drawn only once the answer is fixed: its lease is pinned, and a wrong answer ends
//! it.

use crate::hash::{Checksum, sha3_512};
use crate::merkle::{AlignedRange, TILE_LEAVES};
use crate::policy::audit::{VOTE_SAMPLE, draw};
use crate::policy::quorum::{Voter, admits, differences, is_right};
use crate::protocol::{WorkResult, WorkUnitOperation};
use crate::store::records::{HashReason, HashWork, QuorumRow, TreeRow, VoteRow};
use crate::store::{Amend, Audited, Command, Ruling, SettleKind, StoreError, TreeNumber, Vote};

use super::compare::{Judged, check_fold};
use super::submit::Follows;
use super::token::Inspected;
use crate::engine::account::{parents_work, unit_work};
use crate::engine::backlog::leaf_bytes::{leaf_bytes, leaf_lengths};
use crate::engine::core::Core;
use crate::engine::error::SubmitError;
#[cfg(feature = "testing")]
use crate::engine::testing::Mistake;
use crate::engine::writer::job::Job;

type Tree<'t> = (TreeNumber, &'t TreeRow);

/// The result of counting the votes on a range with a new answer.
struct Count {
    ruling: Ruling,
    liars: Vec<Voter>,
    /// Work the server did to decide.
    referee: HashWork,
    /// Leaves the server has hashed, now or before.
    refereed: u32,
    /// The new answer is wrong at one of them.
    wrong: bool,
}

impl Core {
    /// Judges under `SampledAudit`: an answer is right if all leaves of a sample are.
    pub(in crate::engine) fn verify_sample(
        &self,
        inspected: &Inspected,
        result: &WorkResult,
        (tree, row): Tree<'_>,
        range: AlignedRange,
        k: u8,
    ) -> Result<Judged, SubmitError> {
        let hashes = self.brought(result, row, &range)?;
        let network = self.network_of(&inspected.network);
        let (audit, whole) = self.audit(inspected, &network, (tree, row), &range, &hashes, k)?;
        let lengths = leaf_lengths(&self.store.read()?, tree, row, &range)?;
        let accepted = unit_work(&range, lengths.into_iter());
        let kind = SettleKind::Audited(Box::new(Audited { tree, range, hashes, network, whole }));
        let (nodes, leaves) = (range.node_count(), range.len());
        Ok(Judged { kind, nodes, leaves, accepted, audit, referee: HashWork::default(), follows: Follows::default() })
    }

    /// Judges under `Redundant`: an answer is admitted if its sample is right and each leaf equals
    /// that of the other votes, or those are wrong.
    pub(in crate::engine) fn verify_vote(
        &self,
        inspected: &Inspected,
        result: &WorkResult,
        (tree, row): Tree<'_>,
        range: AlignedRange,
        quorum: u8,
    ) -> Result<Judged, SubmitError> {
        let hashes = self.brought(result, row, &range)?;
        let client = *inspected.opened.client.as_bytes();
        let group = self.store.read()?.quorum(tree, range.start())?;
        let network = self.network_of(&inspected.network);
        let voter = Voter { client, network };
        let stale = self.stale_votes(group.as_ref())?;
        let in_group = |vote: &VoteRow| (!stale.contains(&vote.id)).then(|| vote.voter());
        let voters: Vec<Voter> = group.iter().flat_map(|group| &group.votes).filter_map(in_group).collect();
        let admitted = admits(&voters, &voter);
        #[cfg(feature = "testing")]
        let admitted = admitted || self.config.makes(Mistake::SameNetworkMayVote);
        if group.as_ref().is_some_and(|group| group.order != range.order()) || !admitted {
            return Err(SubmitError::Withdrawn);
        }
        let (audit, _) = self.audit(inspected, &network, (tree, row), &range, &hashes, VOTE_SAMPLE)?;
        let count = self.count_votes(inspected, (tree, row), &range, &hashes, group.as_ref(), stale)?;
        if count.wrong {
            self.count_server(row.strategy.index(), HashReason::Audit, audit);
            self.amend_soon(tree, range, count);
            return Err(SubmitError::WrongResult { what: "leafHashes".to_owned() });
        }
        let lengths = leaf_lengths(&self.store.read()?, tree, row, &range)?;
        let own = (0..).zip(lengths).filter(|(place, _)| count.refereed & (1 << place) == 0);
        let accepted = HashWork::of(own.map(|(_, length)| length)).plus(parents_work(&range));
        let Count { ruling, liars, referee, .. } = count;
        let strikes = self.store.client(client)?.strikes;
        #[cfg(feature = "testing")]
        let quorum = quorum - u8::from(self.config.makes(Mistake::CountVoteEarly));
        let vote = Vote { tree, range, hashes, network, quorum, strikes, ruling };
        let (nodes, leaves, kind) = (range.node_count(), range.len(), SettleKind::Vote(Box::new(vote)));
        let follows = Follows { liars, ..Follows::default() };
        Ok(Judged { kind, nodes, leaves, accepted, audit, referee, follows })
    }

    /// Returns the client's leaf hashes. Parents are hashed again from them, so that a lie about a
    /// parent is impossible.
    fn brought(&self, result: &WorkResult, row: &TreeRow, range: &AlignedRange) -> Result<Vec<Checksum>, SubmitError> {
        let single = range.order() == 0;
        let operation = if single { WorkUnitOperation::LeafHash } else { WorkUnitOperation::SubtreeHash };
        let listed = if single { 0 } else { range.len() as usize };
        result.check_shape(listed, operation).map_err(SubmitError::Malformed)?;
        self.count_server(row.strategy.index(), HashReason::Folding, parents_work(range));
        let hashes = if single { vec![result.result_hash] } else { result.leaf_hashes.clone() };
        check_fold(result, &hashes, range.fold_levels())?;
        Ok(hashes)
    }

    /// Hashes a sample of an answer and compares every hash, whichever differs. Also returns
    /// whether the sample was the whole answer.
    fn audit(
        &self,
        inspected: &Inspected,
        network: &[u8; 16],
        (tree, row): Tree<'_>,
        range: &AlignedRange,
        hashes: &[Checksum],
        k: u8,
    ) -> Result<(HashWork, bool), SubmitError> {
        #[cfg(feature = "testing")]
        if self.config.makes(Mistake::SkipAudit) {
            return Ok((HashWork::default(), false));
        }
        let leaves = range.len() as u32;
        let k = self.heightened.lock().sample(network, k.into(), leaves, self.now_ms());
        let drawn = self.drawing(|random| draw(leaves, k, random))?;
        let places: Vec<u8> = (0..leaves as u8).filter(|place| drawn & (1 << place) != 0).collect();
        let (hashed, work) = self.hash_places((tree, row), range, &places)?;
        let differs = |(place, right): &&(u8, Checksum)| hashes.get(usize::from(*place)) != Some(right);
        let wrong: Vec<u8> = hashed.iter().filter(differs).map(|(place, _)| *place).collect();
        if !wrong.is_empty() {
            self.count_server(row.strategy.index(), HashReason::Audit, work);
            self.is_lie(inspected, (tree, row), range, hashes, &wrong)?;
            return Err(SubmitError::WrongResult { what: "leafHashes".to_owned() });
        }
        Ok((work, k >= leaves))
    }

    /// Returns whether the answer is a lie. A strike needs the server's own hash of exactly the
    /// bytes that were sent: they are read again as a whole, compared with the digest in the token,
    /// and hashed. If they differ, the unit is withdrawn.
    fn is_lie(
        &self,
        inspected: &Inspected,
        (tree, row): Tree<'_>,
        range: &AlignedRange,
        hashes: &[Checksum],
        wrong: &[u8],
    ) -> Result<(), SubmitError> {
        let data = self.sent_again(&inspected.opened, (tree, row), range)?;
        let own = |place: &u8| leaf_bytes(&data, usize::from(*place)).map(sha3_512);
        let lie = wrong.iter().any(|place| own(place).as_ref() != hashes.get(usize::from(*place)));
        if lie {
            return Ok(());
        }
        // Two reads of the same leaf gave different bytes.
        let what = format!("leaves {} to {} are read differently each time", range.start(), range.end() - 1);
        Err(self.keep_back((tree, row), range, None, &what))
    }

    /// Returns the server's own hashes of some leaves of a range.
    fn hash_places(
        &self,
        (tree, row): Tree<'_>,
        range: &AlignedRange,
        places: &[u8],
    ) -> Result<(Vec<(u8, Checksum)>, HashWork), SubmitError> {
        let first = (range.start() % TILE_LEAVES) as u8;
        let mask = places.iter().fold(0, |mask, place| mask | (1 << (first + place)));
        let read = self.hash_mask((tree, row), range.tile(), mask);
        let (hashed, work) = read.map_err(|error| self.unreadable(tree, range, error))?;
        Ok((hashed.into_iter().map(|(slot, hash)| (slot - first, hash)).collect(), work))
    }

    /// Returns the votes of clients that were caught in a lie since they voted.
    fn stale_votes(&self, group: Option<&QuorumRow>) -> Result<Vec<[u8; 16]>, SubmitError> {
        let mut stale = Vec::new();
        for vote in group.iter().flat_map(|group| &group.votes) {
            if self.store.client(vote.client)?.strikes != vote.strikes {
                stale.push(vote.id);
            }
        }
        Ok(stale)
    }

    /// Compares an answer with the present votes. Where they differ, the server hashes exactly
    /// those leaves.
    fn count_votes(
        &self,
        inspected: &Inspected,
        (tree, row): Tree<'_>,
        range: &AlignedRange,
        hashes: &[Checksum],
        group: Option<&QuorumRow>,
        stale: Vec<[u8; 16]>,
    ) -> Result<Count, SubmitError> {
        let votes: &[VoteRow] = group.map_or(&[], |group| &group.votes);
        let known: &[(u8, [u8; 64])] = group.map_or(&[], |group| &group.refereed);
        let live: Vec<&VoteRow> = votes.iter().filter(|vote| !stale.contains(&vote.id)).collect();
        let returned: Vec<&[[u8; 64]]> = live.iter().map(|vote| vote.leaves.as_slice()).collect();
        let differ = differences(hashes, &returned, known);
        let mut refereed = known.iter().fold(0, |mask, (place, _)| mask | (1 << place));
        let mut ruling = Ruling { votes_seen: votes.len(), stale, ..Ruling::default() };
        let (mut liars, mut referee, mut wrong) = (Vec::new(), HashWork::default(), differ.wrong);
        if !differ.open.is_empty() {
            let (hashed, work) = self.hash_places((tree, row), range, &differ.open)?;
            referee = work;
            refereed |= differ.open.iter().fold(0, |mask, place| mask | (1 << place));
            wrong |= !is_right(|place| hashes.get(place).copied(), &hashed);
            for vote in live {
                if is_right(|place| vote.leaves.get(place).map(|hash| Checksum::from_bytes(*hash)), &hashed) {
                    continue;
                }
                if vote.data_digest == inspected.opened.data_digest {
                    ruling.lies.push(vote.id);
                    liars.push(vote.voter());
                } else {
                    // That client was sent other data: it did not lie, and its vote cannot agree.
                    ruling.stale.push(vote.id);
                }
            }
            ruling.refereed = hashed;
        }
        if wrong || !liars.is_empty() {
            // A strike needs the bytes that were sent to this client and to those before it.
            self.sent_again(&inspected.opened, (tree, row), range)?;
        }
        Ok(Count { ruling, liars, referee, refereed, wrong })
    }

    /// Stores the server's findings about the votes, although the answer is wrong. If the writer
    /// has no room for the command now, the next answer leads to the same findings.
    fn amend_soon(&self, tree: TreeNumber, range: AlignedRange, count: Count) {
        let Count { ruling, liars, referee, .. } = count;
        let changes = !ruling.refereed.is_empty() || !ruling.lies.is_empty() || !ruling.stale.is_empty();
        if !changes || ruling.votes_seen == 0 {
            return;
        }
        self.note_liars(&liars);
        let amend = Amend { tree, range, ruling, work: referee, at_ms: self.now_ms() };
        let job = Job::new(vec![Command::Amend(amend)], |_| {}, |_| {});
        if let Err((job, error)) = self.write_soon(job) {
            job.fail(error);
        }
    }

    /// Returns 64 unpredictable bits, for audits.
    fn draw(&self) -> Result<u64, StoreError> {
        #[cfg(feature = "testing")]
        if let Some(bits) = self.foreseen() {
            return Ok(bits);
        }
        getrandom::u64().map_err(|e| StoreError::Io { what: format!("the system gave no random bytes: {e}") })
    }

    /// Calls `with` with a source of unpredictable numbers. Fails if the system failed to provide
    /// any of them.
    pub(in crate::engine) fn drawing<T>(
        &self,
        with: impl FnOnce(&mut dyn FnMut() -> u64) -> T,
    ) -> Result<T, StoreError> {
        let mut failed = None;
        let drawn = with(&mut || {
            self.draw().unwrap_or_else(|error| {
                failed = Some(error);
                0
            })
        });
        failed.map_or(Ok(drawn), Err)
    }
}
