//! What waits for a thread, shared fairly: whoever has much to tell waits for himself, and where there is no room
//! it is his that is left out.
//!
//! Pure: knows neither threads nor what is told.

use std::collections::{BTreeMap, VecDeque};

/// So many of each at a time: what hangs of one must not take all threads.
const AT_ONCE_MAX: usize = 2;

#[derive(Debug)]
struct Share<T> {
    waiting: VecDeque<T>,
    running: usize,
}

/// See the module. `K`: whose it is.
#[derive(Debug)]
pub(super) struct Queue<K, T> {
    of: BTreeMap<K, Share<T>>,
    /// Of whom something waits, in the order of their turns.
    turns: VecDeque<K>,
    waiting: usize,
    max: usize,
}

impl<K: Ord + Clone, T> Queue<K, T> {
    /// With room for so many.
    pub(super) fn new(max: usize) -> Self {
        Self { of: BTreeMap::new(), turns: VecDeque::new(), waiting: 0, max }
    }

    /// Puts one behind those of the same. Gives what was left out for it: of whoever has the most there, the
    /// oldest, which is what matters least by now; nobody loses one to somebody who has as many.
    pub(super) fn push(&mut self, whose: K, job: T) -> Option<(K, T)> {
        let out = if self.waiting < self.max { None } else { self.make_room(&whose) };
        if self.waiting >= self.max {
            return Some((whose, job));
        }
        let empty = || Share { waiting: VecDeque::new(), running: 0 };
        let share = self.of.entry(whose.clone()).or_insert_with(empty);
        if share.waiting.is_empty() {
            self.turns.push_back(whose);
        }
        share.waiting.push_back(job);
        self.waiting += 1;
        out
    }

    fn make_room(&mut self, whose: &K) -> Option<(K, T)> {
        let own = self.of.get(whose).map_or(0, |share| share.waiting.len());
        let most = self.of.iter().max_by_key(|(_, share)| share.waiting.len())?;
        let from = match most.1.waiting.len() {
            more if more > own + 1 => most.0.clone(),
            _ if own > 0 => whose.clone(),
            // As many as there is room for have one each.
            _ => return None,
        };
        let job = self.of.get_mut(&from)?.waiting.pop_front()?;
        self.waiting -= 1;
        self.tidy(&from);
        Some((from, job))
    }

    /// The next one, of whom it is the turn. [`Self::done`] says that it is over.
    pub(super) fn pop(&mut self) -> Option<(K, T)> {
        let may = |whose: &K| self.of.get(whose).is_some_and(|share| share.running < AT_ONCE_MAX);
        let at = self.turns.iter().position(may)?;
        let whose = self.turns.remove(at)?;
        let share = self.of.get_mut(&whose)?;
        let job = share.waiting.pop_front()?;
        share.running += 1;
        self.waiting -= 1;
        if !share.waiting.is_empty() {
            self.turns.push_back(whose.clone());
        }
        Some((whose, job))
    }

    /// One of these is over.
    pub(super) fn done(&mut self, whose: &K) {
        if let Some(share) = self.of.get_mut(whose) {
            share.running = share.running.saturating_sub(1);
        }
        self.tidy(whose);
    }

    fn tidy(&mut self, whose: &K) {
        let Some(share) = self.of.get(whose).filter(|share| share.waiting.is_empty()) else { return };
        if share.running == 0 {
            self.of.remove(whose);
        }
        self.turns.retain(|other| other != whose);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn popped(queue: &mut Queue<char, u32>, count: usize) -> String {
        let mut all = Vec::new();
        for _ in 0..count {
            let Some((whose, number)) = queue.pop() else { break };
            queue.done(&whose);
            all.push(format!("{whose}{number}"));
        }
        all.join(" ")
    }

    #[test]
    fn each_has_its_turn_whatever_the_others_have() {
        let mut queue = Queue::new(100);
        (0..5).for_each(|n| assert_eq!(queue.push('a', n), None));
        queue.push('b', 0);
        queue.push('c', 0);
        assert_eq!(popped(&mut queue, 4), "a0 b0 c0 a1");
        queue.push('b', 1);
        assert_eq!(popped(&mut queue, 9), "a2 b1 a3 a4");
        assert!(queue.of.is_empty() && queue.turns.is_empty() && queue.waiting == 0);
    }

    #[test]
    fn where_there_is_no_room_it_is_the_oldest_of_who_has_the_most_that_goes() {
        let mut queue = Queue::new(4);
        (0..4).for_each(|n| assert_eq!(queue.push('a', n), None));
        assert_eq!(queue.push('a', 4), Some(('a', 0)));
        assert_eq!(queue.push('b', 0), Some(('a', 1)));
        assert_eq!(queue.push('b', 1), Some(('a', 2)));
        assert_eq!(queue.push('b', 2), Some(('b', 0)), "as many as the other has");
        assert_eq!(popped(&mut queue, 9), "a3 b1 a4 b2");
        "abcd".chars().for_each(|whose| assert_eq!(queue.push(whose, 0), None));
        assert_eq!(queue.push('e', 0), Some(('e', 0)), "nobody has more than one");
        assert_eq!(queue.push('a', 1), Some(('a', 0)));
        assert_eq!(popped(&mut queue, 9), "b0 c0 d0 a1");
    }

    #[test]
    fn one_that_hangs_does_not_take_all_threads() {
        let mut queue = Queue::new(9);
        (0..4).for_each(|n| assert_eq!(queue.push('a', n), None));
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(('a', 0)), Some(('a', 1)), None));
        queue.push('b', 0);
        assert_eq!((queue.pop(), queue.pop()), (Some(('b', 0)), None));
        queue.done(&'a');
        assert_eq!((queue.pop(), queue.pop()), (Some(('a', 2)), None));
        queue.done(&'b');
        assert!(!queue.of.contains_key(&'b'));
    }
}
