//! The table: what was measured, gate and goal, and where it is kept.

use std::fmt::Write as _;

use super::peers::is_loaded;
use crate::Outcome;
use crate::process::{program, stdout_of};
use crate::workspace::root;

/// New rows of the kept table go right below this line.
const MARK: &str = "<!-- `cargo xtask bench --update` writes below this line -->";

/// One figure.
pub(crate) struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    gate: f64,
    goal: f64,
    /// More is better.
    least: bool,
    beside: String,
}

impl Row {
    /// A ratio of ours to theirs. `limits`: gate, goal.
    pub(crate) fn ratio(what: &str, value: f64, limits: (f64, f64), beside: String) -> Self {
        Self {
            what: what.to_owned(), value, unit: "×", gate: limits.0, goal: limits.1, least: false, beside
        }
    }

    /// An absolute figure. `limits`: gate, goal.
    pub(crate) fn figure(
        what: &str,
        value: f64,
        unit: &'static str,
        limits: (f64, f64),
        beside: String,
    ) -> Self {
        Self { what: what.to_owned(), value, unit, gate: limits.0, goal: limits.1, least: false, beside }
    }

    /// An absolute figure out of `samples`. `limits`: gate, goal.
    pub(crate) fn limit(
        what: &str,
        value: f64,
        unit: &'static str,
        limits: (f64, f64),
        samples: u32,
    ) -> Self {
        Self::figure(what, value, unit, limits, format!("{samples} samples"))
    }

    /// The limits are the least that must be reached.
    pub(crate) fn at_least(mut self) -> Self {
        self.least = true;
        self
    }

    /// More to be said beside it.
    pub(crate) fn beside(mut self, text: impl AsRef<str>) -> Self {
        self.beside = format!("{}; {}", self.beside, text.as_ref());
        self
    }

    /// Three digits that count, at least two behind the point.
    fn rounded(&self) -> String {
        if self.value.abs() < 0.995 { format!("{:.3}", self.value) } else { format!("{:.2}", self.value) }
    }

    fn verdict(&self) -> &'static str {
        let holds = |limit| if self.least { self.value >= limit } else { self.value <= limit };
        // The goal may hold where the gate, held against another peer, does not.
        match (holds(self.gate), holds(self.goal)) {
            (true, true) => "goal",
            (true, false) => "gate",
            (false, _) => "MISSED",
        }
    }
}

/// All figures of one run.
pub(crate) struct Report {
    probe_before_ms: f64,
    probe_after_ms: f64,
    rows: Vec<Row>,
}

impl Report {
    /// None yet. `probe_ms`: what the floor says of the machine.
    pub(crate) fn new(probe_ms: f64) -> Self {
        Self { probe_before_ms: probe_ms, probe_after_ms: probe_ms, rows: Vec::new() }
    }

    /// One more, said at once.
    pub(crate) fn add(&mut self, row: Row) {
        eprintln!("{:<7} {:>8} {}  {} ({})", row.verdict(), row.rounded(), row.unit, row.what, row.beside);
        self.rows.push(row);
    }

    /// Returns the name of every figure with its value as a cost: less is better.
    pub(crate) fn costs(&self) -> impl Iterator<Item = (&str, f64)> {
        self.rows.iter().map(|row| (row.what.as_str(), if row.least { 1.0 / row.value } else { row.value }))
    }

    /// The machine at the end.
    pub(crate) fn probe_after(&mut self, probe_ms: f64) {
        self.probe_after_ms = probe_ms;
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut out =
            String::from("\n| what | figure | gate | goal | reached | beside |\n|---|---|---|---|---|---|\n");
        for row in &self.rows {
            let unit = row.unit;
            let bound = if row.least { "≥ " } else { "" };
            let _ = writeln!(
                out,
                "| {} | {} {unit} | {bound}{} {unit} | {bound}{} {unit} | {} | {} |",
                row.what,
                row.rounded(),
                row.gate,
                row.goal,
                row.verdict(),
                row.beside
            );
        }
        let _ = writeln!(
            out,
            "\nfloor probe: {:.3} ms before, {:.3} ms after",
            self.probe_before_ms, self.probe_after_ms
        );
        if self.loaded() {
            out.push_str("The machine was loaded: run it again on a quiet one before believing a figure.\n");
        }
        out
    }

    fn loaded(&self) -> bool {
        is_loaded(self.probe_before_ms) || is_loaded(self.probe_after_ms)
    }

    /// Puts the figures on top of the table in `docs/benchmarks.md`.
    pub(crate) fn add_to_docs(&self) -> Outcome {
        if self.loaded() {
            return Err("the machine was loaded, so docs/benchmarks.md stays as it is".to_owned());
        }
        let path = root().join("docs/benchmarks.md");
        let text =
            std::fs::read_to_string(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        let (before, after) =
            text.split_once(MARK).ok_or_else(|| format!("{} has lost its line `{MARK}`", path.display()))?;
        let after = after.trim_start_matches('\n');
        let (head, old) = split_head(after);
        let commit = stdout_of(program("git", &["describe", "--always", "--dirty"]))?;
        let date = stdout_of(program("date", &["-u", "+%F"]))?;
        let mut new = String::new();
        for row in &self.rows {
            let _ = writeln!(
                new,
                "| {} | {} | {} | {} {} | {} | {} |",
                date.trim(),
                commit.trim(),
                row.what,
                row.rounded(),
                row.unit,
                row.verdict(),
                row.beside
            );
        }
        std::fs::write(&path, format!("{before}{MARK}\n\n{head}{new}{old}"))
            .map_err(|e| format!("cannot write {}: {e}", path.display()))
    }

    /// Fails where a gate is missed.
    pub(crate) fn verdict(&self) -> Outcome {
        let missed: Vec<&str> =
            self.rows.iter().filter(|row| row.verdict() == "MISSED").map(|row| row.what.as_str()).collect();
        if missed.is_empty() { Ok(()) } else { Err(format!("gates missed: {}", missed.join("; "))) }
    }
}

/// A Markdown table's two head lines, and the rest.
fn split_head(table: &str) -> (&str, &str) {
    let end = table.match_indices('\n').nth(1).map_or(table.len(), |(at, _)| at + 1);
    table.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_held_against_goal_and_gate() {
        let row = |value| Row::ratio("x", value, (2.0, 1.2), String::new()).verdict();
        assert_eq!([row(1.2), row(2.0), row(2.01), row(f64::NAN)], ["goal", "gate", "MISSED", "MISSED"]);
        let row = |value| Row::ratio("x", value, (0.8, 1.0), String::new()).at_least().verdict();
        assert_eq!([row(1.0), row(0.8), row(0.79), row(f64::NAN)], ["goal", "gate", "MISSED", "MISSED"]);
    }

    #[test]
    fn new_rows_go_below_the_head() {
        assert_eq!(split_head("| a |\n|---|\n| old |\n"), ("| a |\n|---|\n", "| old |\n"));
    }
}
