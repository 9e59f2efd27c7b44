//! Which rows above a prompt, or below it, change by themselves again and again, so that nobody could decide by what they show.

use std::mem::replace;

use crate::ids::TimestampMs;
use crate::monitor::screen::{Above, At, Shown};

/// Changes of a row that follow each other within this time are of something that moves, ms. A program that gives
/// people a command to decide about leaves it there for longer.
const APART_MS: i64 = 2000;
/// So many of them make a row that moves.
const CHANGES: u32 = 3;
/// The same of a row in which only numbers change: its words still count.
const COUNTS: u32 = 2;
/// A row that has not changed for so long counts again, ms.
const RESTS_MS: i64 = 5000;
/// A row that changed so often, each time within this time, ms, moves slowly: a clock that shows minutes, a log. It is hidden from
/// people, so that not every answer is refused.
const SLOW_CHANGES: u32 = 4;
const SLOW_MS: i64 = 90_000;

/// Before something else above makes another prompt, ms: it may turn out to move by itself. After so many it doubles with
/// each.
const HOLD_MS: i64 = 1000;
const HOLDS_SHORT: u32 = 5;
const HOLD_MS_MAX: i64 = 30_000;
/// The same right after the raise of a prompt above which rows had moved: a row that moves fast is known as such by then.
const HOLD_MOVED_MS: i64 = (CHANGES as i64 - 1) * APART_MS;

/// One row.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    changes: u32,
    /// Of those, how many changed no more than numbers.
    counts: u32,
    changed_ms: TimestampMs,
    /// What it does since it changed often enough.
    motion: Motion,
    /// Changes that followed each other within [`SLOW_MS`].
    slow: u32,
    /// Of those, how many changed no more than numbers.
    slow_counts: u32,
}

/// Rows by their distance from the prompt.
#[derive(Debug, Clone, Default)]
struct Rows(Vec<Row>);

/// How a row changes by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Motion {
    #[default]
    Rests,
    /// Numbers in it run.
    Counts,
    /// All of it changes.
    Moves,
}

/// The rows above and below the present prompt over time.
#[derive(Debug, Clone, Default)]
pub(super) struct Moving {
    /// Of the prompt with this hash.
    hash: String,
    last: Above,
    last_shown: Shown,
    /// Without what moves by its look: whether the prompt is the same.
    above: Rows,
    /// The same rows as people see them: what is hidden.
    shown: Rows,
    below: Rows,
    /// Prompts in a row that something else above them made, without an answer between.
    others: u32,
    /// No prompt of that hash was raised yet.
    is_expected: bool,
    /// Rows above the prompt moved before its raise: what differs before this time is held longer.
    moved_until: TimestampMs,
}

impl Moving {
    /// Takes what stands above the prompt of that hash, and all that is shown with it. Gives whether a row above changed that
    /// does not move by itself.
    pub(super) fn look(&mut self, hash: &str, above: Above, shown: Shown, now: TimestampMs) -> bool {
        self.pass(now);
        let known = self.hash == hash;
        let (was, was_shown) = (replace(&mut self.last, above), replace(&mut self.last_shown, shown));
        if !known || was.size() != self.last.size() {
            if !known {
                (self.others, self.is_expected, self.moved_until) = Default::default();
            }
            self.hash = hash.to_owned();
            (self.above, self.shown, self.below) = Default::default();
            return !known;
        }
        self.shown.look(was_shown.above(), self.last_shown.above(), now);
        self.below.look(was_shown.below(), self.last_shown.below(), now);
        self.above.look(was.rows(), self.last.rows(), now)
    }

    /// Takes the same of a question that is not raised yet.
    pub(super) fn expect(&mut self, hash: &str, above: Above, shown: Shown, now: TimestampMs) -> bool {
        let changed = self.look(hash, above, shown, now);
        self.is_expected = true;
        changed
    }

