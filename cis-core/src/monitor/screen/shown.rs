//! The screen as people were shown it with a prompt, compared with what stands there when their answer is typed. Stricter than
//! [`Above`](super::Above), which says whether the prompt is still the same: where in doubt, nothing is typed.

use std::sync::LazyLock;

use regex::Regex;

use super::above::Reach;
use super::noise::{TIMES, is_braille};
use super::page::fingerprint;
use super::{Page, pattern};

static NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"\d+(?:\.\d+)?"));
/// What some programs write behind a row after a while.
static HINT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)\s*\((?:tab|esc|ctrl[-+ ]\w) to (?:focus|expand|collapse|interrupt)\)(\s*[│┃║|]?)$")
});

/// What stands for any spinner.
const SPINNER: char = '⠿';
/// Times are shown so much too early or too late, s.
const SLACK_S: f64 = 1.5;

/// What a prompt's screen shows above it and from its first row on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::monitor) struct Shown {
    /// The lowest first.
    above: Vec<String>,
    /// The highest first.
    below: Vec<String>,
    /// Columns of the screen.
    cols: u16,
    /// The prompt's first row on the screen.
    row: usize,
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
            above: lines[above.clone()].iter().rev().map(|line| exact(line)).collect(),
            below: lines[below].iter().map(|line| exact(line)).collect(),
            cols: page.view.cols,
            row: above.end,
        }
    }

    /// The rows above it, the lowest first.
    pub(in crate::monitor) fn above(&self) -> &[String] {
        &self.above
    }

    /// The row itself; of one above the highest that is shown, that one: a log that still fills the screen comes to rows that were
    /// not there yet.
    pub(in crate::monitor) fn nearest(&self, at: At) -> At {
        match at {
            At::Above(at) => At::Above(at.min(self.above.len().saturating_sub(1))),
            At::Below(_) => at,
        }
    }

    /// The rows from the prompt's first one on, the highest first.
    pub(in crate::monitor) fn below(&self) -> &[String] {
        &self.below
    }

    /// The rows of this screen as people are to see them: none above those that are compared, and of others without what is not. `still`:
    /// what of a row is compared.
    pub(in crate::monitor) fn mask(
        &self,
        rows: &mut Vec<String>,
        still: impl Fn(At, &str) -> Option<String>,
    ) {
        for (at, text) in rows.iter_mut().enumerate().skip(self.row - self.above.len()) {
            let place = if at < self.row { At::Above(self.row - 1 - at) } else { At::Below(at - self.row) };
            if let Some(still) = still(place, text) {
                *text = still;
            }
        }
        rows.drain(..(self.row - self.above.len()).min(rows.len()));
    }

    /// Whether people would see the same there, `elapsed_ms` later. `moved`: whether the row is one that was seen to move by
    /// itself when it was shown. `typed`: somebody typed in this row, counted from the prompt's first one.
    pub(in crate::monitor) fn is_same(
        &self,
        now: &Self,
        elapsed_ms: i64,
        typed: Option<usize>,
        moved: impl Fn(At, &str, &str) -> bool,
    ) -> bool {
        let same = |at, was: &str, is: &str| was == is || ticked(was, is, elapsed_ms) || moved(at, was, is);
        let mut below = (0..self.below.len().max(now.below.len())).filter(|at| typed != Some(*at));
        below.all(|at| same(At::Below(at), row(&self.below, at), row(&now.below, at)))
            && self.is_same_above(now, elapsed_ms, &moved)
    }

    /// The same of the rows above it alone.
    pub(in crate::monitor) fn is_same_above(
        &self,
        now: &Self,
        elapsed_ms: i64,
        moved: impl Fn(At, &str, &str) -> bool,
    ) -> bool {
        let same = |at, was: &str, is: &str| was == is || ticked(was, is, elapsed_ms) || moved(at, was, is);
        let above = self.above.len().max(now.above.len());
        let mut above = (0..above).map(|at| (At::Above(at), row(&self.above, at), row(&now.above, at)));
        self.cols == now.cols && above.all(|(at, was, is)| same(at, was, is))
    }

    /// The hash of a prompt on this screen, of which `hash` is the hash without it. `still`: what of a row is compared, where that is not
    /// all of it.
    pub(in crate::monitor) fn hash(&self, hash: &str, still: impl Fn(At, &str) -> Option<String>) -> String {
        let above = self.above.iter().enumerate().map(|(at, row)| (At::Above(at), row));
        let below = self.below.iter().enumerate().map(|(at, row)| (At::Below(at), row));
        let rows = above.chain(below).map(|(at, row)| still(at, row).unwrap_or_else(|| row.clone()));
        let rows: Vec<String> = rows.collect();
        let above = self.above.len().to_string();
        fingerprint([hash, &above].into_iter().chain(rows.iter().map(String::as_str)))
    }
}

