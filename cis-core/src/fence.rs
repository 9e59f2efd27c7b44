//! Fences: numbers of grants that are never issued twice.
//!
//! A fence is (epoch, n) in one number, so that fences of a later term are above all of an earlier one, also above those
//! that its coordinator issued and nobody saw. In the first term, whose epoch is 0, a fence is the count of grants alone.

use crate::ids::{Epoch, Fence};

/// Bits of a fence that count the grants of one task within a term. What is above is the epoch: together 53 bits, as
/// canonical JSON has no larger integers.
const COUNT_BITS: u32 = 32;

/// The latest epoch that a fence can hold.
pub const EPOCH_MAX: Epoch = (1 << 21) - 1;

/// The term in which a grant was made.
#[must_use]
pub fn epoch_of(fence: Fence) -> Epoch {
    Epoch::try_from(fence >> COUNT_BITS).unwrap_or(Epoch::MAX)
}

/// The fence of a task's next grant, made in the term `epoch`, where `last` is the task's newest one (0: it has none).
/// It is above `last` unless that is the largest number.
#[must_use]
pub fn next(last: Fence, epoch: Epoch) -> Fence {
    last.max(Fence::from(epoch.min(EPOCH_MAX)) << COUNT_BITS).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_of_the_first_term_count_grants() {
        assert_eq!((next(0, 0), next(1, 0)), (1, 2));
        assert_eq!(epoch_of(2), 0);
    }

    /// A coordinator that died may have issued any number of fences that nobody saw.
    #[test]
    fn a_fence_of_a_later_term_is_above_all_of_an_earlier_one() {
        let unseen = (0..1000).fold(0, |last, _| next(last, 4));
        let seen = next(0, 4);
        assert!(next(seen, 5) > unseen);
        assert_eq!(epoch_of(next(seen, 5)), 5);
        // A task that was granted in a later term already, as a replay of an old one may have it.
        assert_eq!(epoch_of(next(next(0, 5), 4)), 5);
    }

    #[test]
    fn the_largest_fence_is_an_integer_of_canonical_json() {
        assert!(next(0, Epoch::MAX) < 1 << 53);
    }
}
