//! The numbers of timeline envelopes: given by their sender without a gap, so that whoever reads notices what is lost.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::federation::envelope::Seq;
use crate::identity::INTEGER_MAX;
use crate::ids::TimestampMs;

/// Numbers that came too early are remembered up to so many.
const EARLY_MAX: usize = 10_000;

/// The count of what one node sent to the timeline of one room. It is stored in the transaction that queues the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbering {
    incarnation: u64,
    next: u64,
}

impl Numbering {
    /// The count at a start of the node. It goes on with what is `stored` only after a clean end; a node that cannot
    /// know what it sent last (a crash, a store from a backup) begins another, named by the time where that is later.
    #[must_use]
    pub fn begin(stored: Option<Self>, clean: bool, now_ms: TimestampMs) -> Self {
        match stored {
            Some(stored) if clean => stored,
            _ => {
                let after = stored.map_or(0, |stored| stored.incarnation.saturating_add(1));
                let now = u64::try_from(now_ms).unwrap_or(0);
                Self { incarnation: now.max(after).clamp(1, INTEGER_MAX as u64), next: 1 }
            }
        }
    }

    /// As it was stored.
    #[must_use]
    pub fn stored(incarnation: u64, next: u64) -> Self {
        Self { incarnation, next }
    }

    /// Which count it is.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The newest number that was given; 0: none.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    /// The next number.
    pub fn take(&mut self) -> Seq {
        let seq = Seq { incarnation: self.incarnation, n: self.next };
        self.next += 1;
        seq
    }
}

/// What was heard of one sender in one room.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    incarnation: u64,
    /// All up to this one came.
    upto: u64,
    /// These came before their turn.
    early: BTreeSet<u64>,
}

impl Heard {
    /// Takes a number; whether it is new. Of a count that is over nothing is new: what it lacks, its sender does not
    /// know either.
    pub fn take(&mut self, seq: Seq) -> bool {
        if seq.incarnation < self.incarnation || seq.n == 0 {
            return false;
        }
        if seq.incarnation > self.incarnation {
            *self = Self { incarnation: seq.incarnation, ..Self::default() };
        }
        if seq.n <= self.upto || !self.early.insert(seq.n) {
            return false;
        }
        while self.early.remove(&(self.upto + 1)) {
            self.upto += 1;
        }
        if self.early.len() > EARLY_MAX {
            self.early.pop_last();
        }
        true
    }

    /// The first gap: numbers that are missing, from and to.
    #[must_use]
    pub fn gap(&self) -> Option<(Seq, Seq)> {
        let next = *self.early.first()?;
        let at = |n| Seq { incarnation: self.incarnation, n };
        Some((at(self.upto + 1), at(next - 1)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_count_goes_on_only_after_a_clean_end() {
        let mut first = Numbering::begin(None, true, 1000);
        assert_eq!(
            (first.take(), first.take()),
            (Seq { incarnation: 1000, n: 1 }, Seq { incarnation: 1000, n: 2 })
        );
        let mut again = Numbering::begin(Some(first), true, 2000);
        assert_eq!(again.take(), Seq { incarnation: 1000, n: 3 });
        let mut crashed = Numbering::begin(Some(first), false, 2000);
        assert_eq!(crashed.take(), Seq { incarnation: 2000, n: 1 });
        // A clock that went back does not bring an old count back.
        let mut back = Numbering::begin(Some(crashed), false, 5);
        assert_eq!(back.take(), Seq { incarnation: 2001, n: 1 });
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// In any order, each counts once, and there is no gap once all came.
        #[test]
        fn each_counts_once(order in Just((1..40u64).collect::<Vec<_>>()).prop_shuffle(), twice in 1..40u64) {
            let seq = |incarnation, n| Seq { incarnation, n };
            let mut heard = Heard::default();
            for n in &order {
                prop_assert!(heard.take(seq(3, *n)));
                let first_absent = (1..40).find(|n| !heard.early.contains(n) && *n > heard.upto);
                prop_assert_eq!(heard.gap().map(|(from, _)| from.n), first_absent.filter(|_| !heard.early.is_empty()));
            }
            prop_assert!(!heard.take(seq(3, twice)) && heard.gap().is_none());
            prop_assert!(!heard.take(seq(2, 99)));
            prop_assert!(heard.take(seq(4, 2)));
            prop_assert_eq!(heard.gap().unwrap().0, seq(4, 1));
        }
    }
}
