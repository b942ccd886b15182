//! Sizes of what is sent with a challenge.

/// Bytes of an encoded challenge without the unit's data: other members, problem document, headers.
const FRAME_BYTES: u64 = 3_072;
/// The least data worth a challenge.
pub(in crate::gate) const DATA_BYTES_MIN: u64 = 512;
/// The most data in a unit that is sent as metadata of gRPC: a block of the default size. With the
/// other metadata it stays below 8 KiB, the default of some clients.
const METADATA_DATA_BYTES_MAX: u64 = 4_096;
/// The most bytes of the metadata in a response, by the count of HTTP/2.
pub(in crate::gate) const METADATA_BYTES_MAX: usize = 8 << 10;
/// Maximum bytes of the challenge page without the problem document in it.
pub(in crate::gate) const PAGE_BYTES: u64 = 8_192;
/// Maximum length of the path of the page's files, in characters.
pub(in crate::gate) const PREFIX_CHARS_MAX: usize = 128;

/// Returns how many of `bytes` bytes of data a unit may have, which may be sent as metadata.
pub(in crate::gate) fn data_bytes(bytes: u64, by_metadata: bool) -> u64 {
    if by_metadata { bytes.min(METADATA_DATA_BYTES_MAX) } else { bytes }
}

/// Returns the bytes of an encoded challenge with `data` bytes of block data.
pub(in crate::gate) const fn encoded(data: u64) -> u64 {
    data.div_ceil(3) * 4 + FRAME_BYTES
}

/// Returns the bytes of block data in an encoded challenge of `bytes` bytes.
pub(in crate::gate) const fn decoded(bytes: u64) -> u64 {
    bytes.saturating_sub(FRAME_BYTES) / 4 * 3
}
