//! What a session's past tells of its readers: who went on by itself although it looked as if it waited.
//!
//! Programs that show something by themselves (players, monitors, watchers, clients) listen to their terminal all
//! the while, and what they show may look like a prompt. Whoever went on without an answer is believed later the
//! next time. Knows nothing of screens.

use crate::ids::TimestampMs;

/// The longest that a hold becomes, ms.
const HOLD_MAX_MS: i64 = 90_000;
/// Doubled at most so often.
const STRIKES_MAX: u32 = 6;
/// Changes nearer than this are one, ms.
const APART_MS: i64 = 1000;
/// Painting its screen is a change, too: one that changes more often than so moves by itself.
const MOVES: u32 = 1;
/// Who polled so often before and after a change only listens.
const LISTENS: u32 = 2;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Distrust {
    /// Of this reader.
    pid: u32,
    strikes: u32,
    /// When a cell last changed without anybody typing.
    moved_ms: Option<TimestampMs>,
    /// So often they did, each time apart from the one before.
    moves: u32,
    /// The longest time between two of them, ms.
    gap_ms: i64,
    /// Who was seen polling at the last look at the kernel's evidence; 0: nobody.
    polls: u32,
    /// Who polled before and after something changed by itself, and how often so.
    listens: (u32, u32),
    /// Something changed since the last look.
    moved: bool,
}

impl Distrust {
    /// A prompt of this reader is over, and nobody had typed anything.
    pub(super) fn went_on(&mut self, pid: u32) {
        if self.pid != pid {
            (self.pid, self.strikes) = (pid, 0);
        }
        self.strikes = (self.strikes + 1).min(STRIKES_MAX);
    }

    /// Somebody typed: what changes now is an answer, and whoever waited did.
    pub(super) fn typed(&mut self) {
        *self = Self::default();
    }

    /// Cells changed at that time.
    pub(super) fn changed(&mut self, at_ms: TimestampMs) {
        let gap_ms = self.moved_ms.map_or(0, |last| at_ms - last);
        if self.moved_ms.is_none() || gap_ms >= APART_MS {
            self.moves = self.moves.saturating_add(1);
            self.gap_ms = self.gap_ms.max(gap_ms);
            self.moved = true;
        }
        self.moved_ms = Some(at_ms);
    }

    /// Who polls the terminal now; 0: nobody. Whoever asks begins to when it asks; who polled also while it wrote
    /// only listens.
    pub(super) fn polls(&mut self, pid: u32) {
        if pid != 0 && self.listens.0 != pid {
            self.listens = (pid, 0);
        }
        if std::mem::take(&mut self.moved) && pid != 0 && self.polls == pid {
            self.listens.1 = self.listens.1.saturating_add(1);
        }
        self.polls = pid;
    }

    /// It was seen to poll while things came and went without anybody typing.
    pub(super) fn listens(&self, pid: u32) -> bool {
        self.listens.0 == pid && self.listens.1 >= LISTENS
    }

    /// How long evidence of this reader must stand that is to stand for `hold_ms`.
    pub(super) fn hold(&self, pid: u32, hold_ms: i64) -> i64 {
        let strikes = if self.pid == pid { self.strikes } else { 0 };
        (hold_ms << strikes).min(HOLD_MAX_MS.max(hold_ms))
    }

    /// The same of a screen that is taken for a prompt only because it is still: where it moved by itself, it must
    /// be still for longer than it ever was.
    pub(super) fn still_hold(&self, hold_ms: i64) -> i64 {
        if self.moves <= MOVES { hold_ms } else { hold_ms.max((2 * self.gap_ms).min(HOLD_MAX_MS)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_went_on_is_believed_later_each_time_until_somebody_types() {
        let mut distrust = Distrust::default();
        assert_eq!(distrust.hold(7, 2500), 2500);
        distrust.went_on(7);
        assert_eq!((distrust.hold(7, 2500), distrust.hold(8, 2500)), (5000, 2500));
        for _ in 0..40 {
            distrust.went_on(7);
        }
        assert_eq!((distrust.hold(7, 2500), distrust.hold(7, 100_000)), (HOLD_MAX_MS, 100_000));
        distrust.typed();
        assert_eq!(distrust.hold(7, 2500), 2500);
    }

    #[test]
    fn who_polls_before_and_after_what_comes_by_itself_listens() {
        let mut distrust = Distrust::default();
        for at_ms in [0, 3000] {
            distrust.polls(7);
            distrust.changed(at_ms);
        }
        assert!(!distrust.listens(7));
        distrust.polls(7);
        assert!(distrust.listens(7) && !distrust.listens(8));
        distrust.typed();
        assert!(!distrust.listens(7));
        // One that asks now and then does not poll while it writes.
        for at_ms in [0, 3000, 6000, 9000] {
            distrust.polls(0);
            distrust.changed(at_ms);
            distrust.polls(7);
        }
        assert!(!distrust.listens(7));
    }

    #[test]
    fn what_moves_by_itself_must_be_still_for_longer_than_it_was() {
        let mut distrust = Distrust::default();
        // One paints its screen in several steps.
        for at_ms in [0, 200, 400, 1600] {
            distrust.changed(at_ms);
        }
        assert_eq!(distrust.still_hold(5000), 5000);
        distrust.changed(9600);
        assert_eq!(distrust.still_hold(5000), 16_000);
    }
}
