//! Counts of tasks, as they are kept.

/// Task counts fit: a file of 4 billion tasks is refused long before.
pub(super) fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
