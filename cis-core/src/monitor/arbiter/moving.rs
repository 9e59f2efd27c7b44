//! Which rows above a prompt change by themselves again and again, so that nobody could decide by what they show.

use crate::ids::TimestampMs;
use crate::monitor::screen::Above;

/// Changes of a row that follow each other within this time are of something that moves, ms. A program that gives
/// people a command to decide about leaves it there for longer.
const APART_MS: i64 = 2000;
/// So many of them make a row that moves.
const CHANGES: u32 = 3;
/// The same of a row in which only numbers change.
const COUNTS: u32 = 2;
/// A row that has not changed for so long counts again, ms.
const RESTS_MS: i64 = 5000;

/// One row.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    changes: u32,
    /// Of those, how many changed no more than numbers.
    counts: u32,
    changed_ms: TimestampMs,
    /// It changed often enough, and at that time last.
    moves: bool,
}

/// The rows above the present prompt over time.
#[derive(Debug, Default)]
pub(super) struct Moving {
    /// Of the prompt with this hash.
    hash: String,
    last: Above,
    rows: Vec<Row>,
}

impl Moving {
    /// Takes what stands above the prompt of that hash. Gives whether a row changed that does not move by itself.
    pub(super) fn look(&mut self, hash: &str, above: Above, now: TimestampMs) -> bool {
        self.pass(now);
        if self.hash != hash || self.last.size() != above.size() {
            let known = self.hash == hash;
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
                changed |= !row.moves;
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
        self.rows.iter().filter(|row| row.moves).map(|row| row.changed_ms + RESTS_MS).min()
    }

    /// Somebody typed: what changes then is an answer.
    pub(super) fn typed(&mut self) {
        self.rows.clear();
    }

    /// Whether the row at that distance above the prompt of that hash moves by itself.
    pub(super) fn moves(&self, hash: &str, at: usize) -> bool {
        self.hash == hash && self.rows.get(at).is_some_and(|row| row.moves)
    }
}

impl Row {
    fn change(&mut self, numbers: bool, now: TimestampMs) {
        if now - self.changed_ms > APART_MS {
            (self.changes, self.counts) = (0, 0);
        }
        self.changes += 1;
        self.counts = if numbers { self.counts + 1 } else { 0 };
        self.changed_ms = now;
        self.moves |= self.changes >= CHANGES || self.counts >= COUNTS;
    }
}

/// Both are the same but for their digits.
fn numbers_only(old: &str, new: &str) -> bool {
    let words = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    words(old) == words(new)
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
            assert!(!moving.moves("h", 0));
        }
        assert!(!moving.look("h", rows("d"), 2500));
        assert!(moving.moves("h", 0) && !moving.moves("h", 1) && !moving.moves("other", 0));
        assert_eq!(moving.rests_ms(), Some(7500));
        moving.pass(7500);
        assert!(!moving.moves("h", 0));
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
    }
}
