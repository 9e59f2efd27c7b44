//! Envelopes that were taken already: each counts once, by its id.

use std::collections::{BTreeSet, VecDeque};

use ulid::Ulid;

/// A bounded memory of ids; the oldest is forgotten first. It guards what is not numbered otherwise (journal entries
/// and timeline envelopes are): a request that is repeated until it is acknowledged.
#[derive(Debug, Clone)]
pub struct Seen {
    most: usize,
    order: VecDeque<Ulid>,
    ids: BTreeSet<Ulid>,
}

impl Seen {
    /// One that remembers the newest `most`.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), order: VecDeque::new(), ids: BTreeSet::new() }
    }

    /// Whether `id` is new; it is remembered from now on.
    pub fn is_new(&mut self, id: Ulid) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counts_once_and_memory_is_bounded() {
        let mut seen = Seen::new(2);
        let id = |n: u128| Ulid::from_parts(1, n);
        assert!(seen.is_new(id(1)) && !seen.is_new(id(1)) && seen.is_new(id(2)) && seen.is_new(id(3)));
        assert!(!seen.is_new(id(3)) && !seen.is_new(id(2)));
        assert_eq!((seen.order.len(), seen.ids.len()), (2, 2));
    }
}
