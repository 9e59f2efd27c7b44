//! `lint`: format, clippy, and the dependencies between crates and modules.

use super::modules;
use crate::Outcome;
use crate::process::{cargo, run, stdout_of};

/// Crates that may not be below `cis-core`. The emulator's own crates are, unused.
const NOT_IN_CORE: &[&str] = &["tokio", "rusqlite", "axum", "hyper", "cis-matrix", "matrix-sdk"];
/// Crates that may not be below what a client links.
const NOT_IN_CLIENT: &[&str] = &["rusqlite", "axum", "cis-matrix", "matrix-sdk"];

/// All of it; the cheap ones first.
pub(crate) fn lint() -> Outcome {
    run(cargo(&["fmt", "--all", "--check"]))?;
    modules::check()?;
    without("cis-core", NOT_IN_CORE)?;
    without("cis-client", NOT_IN_CLIENT)?;
    run(cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
}

/// Fails where a crate has one of `banned` among its dependencies.
fn without(package: &str, banned: &[&str]) -> Outcome {
    let tree = stdout_of(cargo(&[
        "tree", "-p", package, "--locked", "-e", "normal", "--prefix", "none", "-f", "{p}",
    ]))?;
    let found: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|package| banned.contains(package))
        .collect();
    if found.is_empty() {
        return Ok(());
    }
    Err(format!("{package} depends on {} (ARCHITECTURE.md)", found.join(", ")))
}
