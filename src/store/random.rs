//! Random bytes of the operating system.

/// Returns `N` of them.
///
/// # Errors
/// The system returned none.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