    /// The prompt that was looked at last is raised. Motion that was seen before is discarded, as a command that was written in pieces would
    /// be hidden otherwise.
    pub(super) fn begins(&mut self, now: TimestampMs) {
        if self.is_expected {
            let moved = self.above.0.iter().any(|row| row.slow > 1);
            self.moved_until = if moved { now + HOLD_MOVED_MS } else { 0 };
            (self.above, self.shown, self.below) = Default::default();
            self.is_expected = false;
        }
    }

    /// An answer to the prompt was refused: somebody is there, and what stands there now is of interest at once.
    pub(super) fn refused(&mut self) {
        self.moved_until = 0;
    }

    /// What stood above the prompt of that hash at the last look.
    pub(super) fn above(&self, hash: &str) -> Option<&Above> {
        (self.hash == hash).then_some(&self.last)
    }

    /// What stands on the screen from the first row of the prompt of that hash on.
    pub(super) fn below(&self, hash: &str) -> Option<&[String]> {
        (self.hash == hash).then(|| self.last_shown.below())
    }

    /// Time passes.
    pub(super) fn pass(&mut self, now: TimestampMs) {
        self.above.pass(now);
        self.shown.pass(now);
        self.below.pass(now);
    }

    /// When the next row that moves will have rested, if it does.
    pub(super) fn rests_ms(&self) -> Option<TimestampMs> {
        let moving = self.above.0.iter().filter(|row| row.motion != Motion::Rests);
        moving.map(|row| row.changed_ms + RESTS_MS).min()
    }

    /// Somebody typed: what changes then is an answer.
    pub(super) fn typed(&mut self) {
        (self.above, self.shown, self.below) = Default::default();
        (self.others, self.moved_until) = Default::default();
    }

    /// Whether that row of what is shown with the prompt of that hash changed lately, and not only once.
    pub(super) fn goes_on(&self, hash: &str, at: At) -> bool {
        let row = match at {
            At::Above(at) => self.shown.0.get(at),
            At::Below(at) => self.below.0.get(at),
        };
        row.filter(|_| self.hash == hash).is_some_and(|row| row.slow > 1)
    }

    /// The prompt is gone: what the next one shows says nothing of what moves by itself.
    pub(super) fn forget(&mut self) {
        self.hash.clear();
    }

    /// What changed above the prompt made it another one.
    pub(super) fn is_another(&mut self) {
        self.others = self.others.saturating_add(1);
    }

    /// How long rows that differ since then must do so before they make another prompt, ms: people are told of each.
    pub(super) fn hold_ms(&self, since: TimestampMs) -> i64 {
        if since < self.moved_until && self.others == 0 {
            return HOLD_MOVED_MS;
        }
        (HOLD_MS << self.others.saturating_sub(HOLDS_SHORT).min(6)).min(HOLD_MS_MAX)
    }

    /// Whether the row at that distance above the prompt of that hash only moved by itself from `was` to `is`.
    pub(super) fn is_alike(&self, hash: &str, at: usize, was: &str, is: &str) -> bool {
        self.motion(hash, at).explains(was, is)
    }

    /// How the rows that are shown with the prompt of that hash move at this moment: of those that have not moved for a while,
    /// nothing is known.
    pub(super) fn motions(&self, hash: &str, now: TimestampMs) -> Motions {
        if self.hash == hash {
            Motions { above: self.shown.motions(now), below: self.below.motions(now) }
        } else {
            Motions::default()
        }
    }

    fn motion(&self, hash: &str, at: usize) -> Motion {
        let row = self.above.0.get(at).filter(|_| self.hash == hash);
        row.map_or(Motion::Rests, |row| row.motion)
    }
}

/// How rows move at a moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Motions {
    above: Vec<Motion>,
    below: Vec<Motion>,
}

