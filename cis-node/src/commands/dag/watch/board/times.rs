//! Where the time of a task goes, counted along with its events. Pure: times are arguments.

use cis_core::api::TimeSplit;
use cis_core::event::TaskState;
use cis_core::ids::TimestampMs;

/// What a task's time is spent on now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    /// It is not its turn, or it has ended.
    #[default]
    None,
    Queue,
    Machine,
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
    /// Begins with a state that it has had since then.
    pub(super) fn begin(&mut self, state: TaskState, stopped: bool, since_ms: TimestampMs) {
        *self = Self { split: TimeSplit::default(), phase: phase(state, stopped), since_ms };
    }

    /// Goes on from what is known to have been spent until `now`.
    pub(super) fn set(&mut self, split: TimeSplit, state: TaskState, stopped: bool, now: TimestampMs) {
        *self = Self { split, phase: phase(state, stopped), since_ms: now };
    }

    /// The state changed at that time. A task that is free to start again after its end begins anew.
    pub(super) fn turn(&mut self, state: TaskState, stopped: bool, at_ms: TimestampMs) {
        let next = phase(state, stopped);
        if next != self.phase {
            self.split = self.at(at_ms);
            self.phase = next;
            self.since_ms = at_ms;
        }
    }

    /// It runs again from nothing (`dag retry`).
    pub(super) fn again(&mut self, state: TaskState, at_ms: TimestampMs) {
        self.begin(state, false, at_ms);
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

fn phase(state: TaskState, stopped: bool) -> Phase {
    match state {
        TaskState::Queued | TaskState::Running if stopped => Phase::Human,
        TaskState::Queued => Phase::Queue,
        TaskState::Running | TaskState::Processing => Phase::Machine,
        _ => Phase::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_counts_once_and_for_the_right_side() {
        let mut times = Times::default();
        times.turn(TaskState::Queued, false, 1000);
        times.turn(TaskState::Running, false, 1500);
        times.turn(TaskState::Running, true, 2500);
        // The same again changes nothing.
        times.turn(TaskState::Running, true, 2700);
        times.turn(TaskState::Running, false, 4500);
        times.turn(TaskState::Processing, false, 4600);
        let split = TimeSplit { queue_ms: 500, machine_ms: 1600, human_ms: 2000 };
        assert_eq!(times.at(5100), split);
        times.turn(TaskState::Succeeded, false, 5100);
        assert_eq!(times.at(9000), split, "the clock stands still after the end");
        assert_eq!(times.at(0), split, "and never goes back");
        times.again(TaskState::Queued, 9000);
        assert_eq!(times.at(9100), TimeSplit { queue_ms: 100, ..TimeSplit::default() });
    }
}
