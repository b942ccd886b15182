//! Reputation lowers the tier handed out by one step, never the stored one (paper, 8.7).

use crate::protocol::DifficultyTier;

/// The difficulty for a client with this reputation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effective {
    /// Work of this tier.
    Tier(DifficultyTier),
    /// No work: a plain 429.
    Exempt,
}

/// The tier handed out when `stored` is the client's. A score from `exemption` up exempts, one from
/// `difficulty` up lowers by one step, down to Low. What is no number from 0 to 1 changes nothing.
pub fn effective(stored: DifficultyTier, score: Option<f64>, difficulty: f64, exemption: f64) -> Effective {
    match score.filter(|score| (0.0..=1.0).contains(score)) {
        Some(score) if score >= exemption => Effective::Exempt,
        Some(score) if score >= difficulty => Effective::Tier(stored.softer()),
        _ => Effective::Tier(stored),
    }
}
