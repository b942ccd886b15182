//! Parsers of argument values. Their errors end with exit code 2.

use clap::ValueEnum;
use pouw::hash::Checksum;
use pouw::protocol::DifficultyTier;
use pouw::{BLOCK_SIZE_MAX, BLOCK_SIZE_MIN, TREE_NAME_LEN_MAX};

/// `4096`, `4k`, `4K`, `4KiB`, `1M`, `1MiB`: bytes.
pub fn block_size(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        _ => return Err("expected a number of bytes, or of KiB or MiB, like 4096, 4K or 1MiB".into()),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    match bytes {
        Some(bytes) if (BLOCK_SIZE_MIN..=BLOCK_SIZE_MAX).contains(&bytes) => Ok(bytes),
        _ => Err("expected a block size from 512 bytes to 256 MiB".into()),
    }
}

/// A tree's name.
pub fn tree_name(text: &str) -> Result<String, String> {
    match text.len() {
        1..=TREE_NAME_LEN_MAX => Ok(text.to_owned()),
        _ => Err("expected a tree name of 1 to 4096 bytes".into()),
    }
}

/// 128 lowercase hex digits.
pub fn checksum(text: &str) -> Result<Checksum, String> {
    Checksum::from_hex(text).map_err(|error| error.to_string())
}

/// Size of the units that clients request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tier {
    /// One leaf.
    Low,
    /// A subtree of 4 or 8 leaves.
    Medium,
    /// A subtree of 16 or 32 leaves.
    High,
}

impl From<Tier> for DifficultyTier {
    fn from(tier: Tier) -> Self {
        match tier {
            Tier::Low => Self::Low,
            Tier::Medium => Self::Medium,
            Tier::High => Self::High,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_sizes_are_read_with_and_without_units() {
        for (text, bytes) in [
            ("512", 512),
            ("4096", 4096),
            ("4k", 4096),
            ("4K", 4096),
            ("4KiB", 4096),
            ("1M", 1 << 20),
            ("256mib", 256 << 20),
            ("600b", 600),
        ] {
            assert_eq!(block_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn block_sizes_out_of_range_or_in_unknown_units_are_refused() {
        for text in ["", "k", "511", "257M", "4KB", "4 K", "-4k", "4.5k", "0x1000", "99999999999999999999", "4kk"] {
            assert!(block_size(text).is_err(), "{text}");
        }
    }
}
