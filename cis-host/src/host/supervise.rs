//! When the node is started again that went away without a word.

use serde::{Deserialize, Serialize};

/// Between two attempts, ms: from, doubling, to.
const PAUSE_MS: (u64, u64) = (1000, 60_000);
/// After the program of the host was replaced, its node connects again within this time, ms.
const RECONNECTS_MS: u64 = 5_000;
/// A node that was there for so long was not in a crash loop, ms.
const STABLE_MS: u64 = 10_000;

/// Who is to be restarted, and how that goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Supervise {
    argv: Option<Vec<String>>,
    /// Whether the node receives its environment from its standard input.
    pub(super) receives: bool,
    /// The node that the host started, until it ends.
    pub(super) node: Option<u32>,
    attempts: u32,
    /// When it is to be started.
    next: Option<u64>,
    connected_at: Option<u64>,
}

impl Supervise {
    pub(super) fn set(&mut self, argv: Option<Vec<String>>, receives_environment: bool) {
        self.receives = receives_environment;
        self.argv = argv.filter(|argv| !argv.is_empty());
        if self.argv.is_none() {
            self.next = None;
        }
    }

    /// There is a node, or there is to be one.
    pub(super) fn wants_node(&self) -> bool {
        self.argv.is_some()
    }

    /// A node is there.
    pub(super) fn connected(&mut self, now: u64) {
        self.next = None;
        self.connected_at = Some(now);
    }

    /// A child ended. True where it was the node that the host started.
    pub(super) fn ended(&mut self, pid: u32) -> bool {
        if self.node != Some(pid) {
            return false;
        }
        self.node = None;
        true
    }

    /// The node is not there any more: when to start the next.
    pub(super) fn lost(&mut self, now: u64) -> Option<u64> {
        if self.connected_at.take().is_some_and(|since| now >= since + STABLE_MS) {
            self.attempts = 0;
        }
        self.argv.as_ref()?;
        self.next = Some(now + self.pause());
        self.next
    }

    /// The program of the host was replaced, and all connections were closed. Returns when the node is to be started if it does not
    /// connect again.
    pub(super) fn renewed(&mut self, now: u64) -> Option<u64> {
        self.argv.as_ref()?;
        self.next = Some(now + RECONNECTS_MS);
        self.next
    }

    /// Returns the command of the node where it is time to start it, and when that is to be tried again. One that was
    /// started and has not connected yet is left alone as long as it lives.
    pub(super) fn take_due(&mut self, now: u64) -> Option<(Vec<String>, u64)> {
        self.next.filter(|at_ms| *at_ms <= now && self.node.is_none())?;
        let argv = self.argv.clone()?;
        self.attempts += 1;
        let next = now + self.pause();
        self.next = Some(next);
        Some((argv, next))
    }

    fn pause(&self) -> u64 {
        PAUSE_MS.0.saturating_mul(1 << self.attempts.min(16)).min(PAUSE_MS.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_start_anew_after_a_stable_node() {
        let mut supervise = Supervise::default();
        assert_eq!(supervise.lost(0), None, "nothing is restarted unasked");
        supervise.set(Some(vec!["node".to_owned()]), false);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            pauses.push(supervise.lost(0).unwrap() / 1000);
            supervise.attempts += 1;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        supervise.connected(100);
        assert_eq!(supervise.lost(100 + STABLE_MS - 1), Some(100 + STABLE_MS - 1 + 60_000));
        supervise.connected(0);
        assert_eq!(supervise.lost(STABLE_MS), Some(STABLE_MS + 1000));
    }

    #[test]
    fn a_node_that_does_not_come_back_after_a_renewal_is_started_again() {
        let mut supervise = Supervise::default();
        assert_eq!(supervise.renewed(0), None, "nothing is restarted unasked");
        supervise.set(Some(vec!["node".to_owned()]), false);
        supervise.connected(10);
        assert_eq!(supervise.renewed(20), Some(20 + RECONNECTS_MS));
        assert!(supervise.take_due(20 + RECONNECTS_MS).is_some());
        supervise.renewed(20);
        supervise.connected(30);
        assert_eq!(supervise.take_due(u64::MAX / 2), None, "it is there");
    }

    #[test]
    fn a_node_is_started_when_it_is_due_and_not_beside_one_that_lives() {
        let mut supervise = Supervise::default();
        supervise.set(Some(vec!["node".to_owned()]), false);
        assert_eq!(supervise.take_due(u64::MAX / 2), None, "none was lost");
        supervise.lost(0);
        assert_eq!(supervise.take_due(999), None);
        assert_eq!(supervise.take_due(1000), Some((vec!["node".to_owned()], 3000)));
        supervise.node = Some(7);
        assert_eq!(supervise.take_due(3000), None, "it lives and may still connect");
        assert!(!supervise.ended(8) && supervise.ended(7));
        assert!(supervise.take_due(3000).is_some());
        supervise.set(None, false);
        assert!(!supervise.wants_node());
        assert_eq!(supervise.take_due(u64::MAX / 2), None, "it stopped on purpose");
    }
}