fn row(rows: &[String], at: usize) -> &str {
    rows.get(at).map_or("", String::as_str)
}

/// A row as it is, but for spinners that can be nothing else, and what is written behind it after a while.
fn exact(line: &str) -> String {
    let line = if line.contains(is_braille) { unspun(line) } else { line.to_owned() };
    let line = if line.contains('(') { HINT.replace(&line, "$1").into_owned() } else { line };
    line.trim_end().to_owned()
}

/// A row with the same sign for any spinner: a braille sign of one cell. Several side by side are braille writing, or a graph.
fn unspun(line: &str) -> String {
    let cells: Vec<char> = line.chars().collect();
    let dots = |at: Option<usize>| at.and_then(|at| cells.get(at)).is_some_and(|c| is_braille(*c));
    let is_spinner = |at: usize| dots(Some(at)) && !dots(at.checked_sub(1)) && !dots(Some(at + 1));
    (0..cells.len()).map(|at| if is_spinner(at) { SPINNER } else { cells[at] }).collect()
}

/// A row without its times, and these.
fn times(row: &str) -> (String, Vec<&str>) {
    let (mut rest, mut found, mut end) = (String::new(), Vec::new(), 0);
    for time in TIMES.find_iter(row) {
        // What touches it makes it a part of something else: an address, a name, a number of its own kind.
        let touches =
            |c: char| c.is_alphanumeric() || matches!(c, ':' | '.' | ',' | '-' | '_' | '/' | '=' | '@');
        let after = row[time.end()..].trim_start_matches(['.', ',', ':']);
        let is_last = after.is_empty() || after.starts_with(char::is_whitespace);
        let is_free = is_last || !row[time.end()..].starts_with(touches);
        if !row[..time.start()].ends_with(touches) && is_free {
            rest.push_str(&row[end..time.start()]);
            rest.push('\0');
            found.push(time.as_str());
            end = time.end();
        }
    }
    rest.push_str(&row[end..]);
    (rest, found)
}

/// The rows differ in nothing but times that went on as the clock did.
fn ticked(was: &str, is: &str, elapsed_ms: i64) -> bool {
    let ((was, was_times), (is, is_times)) = (times(was), times(is));
    if was_times.is_empty() || was_times.len() != is_times.len() || was != is {
        return false;
    }
    let elapsed = elapsed_ms as f64 / 1000.0;
    let went_on = |was: &str, is: &str| ((seconds(is) - seconds(was)).abs() - elapsed).abs() <= SLACK_S;
    was_times.iter().zip(is_times).all(|(was, is)| *was == is || went_on(was, is))
}

