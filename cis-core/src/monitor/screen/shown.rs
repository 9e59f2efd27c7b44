//! The screen as people were shown it with a prompt, compared with what stands there when their answer is typed. Stricter than
//! [`Above`](super::Above), which says whether the prompt is still the same: where in doubt, nothing is typed.

use std::sync::LazyLock;

use regex::Regex;

use super::above::Reach;
use super::noise::exact;
use super::rows::unboxed;
use super::{Page, pattern};

/// A time of day, or how long something takes: with seconds, since nothing else runs visibly.
static TIMES: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"\b\d{1,2}:\d{2}(?::\d{2})?\b",
        r"|\b(?:\d+\s?(?:h|hours?)\s?)?(?:\d+\s?(?:m|mins?|minutes?)\s?)?\d+(?:\.\d+)?\s?(?:s|secs?|seconds?)\b",
    ))
});
static NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"\d+(?:\.\d+)?"));

/// Times are shown so much too early or too late, s.
const SLACK_S: f64 = 2.0;

/// What a prompt's screen shows above it and from its first row on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::monitor) struct Shown {
    /// The lowest first.
    above: Vec<String>,
    /// The highest first.
    below: Vec<String>,
    /// Columns and rows of the screen.
    size: (u16, usize),
    /// What was above them may have scrolled away.
    is_cut: bool,
}

/// A row of what is shown: so many rows above the prompt's first row, or below the highest of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::monitor) enum At {
    Above(usize),
    Below(usize),
}

impl Shown {
    pub(in crate::monitor) fn of(page: &Page, reach: Reach) -> Self {
        let lines = &page.view.lines;
        let above = reach.range(page);
        let below = above.end..page.end().max(above.end);
        Self {
            above: lines[above.clone()].iter().rev().map(|line| exact(unboxed(line))).collect(),
            below: lines[below].iter().map(|line| exact(unboxed(line))).collect(),
            size: (page.view.cols, lines.len()),
            is_cut: reach.is_cut(page),
        }
    }

    /// The rows from the prompt's first one on, the highest first.
    pub(in crate::monitor) fn below(&self) -> &[String] {
        &self.below
    }

    /// Whether people would see the same there, `elapsed_ms` later. `moved`: whether the row is one that was seen to move by
    /// itself when it was shown.
    pub(in crate::monitor) fn is_same(
        &self,
        now: &Self,
        elapsed_ms: i64,
        moved: impl Fn(At, &str, &str) -> bool,
    ) -> bool {
        if self.size != now.size {
            return self.is_same_at_another_size(now);
        }
        let same = |at, was: &str, is: &str| was == is || ticked(was, is, elapsed_ms) || moved(at, was, is);
        let cut = now.is_cut && now.above.len() < self.above.len();
        let above = if cut { now.above.len() } else { self.above.len().max(now.above.len()) };
        let below = self.below.len().max(now.below.len());
        (0..above).all(|at| same(At::Above(at), row(&self.above, at), row(&now.above, at)))
            && (0..below).all(|at| same(At::Below(at), row(&self.below, at), row(&now.below, at)))
    }

    /// A terminal of another size wraps the rows elsewhere, and shows more or fewer of them.
    fn is_same_at_another_size(&self, now: &Self) -> bool {
        let above = |shown: &Self| text(shown.above.iter().rev());
        let (was, is) = (above(self), above(now));
        let one_ends_as_the_other = was.ends_with(&is) || is.ends_with(&was);
        one_ends_as_the_other && text(self.below.iter()) == text(now.below.iter())
    }
}

fn row(rows: &[String], at: usize) -> &str {
    rows.get(at).map_or("", String::as_str)
}

/// All of it without blanks.
fn text<'a>(rows: impl Iterator<Item = &'a String>) -> String {
    rows.flat_map(|row| row.split_whitespace()).collect()
}

/// The rows differ in nothing but times that went on as the clock did.
fn ticked(was: &str, is: &str, elapsed_ms: i64) -> bool {
    let (was_times, is_times): (Vec<_>, Vec<_>) =
        (TIMES.find_iter(was).collect(), TIMES.find_iter(is).collect());
    if was_times.is_empty() || was_times.len() != is_times.len() || !TIMES.split(was).eq(TIMES.split(is)) {
        return false;
    }
    let elapsed = elapsed_ms as f64 / 1000.0;
    was_times.iter().zip(is_times).all(|(was, is)| {
        let (was, is) = (was.as_str(), is.as_str());
        was == is || went_on(was, is, elapsed)
    })
}

