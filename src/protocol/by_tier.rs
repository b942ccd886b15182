//! One value for each tier.

use super::words::DifficultyTier;

/// One value for each difficulty tier.
///
/// ```
/// use pouw::protocol::{ByTier, DifficultyTier};
/// let bytes = ByTier { low: 1_024, medium: 2_048, high: 4_096 };
/// assert_eq!(bytes.get(DifficultyTier::Medium), &2_048);
/// assert_eq!(ByTier::all(1).map(|n| n + 1), ByTier::all(2));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ByTier<T> {
    /// The value for [`DifficultyTier::Low`].
    pub low: T,
    /// The value for [`DifficultyTier::Medium`].
    pub medium: T,
    /// The value for [`DifficultyTier::High`].
    pub high: T,
}

impl<T> ByTier<T> {
    /// The same value for every tier.
    pub fn all(value: T) -> Self
    where
        T: Clone,
    {
        Self { low: value.clone(), medium: value.clone(), high: value }
    }

    /// The value for `tier`.
    pub fn get(&self, tier: DifficultyTier) -> &T {
        match tier {
            DifficultyTier::Low => &self.low,
            DifficultyTier::Medium => &self.medium,
            DifficultyTier::High => &self.high,
        }
    }

    /// Applies `change` to each value.
    pub fn map<U>(self, mut change: impl FnMut(T) -> U) -> ByTier<U> {
        ByTier { low: change(self.low), medium: change(self.medium), high: change(self.high) }
    }
}

/// In the order low, medium, high.
impl<T> From<[T; 3]> for ByTier<T> {
    fn from([low, medium, high]: [T; 3]) -> Self {
        Self { low, medium, high }
    }
}

/// In the order low, medium, high.
impl<T> From<ByTier<T>> for [T; 3] {
    fn from(ByTier { low, medium, high }: ByTier<T>) -> Self {
        [low, medium, high]
    }
}