/// The parts of a time are sixty of the next one each.
fn seconds(time: &str) -> f64 {
    let parts = NUMBER.find_iter(time).filter_map(|part| part.as_str().parse::<f64>().ok());
    let hours = time.contains(['h', 'H']) && !time.contains(['m', 'M']);
    parts.fold(0.0, |sum, part| sum * if hours { 3600.0 } else { 60.0 } + part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::ScreenView;

    fn shown(text: &str, cols: u16) -> Shown {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let row = lines.iter().position(|line| line.starts_with("Go on?")).expect("a question");
        let view = ScreenView { lines, cols, ..ScreenView::default() };
        Shown::of(&Page::of(view), Reach { row, rows: 30, boxed: None })
    }

    fn is_same(was: &str, is: &str, elapsed_ms: i64) -> bool {
        shown(was, 80).is_same(&shown(is, 80), elapsed_ms, None, |_, _, _| false)
    }

    #[test]
    fn only_what_moves_with_time_may_differ() {
        for (was, is, ms) in [
            ("ls\nGo on?", "ls\nGo on?", 60_000),
            ("⠋ Running\nGo on?", "⠙ Running\nGo on?", 100),
            ("Waits (58s)\nGo on?", "Waits (1m 3s)\nGo on?", 5000),
            ("Waits (59m 58s)\nGo on?", "Waits (1h 0m 3s)\nGo on?", 5000),
            ("It is 12:59:58\nGo on?", "It is 13:00:03\nGo on?", 5000),
            ("Go on in 30 seconds\nGo on?", "Go on in 20 seconds\nGo on?", 10_000),
            ("Up for 12:59:58, idle.\nGo on?", "Up for 13:00:03, idle.\nGo on?", 5000),
            ("[⠋] since 8s.\nGo on?", "[⠙] since 13s.\nGo on?", 5000),
            ("Run it\nGo on?", "Run it (Tab to focus)\nGo on?", 5000),
            ("│ Run it │\nGo on?", "│ Run it  (Tab to focus) │\nGo on?", 5000),
        ] {
            assert!(is_same(was, is, ms), "{was:?} {is:?}");
        }
        for (was, is) in [
            ("rm -r ../..", "rm -r .."),
            ("rm a", "rm a  ##"),
            ("rm a...", "rm a."),
            ("cat a |", "cat a"),
            ("rm 1/2", "rm 3/4"),
            ("docker -p 80:22", "docker -p 80:23"),
            ("⠋ ls", "⠋ rm"),
            ("- ls", "* ls"),
            ("○ all", "● all"),
            ("■ all", "⬝ all"),
            ("rm --older 30m", "rm --older 3m"),
            ("sleep 60s", "sleep 600s"),
            ("rm 1 MB", "rm 10 MB"),
            ("kill all over 90% memory", "kill all over 1% memory"),
            ("revoke token 12", "revoke token 99"),
            ("save (enter keeps all)", "save (enter deletes all)"),
            ("echo (ctrl-c rm -rf x)", "echo (ctrl-c rm -rf /)"),
            ("step 1", "step 2"),
            ("mac 00:11:22:33:44:55", "mac 00:11:22:33:45:00"),
            ("ip fe80::1:20:05", "ip fe80::1:20:10"),
            ("rm /logs/12:00:05.txt", "rm /logs/12:00:10.txt"),
            ("rm backup-5s", "rm backup-10s"),
            ("delete ⠗⠑⠙", "delete ⠃⠇⠥"),
        ] {
            let (above, below) = (|row| format!("{row}\nGo on?"), |row| format!("Go on?\n{row}"));
            assert!(
                !is_same(&above(was), &above(is), 5000) && !is_same(&above(is), &above(was), 5000),
                "{was:?}"
            );
            assert!(!is_same(&below(was), &below(is), 5000), "{was:?}");
            assert_ne!(
                shown(&above(was), 80).hash("", |_, _| None),
                shown(&above(is), 80).hash("", |_, _| None),
                "{was:?}"
            );
        }
        assert!(!is_same("ls\nGo on?", "ls\nGo on?\nas root", 5000));
        assert!(!is_same("ls\nGo on? > yes", "ls\nGo on?   no", 5000));
        let (wide, narrow) = (shown("ls\nGo on?", 80), shown("ls\nGo on?", 40));
        assert!(!wide.is_same(&narrow, 0, None, |_, _, _| false));
    }

    #[test]
    fn people_see_what_is_compared() {
        let shown = shown("a\nb\nGo on?\nc", 80);
        let masked = |hidden: &[At]| {
            let mut rows: Vec<String> = ["a", "b", "Go on?", "c", ""].map(str::to_owned).into();
            shown.mask(&mut rows, |at, _| hidden.contains(&at).then(|| "…".to_owned()));
            rows.join("\n")
        };
        assert_eq!(masked(&[At::Above(0), At::Below(1)]), "a\n…\nGo on?\n…\n");
        assert_eq!(masked(&[At::Above(1), At::Below(0)]), "…\nb\n…\nc\n");
        let lines = ["a", "╭──╮", "│ rm │", "│ b │", "Go on?"].map(str::to_owned).to_vec();
        let view = ScreenView { lines: lines.clone(), cols: 80, ..ScreenView::default() };
        let boxed = Shown::of(&Page::of(view), Reach { row: 4, rows: 30, boxed: Some(3) });
        let mut rows = lines;
        boxed.mask(&mut rows, |_, _| None);
        assert_eq!(rows, ["│ rm │", "│ b │", "Go on?"]);
    }
}