fn went_on(was: &str, is: &str, elapsed: f64) -> bool {
    let by = (seconds(is) - seconds(was)).abs();
    let minutes = was.matches(':').count() == 1 && is.matches(':').count() == 1;
    (by - elapsed).abs() <= SLACK_S || (minutes && (by * 60.0 - elapsed).abs() <= 60.0)
}

/// The parts of a time are sixty of the next one each.
fn seconds(time: &str) -> f64 {
    let parts = NUMBER.find_iter(time).filter_map(|part| part.as_str().parse::<f64>().ok());
    let units = time.contains(['h', 'H']) && !time.contains(['m', 'M']);
    parts.fold(0.0, |sum, part| sum * if units { 3600.0 } else { 60.0 } + part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::ScreenView;

    fn shown(text: &str, row: usize) -> Shown {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let view = ScreenView { lines, cols: 80, ..ScreenView::default() };
        Shown::of(&Page::of(view), Reach { row, rows: 30, boxed: None })
    }

    fn is_same(was: &str, is: &str, elapsed_ms: i64) -> bool {
        shown(was, 1).is_same(&shown(is, 1), elapsed_ms, |_, _, _| false)
    }

    #[test]
    fn only_what_moves_with_time_may_differ() {
        for (was, is, ms) in [
            ("ls\nGo on?", "ls\nGo on?", 60_000),
            ("⠋ Running\nGo on?", "⠙ Running\nGo on?", 100),
            ("Waiting.\nGo on?", "Waiting...\nGo on?", 100),
            ("Waits (58s)\nGo on?", "Waits (1m 3s)\nGo on?", 5000),
            ("Waits (59m 58s)\nGo on?", "Waits (1h 0m 3s)\nGo on?", 5000),
            ("It is 12:59:58\nGo on?", "It is 13:00:03\nGo on?", 5000),
            ("It is 12:30\nGo on?", "It is 12:31\nGo on?", 5000),
            ("Go on in 30 seconds\nGo on?", "Go on in 20 seconds\nGo on?", 10_000),
            ("Read 3 of it (1.2k tokens)\nGo on?", "Read 3 of it (14k tokens)\nGo on?", 5000),
            ("[##   ] 12 %\nGo on?", "[#### ] 48 %\nGo on?", 5000),
            ("██▏ 10/50\nGo on?", "████ 40/50\nGo on?", 5000),
            ("Run it?\nGo on?", "Run it? (Tab to see more)\nGo on?", 5000),
            ("ls\nGo on?", "ls\nGo on?\n       ✻", 5000),
            ("│ ls │\nGo on?", "│ ls   │\nGo on?", 100),
        ] {
            assert!(is_same(was, is, ms), "{was:?} {is:?}");
        }
        for (was, is) in [
            ("rm -r ../..\nGo on?", "rm -r ..\nGo on?"),
            ("rm a\nGo on?", "rm a  ##\nGo on?"),
            ("⠋ ls\nGo on?", "⠋ rm\nGo on?"),
            ("○ all\nGo on?", "● all\nGo on?"),
            ("rm --older 30m\nGo on?", "rm --older 3m\nGo on?"),
            ("sleep 60s\nGo on?", "sleep 600s\nGo on?"),
            ("rm 10 %\nGo on?", "rm 100 %\nGo on?"),
            ("step 1\nGo on?", "step 2\nGo on?"),
            ("ls\nGo on?\nls a", "ls\nGo on?\nrm a"),
            ("ls\nGo on?", "ls\nGo on?\nas root"),
            ("ls\nGo on? > yes", "ls\nGo on?   no"),
        ] {
            assert!(!is_same(was, is, 5000) && !is_same(is, was, 5000), "{was:?} {is:?}");
        }
    }

    #[test]
    fn another_size_wraps_rows() {
        let at = |cols, text: &str, row| {
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let view = ScreenView { lines, cols, ..ScreenView::default() };
            Shown::of(&Page::of(view), Reach { row, rows: 30, boxed: None })
        };
        let wide = at(80, "a b\nls /tmp /home\nGo on? [y/N]", 2);
        let same = |now: &Shown| wide.is_same(now, 0, |_, _, _| false);
        assert!(same(&at(10, "ls /tmp\n/home\nGo on?\n[y/N]", 2)));
        assert!(!same(&at(10, "ls /tmp\n/etc\nGo on?\n[y/N]", 2)));
        assert!(!same(&at(10, "ls /tmp\n/home\nGo on?\n[y/N] rm", 2)));
    }
}
