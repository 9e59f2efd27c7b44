//! What a task gets of those that it needs.

use std::fmt::Write as _;

use cis_core::api::{NeedContext, TaskContext};

use crate::output::clean::clean;
use crate::output::style::{self, BOLD, DIM};

/// Lines of a log that are shown; `--json` has all.
const LINES_MAX: usize = 10;

/// Names of artifacts that are shown.
const NAMES_MAX: usize = 10;

/// Longest value or line that is shown whole.
const CHARS_MAX: usize = 200;

/// `cis dag context`.
pub(crate) fn context(context: &TaskContext) -> String {
    let task = &context.task;
    if context.needs.is_empty() {
        return format!("Task {BOLD}{task}{BOLD:#} needs nothing, so it gets nothing of other tasks.\n");
    }
    let mut out = String::new();
    for (need, left) in &context.needs {
        let state = style::task(left.state);
        let _ = writeln!(out, "{BOLD}{need}{BOLD:#} {state}{}{state:#}", left.state);
        one(left, &mut out);
    }
    let variables = context.variables();
    let _ = writeln!(out, "\n{BOLD}Environment{BOLD:#} of {task}");
    for (name, value) in &variables {
        let _ = writeln!(out, "  {name}={}", short(value));
    }
    if context.says_something() {
        let _ = writeln!(
            out,
            "  CIS_CONTEXT {DIM}(a file with all of this: `cis dag context {task} --json`){DIM:#}"
        );
    }
    out
}

fn one(left: &NeedContext, out: &mut String) {
    for (name, value) in &left.outputs {
        let _ = writeln!(out, "  output   {} = {}", clean(name), short(&value.to_string()));
    }
    for path in left.artifacts.iter().take(NAMES_MAX) {
        let _ = writeln!(out, "  artifact {}", short(path));
    }
    if let Some(more) = left.artifacts.len().checked_sub(NAMES_MAX).filter(|more| *more > 0) {
        let _ = writeln!(out, "  {DIM}and {more} artifacts more{DIM:#}");
    }
    let lines: Vec<&str> = left.output.lines().collect();
    let hidden = lines.len().saturating_sub(LINES_MAX);
    if hidden > 0 {
        let _ = writeln!(out, "  log      {DIM}({hidden} lines before these){DIM:#}");
    }
    for line in &lines[hidden..] {
        let _ = writeln!(out, "  log      {}", short(line));
    }
    if left.incomplete {
        let _ = writeln!(out, "  {DIM}something more is left out: all that one task gets is bounded{DIM:#}");
    }
}

fn short(text: &str) -> String {
    let mut shown: String = text.chars().take(CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    clean(&shown).into_owned()
}
