//! Weights of ranges in `Accept` and `Accept-Language`.

/// Parses a weight of RFC 9110, 0 to 1 with up to three digits, into thousandths; 0 if it is
/// invalid.
pub(super) fn thousandths(weight: &str) -> u32 {
    match weight.parse::<f64>() {
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1_000.0) as u32,
        _ => 0,
    }
}