impl Motions {
    /// What of a row is compared, where that is not all of it.
    pub(super) fn still(&self, at: At, row: &str) -> Option<String> {
        match self.at(at) {
            Motion::Rests => None,
            Motion::Counts => Some(row.replace(|c: char| c.is_ascii_digit(), "·")),
            Motion::Moves => Some("… (changes by itself: `cis dag attach` shows it)".to_owned()),
        }
    }

    /// Whether any row moved.
    pub(super) fn any(&self) -> bool {
        self.above.iter().chain(&self.below).any(|motion| *motion != Motion::Rests)
    }

    pub(super) fn at(&self, at: At) -> Motion {
        let motion = match at {
            At::Above(at) => self.above.get(at),
            At::Below(at) => self.below.get(at),
        };
        motion.copied().unwrap_or_default()
    }
}

impl Rows {
    /// Gives whether a row changed that does not move by itself.
    fn look(&mut self, was: &[String], is: &[String], now: TimestampMs) -> bool {
        self.0.resize(was.len().max(is.len()), Row::default());
        let mut changed = false;
        for (at, row) in self.0.iter_mut().enumerate() {
            let (was, is) = (was.get(at).map_or("", String::as_str), is.get(at).map_or("", String::as_str));
            if was != is {
                row.change(numbers_only(was, is), now);
                changed |= row.motion == Motion::Rests;
            }
        }
        changed
    }

    fn pass(&mut self, now: TimestampMs) {
        for row in self.0.iter_mut().filter(|row| now - row.changed_ms >= RESTS_MS) {
            (row.changes, row.counts, row.motion) = Default::default();
            if now - row.changed_ms >= SLOW_MS {
                *row = Row::default();
            }
        }
    }

    /// A row that changed once, and is next to one that moves, moves with it: a log that still fills the screen comes to ever new rows.
    fn motions(&self, now: TimestampMs) -> Vec<Motion> {
        let mut next = Motion::Rests;
        let motion = |row: &Row| {
            let own = row.motion_at(now);
            next = if own == Motion::Rests && row.slow > 0 && next == Motion::Moves { next } else { own };
            next
        };
        self.0.iter().map(motion).collect()
    }
}

impl Motion {
    /// Whether a row that moves so may show the one text and then the other.
    pub(super) fn explains(self, was: &str, is: &str) -> bool {
        match self {
            Self::Rests => false,
            Self::Counts => numbers_only(was, is),
            Self::Moves => true,
        }
    }
}

impl Row {
    fn motion_at(&self, now: TimestampMs) -> Motion {
        match self.motion {
            _ if self.is_slow() && self.slow == self.slow_counts => Motion::Counts,
            _ if self.is_slow() => Motion::Moves,
            motion if now - self.changed_ms <= APART_MS => motion,
            _ => Motion::Rests,
        }
    }

    fn is_slow(&self) -> bool {
        self.slow >= SLOW_CHANGES
    }

    fn change(&mut self, numbers: bool, now: TimestampMs) {
        if now - self.changed_ms >= SLOW_MS {
            (self.slow, self.slow_counts) = (0, 0);
        }
        self.slow += 1;
        self.slow_counts += u32::from(numbers);
        if now - self.changed_ms > APART_MS {
            (self.changes, self.counts) = (0, 0);
        }
        match (self.motion, numbers) {
            // Other words in a row that counted are something else.
            (Motion::Counts, false) => (self.changes, self.counts, self.motion) = (1, 0, Motion::Rests),
            (_, true) => self.counts += 1,
            (_, false) => (self.changes, self.counts) = (self.changes + 1, 0),
        }
        self.changed_ms = now;
        if self.changes >= CHANGES {
            self.motion = Motion::Moves;
        } else if self.counts >= COUNTS {
            self.motion = Motion::Counts;
        }
    }
}

/// Both are the same but for their digits.
fn numbers_only(old: &str, new: &str) -> bool {
    words(old) == words(new)
}

