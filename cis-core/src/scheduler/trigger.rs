//! What a trigger says of a task whose needs stand so and so.

use super::task::Tally;
use crate::dag::Trigger;

/// What is to become of a pending task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// Nothing yet.
    Wait,
    /// It may start.
    Start,
    /// It can no longer come true, and nothing went wrong.
    Skip,
    /// It can no longer come true because a need did not succeed.
    GiveUp,
}

/// Decides by the needs alone; a run that is being cancelled is looked at before.
pub(super) fn says(trigger: Trigger, needs: Tally) -> Says {
    match trigger {
        Trigger::AllSuccess if needs.unsuccessful > 0 => Says::GiveUp,
        Trigger::OneFailed if needs.failed > 0 => Says::Start,
        _ if needs.open > 0 => Says::Wait,
        Trigger::OneFailed => Says::Skip,
        Trigger::AllSuccess | Trigger::AllDone | Trigger::Always => Says::Start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(open: u32, unsuccessful: u32, failed: u32) -> Tally {
        Tally { open, unsuccessful, failed }
    }

    #[test]
    fn every_trigger_at_every_turn() {
        use Says::{GiveUp, Skip, Start, Wait};
        use Trigger::{AllDone, AllSuccess, Always, OneFailed};
        // no needs, one open, all fine, one cancelled and one open, one failed and one open, one failed, one cancelled
        let turns = [
            needs(0, 0, 0),
            needs(1, 0, 0),
            needs(0, 0, 0),
            needs(1, 1, 0),
            needs(1, 1, 1),
            needs(0, 1, 1),
            needs(0, 1, 0),
        ];
        let table = [
            (AllSuccess, [Start, Wait, Start, GiveUp, GiveUp, GiveUp, GiveUp]),
            (AllDone, [Start, Wait, Start, Wait, Wait, Start, Start]),
            (OneFailed, [Skip, Wait, Skip, Wait, Start, Start, Skip]),
            (Always, [Start, Wait, Start, Wait, Wait, Start, Start]),
        ];
        for (trigger, expected) in table {
            assert_eq!(turns.map(|turn| says(trigger, turn)), expected, "{trigger:?}");
        }
    }
}
