//! Judges answers to units whose hashes the server does not know by more answers (strategy
//! `Redundant`): it waits for equal ones, and hashes a sample too. Where answers differ, the server
//! hashes those leaves itself.

use crate::hash::Checksum;
use crate::merkle::AlignedRange;
use crate::policy::audit::VOTE_SAMPLE;
use crate::policy::quorum::{Voter, admits, differences, is_right};
use crate::protocol::{WorkId, WorkResult};
use crate::store::rows::{HashReason, HashWork, QuorumRow, VoteRow};
use crate::store::{Amend, Command, Ruling, SettleKind, StoreError, TreeNumber, Vote};

use super::sample::{Tree, Unit};
use super::token::Inspected;
use super::verdict::{Follows, Judged};
use crate::engine::answers::again;
use crate::engine::answers::sample;
use crate::engine::answers::settled;
use crate::engine::core::Core;
use crate::engine::error::SubmitError;
#[cfg(feature = "testing")]
use crate::engine::mistake::Mistake;
use crate::engine::work::parents_work;
use crate::engine::writer::job::Job;

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

/// Judges under `Redundant`: an answer is admitted if its sample is right and each leaf equals
/// that of the other votes, or those are wrong.
pub(in crate::engine) fn verify_vote(
    core: &Core,
    inspected: &Inspected,
    result: &WorkResult,
    unit: Unit<'_>,
    (quorum, group): (u8, Result<Option<QuorumRow>, StoreError>),
) -> Result<Judged, SubmitError> {
    let Unit { tree, row, range, lengths } = unit;
    let hashes = sample::brought(core, result, row, &range)?;
    let client = inspected.opened.client;
    let group = group?;
    let network = core.keys.network_of(&inspected.network);
    let voter = Voter { client, network };
    let stale = stale_votes(core, group.as_ref())?;
    let in_group = |vote: &VoteRow| (!stale.contains(&vote.id)).then(|| vote.voter());
    let voters: Vec<Voter> = group.iter().flat_map(|group| &group.votes).filter_map(in_group).collect();
    let admitted = admits(&voters, &voter);
    #[cfg(feature = "testing")]
    let admitted = admitted || core.config.makes(Mistake::SameNetworkMayVote);
    if group.as_ref().is_some_and(|group| group.order != range.order()) || !admitted {
        return Err(SubmitError::Withdrawn);
    }
    let (audit, _) = sample::audit(core, inspected, &network, (tree, row), &range, &hashes, VOTE_SAMPLE)?;
    let count = count_votes(core, inspected, (tree, row), &range, &hashes, group.as_ref(), stale)?;
    if count.wrong {
        core.clients.count_server(row.strategy.index(), HashReason::Audit, audit);
        amend_soon(core, tree, range, count);
        return Err(SubmitError::WrongResult { what: "leafHashes".to_owned() });
    }
    let own = (0..).zip(lengths?).filter(|(place, _)| count.refereed & (1 << place) == 0);
    let accepted = HashWork::of(own.map(|(_, length)| length)).plus(parents_work(&range));
    let Count { ruling, liars, referee, .. } = count;
    let strikes = core.store.client(client)?.strikes;
    #[cfg(feature = "testing")]
    let quorum = quorum - u8::from(core.config.makes(Mistake::CountVoteEarly));
    let vote = Vote { tree, range, hashes, network, quorum, strikes, ruling };
    let (nodes, leaves, kind) = (range.node_count(), range.len(), SettleKind::Vote(Box::new(vote)));
    let follows = Follows { liars, ..Follows::default() };
    Ok(Judged { kind, nodes, leaves, accepted, audit, referee, follows })
}

/// Returns the votes of clients that were caught in a lie since they voted.
fn stale_votes(core: &Core, group: Option<&QuorumRow>) -> Result<Vec<WorkId>, SubmitError> {
    let mut stale = Vec::new();
    for vote in group.iter().flat_map(|group| &group.votes) {
        if core.store.client(vote.client)?.strikes != vote.strikes {
            stale.push(vote.id);
        }
    }
    Ok(stale)
}

/// Compares an answer with the present votes. Where they differ, the server hashes exactly
/// those leaves.
fn count_votes(
    core: &Core,
    inspected: &Inspected,
    (tree, row): Tree<'_>,
    range: &AlignedRange,
    hashes: &[Checksum],
    group: Option<&QuorumRow>,
    stale: Vec<WorkId>,
) -> Result<Count, SubmitError> {
    let votes: &[VoteRow] = group.map_or(&[], |group| &group.votes);
    let known: &[(u8, Checksum)] = group.map_or(&[], |group| &group.refereed);
    let live: Vec<&VoteRow> = votes.iter().filter(|vote| !stale.contains(&vote.id)).collect();
    let returned: Vec<&[Checksum]> = live.iter().map(|vote| vote.leaves.as_slice()).collect();
    let differ = differences(hashes, &returned, known);
    let mut refereed = known.iter().fold(0, |mask, (place, _)| mask | (1 << place));
    let mut ruling = Ruling { votes_seen: votes.len(), stale, ..Ruling::default() };
    let (mut liars, mut referee, mut wrong) = (Vec::new(), HashWork::default(), differ.wrong);
    if !differ.open.is_empty() {
        let (hashed, work) = sample::hash_places(core, (tree, row), range, &differ.open)?;
        referee = work;
        refereed |= differ.open.iter().fold(0, |mask, place| mask | (1 << place));
        wrong |= !is_right(|place| hashes.get(place).copied(), &hashed);
        for vote in live {
            if is_right(|place| vote.leaves.get(place).copied(), &hashed) {
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
        again::sent_again(core, &inspected.opened, (tree, row), range)?;
    }
    Ok(Count { ruling, liars, referee, refereed, wrong })
}

/// Stores the server's findings about the votes, although the answer is wrong. If the writer
/// has no room for the command now, the next answer leads to the same findings.
fn amend_soon(core: &Core, tree: TreeNumber, range: AlignedRange, count: Count) {
    let Count { ruling, liars, referee, .. } = count;
    let changes = !ruling.refereed.is_empty() || !ruling.lies.is_empty() || !ruling.stale.is_empty();
    if !changes || ruling.votes_seen == 0 {
        return;
    }
    settled::note_liars(core, &liars);
    let amend = Amend { tree, range, ruling, work: referee, at_ms: core.time.now_ms() };
    let job = Job::new(vec![Command::Amend(amend)], |_| {}, |_| {});
    if let Err((job, error)) = core.writer.write_soon(job) {
        job.fail(error);
    }
}