fn words(row: &str) -> String {
    row.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::ScreenView;
    use crate::monitor::screen::{Page, Reach};

    /// What stands above a prompt, and what stands below it.
    fn screen(above: &str, below: &str) -> (Above, Shown) {
        let row = above.lines().count();
        let lines = above.lines().chain(below.lines()).map(str::to_owned).collect();
        let page = Page::of(ScreenView { lines, cols: 80, ..ScreenView::default() });
        let reach = Reach { row, rows: 30, boxed: None };
        (Above::of(&page, reach), Shown::of(&page, reach))
    }

    impl Moving {
        fn sees(&mut self, above: &str, below: &str, now: TimestampMs) -> bool {
            let (above, shown) = screen(above, below);
            self.look("h", above, shown, now)
        }
    }

    #[test]
    fn rows_move_that_change_often_until_they_rest() {
        let mut moving = Moving::default();
        let rows = |word: &str| format!("ls /tmp\n{word}");
        moving.sees(&rows("a"), "", 0);
        for (word, now) in [("b", 500), ("c", 1500)] {
            assert!(moving.sees(&rows(word), "", now));
            assert!(!moving.is_alike("h", 0, "a", word));
        }
        assert!(!moving.sees(&rows("d"), "", 2500));
        let alike = |hash, at| moving.is_alike(hash, at, "a", "b");
        assert!(alike("h", 0) && !alike("h", 1) && !alike("other", 0));
        assert_eq!(moving.rests_ms(), Some(7500));
        moving.pass(7500);
        assert!(!moving.is_alike("h", 0, "a", "b"));
        // Slowly is not often.
        for turn in 0..10 {
            assert!(moving.sees(&rows(&format!("w{}", "x".repeat(turn))), "", 10_000 + 2500 * turn as i64));
        }
    }

    #[test]
    fn motion_before_the_raise_hides_nothing() {
        let mut moving = Moving::default();
        for (log, now) in [("a", 0), ("b", 500), ("c", 1000)] {
            let (above, shown) = screen(&format!("\nLog {log}"), "Run it?");
            moving.expect("h", above, shown, now);
        }
        // The command came after the last look.
        moving.sees("rm -r /\nLog d", "Run it?", 2000);
        moving.begins(2000);
        assert_eq!((moving.hold_ms(5999), moving.hold_ms(6000)), (HOLD_MOVED_MS, HOLD_MS));
        for (log, now) in [("e", 2500), ("f", 3000), ("g", 3500)] {
            moving.sees(&format!("rm -r /\nLog {log}"), "Run it?", now);
        }
        let motions = moving.motions("h", 3500);
        assert_eq!((motions.at(At::Above(0)), motions.at(At::Above(1))), (Motion::Moves, Motion::Rests));
        moving.refused();
        assert_eq!(moving.hold_ms(3500), HOLD_MS);
    }

    #[test]
    fn rows_in_which_numbers_run_move_earlier() {
        let mut moving = Moving::default();
        moving.sees("at 1", "", 0);
        assert!(moving.sees("at 2", "", 500));
        assert!(!moving.sees("at 3", "", 1000));
        assert!(moving.is_alike("h", 0, "at 1", "at 9") && !moving.is_alike("h", 0, "at 1", "in 9"));
        assert!(moving.sees("in 4", "", 1500), "its words count");
    }

    #[test]
    fn what_moves_is_said_while_it_moves() {
        let mut moving = Moving::default();
        for (turn, word) in ["a", "b", "c", "d"].into_iter().enumerate() {
            moving.sees("ls", &format!("Go on?\n{word}"), 1000 * turn as i64);
        }
        let below = |hash, now| moving.motions(hash, now).at(At::Below(1));
        assert_eq!((below("h", 3000), below("h", 5000)), (Motion::Moves, Motion::Moves));
        assert_eq!((below("h", 5001), below("other", 3000)), (Motion::Rests, Motion::Rests));
        let motions = moving.motions("h", 3000);
        assert_eq!((motions.at(At::Below(0)), motions.at(At::Above(0))), (Motion::Rests, Motion::Rests));
    }
}
