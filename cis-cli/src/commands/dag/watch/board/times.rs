//! Where the time of a task goes, counted along with its events. Pure: times are arguments.

use cis_core::api::TimeSplit;
use cis_core::ids::TimestampMs;

/// What a task's time is spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Phase {
    /// It is not its turn, or it has ended.
    #[default]
    None,
    /// It waits for its turn.
    Queue,
    /// It is at work.
    Machine,
    /// A human is waited for.
    Human,
}

/// A task's clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    split: TimeSplit,
    phase: Phase,
    since_ms: TimestampMs,
}

impl Times {
    /// Begins anew: what happens next has gone on since then.
    pub(super) fn begin(&mut self, since_ms: TimestampMs) {
        *self = Self { since_ms, ..Self::default() };
    }

    /// Goes on from what is known to have been spent until `now`.
    pub(super) fn set(&mut self, split: TimeSplit, now: TimestampMs) {
        *self = Self { split, since_ms: now, phase: self.phase };
    }

    /// Another phase from that time on.
    pub(super) fn turn(&mut self, phase: Phase, at_ms: TimestampMs) {
        if phase != self.phase {
            self.split = self.at(at_ms);
            self.phase = phase;
            // What the node has counted already, up to a later time, does not count again.
            self.since_ms = at_ms.max(self.since_ms);
        }
    }

    /// Where its time has gone until `now`.
    pub(crate) fn at(&self, now: TimestampMs) -> TimeSplit {
        // Clocks are set: never less than nothing.
        let more = now.saturating_sub(self.since_ms).max(0);
        let mut split = self.split;
        match self.phase {
            Phase::None => {}
            Phase::Queue => split.queue_ms += more,
            Phase::Machine => split.machine_ms += more,
            Phase::Human => split.human_ms += more,
        }
        split
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_counts_once_and_for_the_right_side() {
        let mut times = Times::default();
        times.turn(Phase::Queue, 1000);
        times.turn(Phase::Machine, 1500);
        times.turn(Phase::Human, 2500);
        // The same again changes nothing.
        times.turn(Phase::Human, 2700);
        times.turn(Phase::Machine, 4500);
        let split = TimeSplit { queue_ms: 500, machine_ms: 1600, human_ms: 2000 };
        assert_eq!(times.at(5100), split);
        times.turn(Phase::None, 5100);
        assert_eq!(times.at(9000), split, "the clock stands still after the end");
        assert_eq!(times.at(0), split, "and never goes back");
        times.begin(9000);
        times.turn(Phase::Queue, 9000);
        assert_eq!(times.at(9100), TimeSplit { queue_ms: 100, ..TimeSplit::default() });
        times.set(split, 9500);
        assert_eq!(times.at(9600), TimeSplit { queue_ms: 600, ..split });
        // What is heard of late does not count twice.
        times.set(split, 9800);
        times.turn(Phase::Human, 9700);
        assert_eq!(times.at(9900), TimeSplit { human_ms: split.human_ms + 100, ..split });
    }
}
