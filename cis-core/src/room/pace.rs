//! When something that changes all the time is told: a run's card, the ends of its tasks.
//!
//! Owns the intervals: short while the account's allowance is ample, growing while it is not, so that a
//! run of a thousand tasks costs about as many messages as one of ten. Whether the allowance is ample is
//! [`super::budget`]'s to say.

use crate::ids::TimestampMs;

/// The pause after something was told is so many times as long as finding out what to tell took: a run with many tasks must
/// not work for its card.
const TIMES_COST: i64 = 10;

/// One thing that is told again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// Between two messages while the allowance is ample, ms.
    ample_ms: i64,
    /// The first interval while it is short, ms.
    short_ms: i64,
    /// The longest, ms.
    short_max_ms: i64,
    /// The interval now, while it is short, ms.
    step_ms: i64,
    /// How long it took to find out what to tell, ms.
    cost_ms: i64,
    /// The first message comes at once.
    begins_at_once: bool,
    told: Option<TimestampMs>,
    changed: Option<TimestampMs>,
    at_once: bool,
}

impl Pace {
    /// Of a card: at once, then every `ample_ms`, or 10 to 60 s apart.
    #[must_use]
    pub fn card(ample_ms: i64) -> Self {
        Self::new(ample_ms, 10_000, 60_000, true)
    }

    /// Of the ends of tasks: gathered for `ample_ms`, or for 5 to 40 s.
    #[must_use]
    pub fn ends(ample_ms: i64) -> Self {
        Self::new(ample_ms, 5_000, 40_000, false)
    }

    fn new(ample_ms: i64, short_ms: i64, short_max_ms: i64, begins_at_once: bool) -> Self {
        let ample_ms = ample_ms.clamp(1, short_ms);
        Self {
            ample_ms,
            short_ms,
            short_max_ms,
            step_ms: short_ms,
            cost_ms: 0,
            begins_at_once,
            told: None,
            changed: None,
            at_once: false,
        }
    }

    /// There is something new.
    pub fn changed(&mut self, now: TimestampMs) {
        self.changed.get_or_insert(now);
    }

    /// Somebody waits for what is new: told at once.
    pub fn wanted(&mut self, now: TimestampMs) {
        self.ended(now);
    }

    /// There is something new that ends it all: told at once.
    pub fn ended(&mut self, now: TimestampMs) {
        self.changed(now);
        self.at_once = true;
    }

    /// Finding out what to tell took so long. Not for what is only read where it is new: that costs the same in
    /// one piece or in many.
    pub fn cost(&mut self, ms: i64) {
        self.cost_ms = ms.clamp(0, self.short_max_ms / TIMES_COST);
    }

    /// When it is to be told; none: there is nothing new.
    #[must_use]
    pub fn due(&self, allowance_is_short: bool) -> Option<TimestampMs> {
        let changed = self.changed?;
        let interval = if allowance_is_short { self.step_ms } else { self.ample_ms };
        Some(match self.told {
            _ if self.at_once => changed,
            Some(told) => {
                changed.max(told.saturating_add(interval.max(self.cost_ms.saturating_mul(TIMES_COST))))
            }
            None if self.begins_at_once => changed,
            None => changed.saturating_add(interval),
        })
    }

    /// It was told as it is now.
    pub fn told(&mut self, now: TimestampMs, allowance_is_short: bool) {
        // The first interval is used once before it grows; after a long silence it begins anew.
        let quiet = self.told.is_none_or(|told| now.saturating_sub(told) > self.short_max_ms * 2);
        let grown = if quiet { self.short_ms } else { self.step_ms.saturating_mul(2) };
        self.step_ms = if allowance_is_short { grown.min(self.short_max_ms) } else { self.short_ms };
        self.told = Some(now);
        self.changed = None;
        self.at_once = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_the_allowance_is_short_it_slows_down_to_a_minute() {
        let mut card = Pace::card(500);
        assert_eq!(card.due(true), None);
        let mut said = Vec::new();
        let mut now = 0;
        for _ in 0..6 {
            card.changed(now);
            now = card.due(true).unwrap();
            said.push(now);
            card.told(now, true);
        }
        assert_eq!(said, [0, 10_000, 30_000, 70_000, 130_000, 190_000]);
        card.changed(now);
        assert_eq!(card.due(false), Some(now + 500));
        card.told(now + 500, false);
        card.changed(now + 600);
        assert_eq!(card.due(true), Some(now + 10_500), "it begins anew");
        card.told(now + 500_000, true);
        card.changed(now + 500_001);
        assert_eq!(card.due(true), Some(now + 510_000), "it begins anew");
    }

    #[test]
    fn what_costs_much_is_told_less_often_and_its_end_at_once() {
        let mut card = Pace::card(500);
        card.told(0, false);
        card.changed(1);
        for (cost, due) in [(-5, 500), (20, 500), (80, 800), (i64::MAX, 60_000)] {
            card.cost(cost);
            assert_eq!(card.due(false), Some(due));
        }
        card.ended(7);
        assert_eq!(card.due(false), Some(1));
    }

    #[test]
    fn the_end_is_told_at_once() {
        let mut ends = Pace::ends(500);
        ends.changed(100);
        assert_eq!(ends.due(true), Some(5100));
        assert_eq!(ends.due(false), Some(600));
        ends.told(600, true);
        ends.ended(700);
        assert_eq!(ends.due(true), Some(700));
        ends.told(700, true);
        assert_eq!(ends.due(true), None);
    }
}
