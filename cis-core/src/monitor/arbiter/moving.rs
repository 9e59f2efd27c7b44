//! Which rows above a prompt change by themselves again and again, so that nobody could decide by what they show.

use crate::ids::TimestampMs;
use crate::monitor::screen::Above;

/// Changes of a row that follow each other within this time are of something that moves, ms. A program that gives
/// people a command to decide about leaves it there for longer.
const APART_MS: i64 = 2000;
/// So many of them make a row that moves.
const CHANGES: u32 = 3;
/// The same of a row in which only numbers change: its words still count.
const COUNTS: u32 = 2;
/// A row that has not changed for so long counts again, ms.
const RESTS_MS: i64 = 5000;

/// Before something else above makes another prompt, ms: it may turn out to move by itself. After so many it doubles with
/// each.
const HOLD_MS: i64 = 1000;
const HOLDS_SHORT: u32 = 5;
const HOLD_MS_MAX: i64 = 30_000;

/// One row.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    changes: u32,
    /// Of those, how many changed no more than numbers.
    counts: u32,
    changed_ms: TimestampMs,
    /// What it does since it changed often enough.
    motion: Motion,
}

/// How a row changes by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Motion {
    #[default]
    Rests,
    /// Numbers in it run.
    Counts,
    /// All of it changes.
    Moves,
}

/// The rows above the present prompt over time.
#[derive(Debug, Default)]
pub(super) struct Moving {
    /// Of the prompt with this hash.
    hash: String,
    last: Above,
    rows: Vec<Row>,
    /// Prompts in a row that something else above them made, without an answer between.
    others: u32,
}

impl Moving {
    /// Takes what stands above the prompt of that hash. Gives whether a row changed that does not move by itself.
    pub(super) fn look(&mut self, hash: &str, above: Above, now: TimestampMs) -> bool {
        self.pass(now);
        if self.hash != hash || self.last.size() != above.size() {
            let known = self.hash == hash;
            if !known {
                self.others = 0;
            }
            (self.hash, self.last, self.rows) = (hash.to_owned(), above, Vec::new());
            return !known;
        }
        let (old, new) = (self.last.rows(), above.rows());
        self.rows.resize(old.len().max(new.len()), Row::default());
        let mut changed = false;
        for (at, row) in self.rows.iter_mut().enumerate() {
            let (old, new) = (old.get(at).map_or("", String::as_str), new.get(at).map_or("", String::as_str));
            if old != new {
                row.change(numbers_only(old, new), now);
                changed |= row.motion == Motion::Rests;
            }
        }
        self.last = above;
        changed
    }

    /// What stood above the prompt of that hash at the last look.
    pub(super) fn above(&self, hash: &str) -> Option<&Above> {
        (self.hash == hash).then_some(&self.last)
    }

    /// Time passes.
    pub(super) fn pass(&mut self, now: TimestampMs) {
        for row in self.rows.iter_mut().filter(|row| now - row.changed_ms >= RESTS_MS) {
            *row = Row::default();
        }
    }

    /// When the next row that moves will have rested, if it does.
    pub(super) fn rests_ms(&self) -> Option<TimestampMs> {
        let moving = self.rows.iter().filter(|row| row.motion != Motion::Rests);
        moving.map(|row| row.changed_ms + RESTS_MS).min()
    }

    /// Somebody typed: what changes then is an answer.
    pub(super) fn typed(&mut self) {
        self.rows.clear();
        self.others = 0;
    }

    /// What changed above the prompt made it another one.
    pub(super) fn is_another(&mut self) {
        self.others = self.others.saturating_add(1);
    }

    /// How long rows that changed must stay before they make another prompt, ms: people are told of each.
    pub(super) fn hold_ms(&self) -> i64 {
        (HOLD_MS << self.others.saturating_sub(HOLDS_SHORT).min(6)).min(HOLD_MS_MAX)
    }

    /// Whether the row at that distance above the prompt of that hash only moved by itself from `was` to `is`.
    pub(super) fn is_alike(&self, hash: &str, at: usize, was: &str, is: &str) -> bool {
        match self.motion(hash, at) {
            Motion::Rests => false,
            Motion::Counts => numbers_only(was, is),
            Motion::Moves => true,
        }
    }

    /// A row without what moves in it.
    pub(super) fn steady(&self, hash: &str, at: usize, row: &str) -> String {
        match self.motion(hash, at) {
            Motion::Rests => row.to_owned(),
            Motion::Counts => words(row),
            Motion::Moves => String::new(),
        }
    }

    fn motion(&self, hash: &str, at: usize) -> Motion {
        let row = self.rows.get(at).filter(|_| self.hash == hash);
        row.map_or(Motion::Rests, |row| row.motion)
    }
}

impl Row {
    fn change(&mut self, numbers: bool, now: TimestampMs) {
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

    fn above(text: &str) -> Above {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let reach = Reach { row: lines.len(), rows: 30, boxed: None };
        Above::of(&Page::of(ScreenView { lines, cols: 80, ..ScreenView::default() }), reach)
    }

    #[test]
    fn rows_move_that_change_often_until_they_rest() {
        let mut moving = Moving::default();
        let rows = |word: &str| above(&format!("ls /tmp\n{word}"));
        moving.look("h", rows("a"), 0);
        for (word, now) in [("b", 500), ("c", 1500)] {
            assert!(moving.look("h", rows(word), now));
            assert!(!moving.is_alike("h", 0, "a", word));
        }
        assert!(!moving.look("h", rows("d"), 2500));
        let alike = |hash, at| moving.is_alike(hash, at, "a", "b");
        assert!(alike("h", 0) && !alike("h", 1) && !alike("other", 0));
        assert_eq!(moving.rests_ms(), Some(7500));
        moving.pass(7500);
        assert!(!moving.is_alike("h", 0, "a", "b"));
        // Slowly is not often.
        for turn in 0..10 {
            assert!(moving.look("h", rows(&format!("w{}", "x".repeat(turn))), 10_000 + 2500 * turn as i64));
        }
    }

    #[test]
    fn rows_in_which_numbers_run_move_earlier() {
        let mut moving = Moving::default();
        moving.look("h", above("at 1"), 0);
        assert!(moving.look("h", above("at 2"), 500));
        assert!(!moving.look("h", above("at 3"), 1000));
        assert!(moving.is_alike("h", 0, "at 1", "at 9") && !moving.is_alike("h", 0, "at 1", "in 9"));
        assert!(moving.look("h", above("in 4"), 1500), "its words count");
    }
}
