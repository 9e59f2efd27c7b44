//! Errors as they are shown: as text, or as a problem document.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use cis_local::now_ms;

use super::clean::{clean, clean_lines};
use super::{human, note};
use crate::error::{CliError, Exit};

/// Shows it on standard error. Returns its exit code.
pub(crate) fn report(error: &CliError, as_json: bool) -> Exit {
    if !matches!(error, CliError::OutputClosed) {
        note(&if as_json { json(error) } else { text(error) });
    }
    error.exit()
}

fn json(error: &CliError) -> String {
    let text = match error {
        CliError::Problem(problem) => serde_json::to_string(problem),
        CliError::Failed { detail, hint } => serde_json::to_string(&serde_json::json!({
            "type": "about:cis:failed", "title": "failed", "status": 409,
            "detail": detail, "kind": "failed", "hint": hint,
        })),
        CliError::OutputClosed => Ok(String::new()),
    };
    text.unwrap_or_default() + "\n"
}

fn text(error: &CliError) -> String {
    const ERROR: Style = AnsiColor::Red.on_default().bold();
    const HINT: Style = AnsiColor::Cyan.on_default().bold();
    let (detail, hint) = match error {
        CliError::Problem(problem) => (problem.detail.as_str(), problem.hint.as_deref()),
        CliError::Failed { detail, hint } => (detail.as_str(), Some(hint.as_str())),
        CliError::OutputClosed => ("", None),
    };
    let mut text = String::new();
    if let CliError::Problem(problem) = error {
        for finding in &problem.diagnostics {
            let _ = writeln!(text, "{}\n", clean_lines(finding.rendered.trim_end()));
        }
    }
    let _ = writeln!(text, "{ERROR}error{ERROR:#}: {}", clean_lines(detail));
    if let Some(hint) = hint {
        let _ = writeln!(text, "{HINT}hint{HINT:#}: {}", clean(hint));
    }
    if let CliError::Problem(problem) = error
        && let Some(item) = &problem.item
    {
        text.push_str(&human::inbox_item(item, now_ms()));
        text.push_str(&human::screen(&item.screen));
    }
    text
}

#[cfg(test)]
mod tests {
    use cis_core::api::{Finding, Problem, ProblemKind};

    use super::*;

    #[test]
    fn a_problem_shows_its_findings_then_the_error_then_the_hint() {
        let mut problem =
            Problem::new(ProblemKind::BadInput, "ship.toml has 1 error").hint("see the \x1b[2Jguide");
        problem.diagnostics.push(Finding {
            file: "ship.toml".into(),
            line: 4,
            column: 1,
            message: "unknown key `comand`".into(),
            rendered: "error: unknown key `comand`\n --> ship.toml:4:1\n  |\n4 | comand = 1\n  | ^^^^^^"
                .into(),
        });
        let error = CliError::from(problem);
        assert_eq!(error.exit(), Exit(2));
        let shown = anstream::adapter::strip_str(&text(&error)).to_string();
        insta::assert_snapshot!(shown, @r"
        error: unknown key `comand`
         --> ship.toml:4:1
          |
        4 | comand = 1
          | ^^^^^^

        error: ship.toml has 1 error
        hint: see the ?[2Jguide
        ");
        let problem: serde_json::Value = serde_json::from_str(&json(&error)).unwrap();
        assert_eq!(problem["kind"], "bad-input");
        assert_eq!(problem["diagnostics"][0]["line"], 4);
    }

    #[test]
    fn a_failure_is_shown_to_programs_as_a_problem() {
        let failed = CliError::Failed { detail: "timed out".into(), hint: "wait longer".into() };
        let problem: serde_json::Value = serde_json::from_str(&json(&failed)).unwrap();
        assert_eq!((&problem["kind"], &problem["detail"]), (&"failed".into(), &"timed out".into()));
    }
}
