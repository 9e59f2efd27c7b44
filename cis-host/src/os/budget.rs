//! What a look into processes may cost: so many descriptors, so much CPU time, so many bytes of mounts.
//!
//! What is looked at belongs to programs that may lay it out so that it costs much, and who looks has others to
//! serve. Where a budget is used up, no more is seen.

use super::clock;
use super::mounts::Mounts;

/// What may be spent on looking into processes.
#[derive(Debug)]
pub(crate) struct Budget {
    descriptors: usize,
    /// When the time is over, µs of CPU of this thread.
    until_us: u64,
    /// What was read of mounts, for which it has a bound of its own.
    pub(super) mounts: Mounts,
}

impl Budget {
    /// Of so many descriptors, and so much CPU time of this thread, which is counted from now on.
    pub(crate) fn new(descriptors: usize, cpu_us: u64) -> Self {
        let until_us = clock::cpu_us().saturating_add(cpu_us);
        Self { descriptors, until_us, mounts: Mounts::default() }
    }

    /// Looks with at most so much of it; none where there is less left. What is not used comes back.
    pub(crate) fn within<T>(&mut self, most: usize, look: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let kept = self.descriptors.checked_sub(most)?;
        if clock::cpu_us() > self.until_us {
            return None;
        }
        self.descriptors = most;
        let found = look(self);
        self.descriptors += kept;
        Some(found)
    }

    /// Nothing is left of it.
    pub(crate) fn is_over(&self) -> bool {
        self.descriptors == 0 || clock::cpu_us() > self.until_us
    }

    /// There is so much left, and now that much less.
    pub(super) fn spend(&mut self, cost: usize) -> bool {
        let left = self.descriptors.checked_sub(cost).filter(|_| clock::cpu_us() <= self.until_us);
        self.descriptors = left.unwrap_or(0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_its_descriptors() {
        let mut budget = Budget::new(10, u64::MAX);
        assert!(budget.spend(4) && budget.spend(6) && !budget.spend(1));
        assert!(Budget::new(10, u64::MAX).spend(0));
    }

    #[test]
    fn it_ends_with_its_time() {
        let mut budget = Budget::new(usize::MAX, 1000);
        while budget.spend(1) {}
        assert!(!budget.spend(1), "and stays at its end");
        assert_eq!(budget.within(0, |_| ()), None);
    }

    #[test]
    fn a_part_of_it_comes_back_as_far_as_it_is_not_used() {
        let mut budget = Budget::new(10, u64::MAX);
        assert_eq!(budget.within(6, |part| part.spend(5)), Some(true));
        assert_eq!(budget.within(5, |part| part.spend(6)), Some(false), "a part is no more than that");
        assert_eq!(budget.within(1, |_| ()), None);
    }
}
