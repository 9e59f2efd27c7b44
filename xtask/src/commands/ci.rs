//! `ci`: all checks of a change, tests first.

use super::{deny, docs, lint, test};
use crate::Outcome;

/// Runs all of them, also after one failed, and says at the end which did.
pub(crate) fn ci() -> Outcome {
    let (tests, summary) = test::test_with_summary();
    let outcomes = [("test", tests), ("lint", lint::lint()), ("deny", deny::deny()), ("docs", docs::docs())];
    eprintln!();
    let mut failed = Vec::new();
    for (name, outcome) in outcomes {
        match outcome {
            Ok(()) => eprintln!("ok      {name}"),
            Err(e) => {
                eprintln!("FAILED  {name}: {e}");
                failed.push(name);
            }
        }
    }
    for line in summary {
        eprintln!("{line}");
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}
