//! `lint`: form, clippy, and the compiled line between pure and io.

use super::layers;
use crate::Outcome;
use crate::process::{cargo, run, stdout_of};

/// Packages that may not be below the pure part of `cis-core`.
const NOT_IN_PURE: &[&str] = &[
    "tokio",
    "rusqlite",
    "axum",
    "hyper",
    "rustix",
    "alacritty_terminal",
    "cis-matrix",
    "matrix-sdk",
    "tracing",
];
/// Packages that may not be below what a client links.
const NOT_IN_CLIENT: &[&str] = &["rusqlite", "axum", "alacritty_terminal", "cis-matrix", "matrix-sdk"];

/// All of it; the cheap ones first.
pub(crate) fn lint() -> Outcome {
    run(cargo(&["fmt", "--all", "--check"]))?;
    layers::check()?;
    without(&["--no-default-features"], NOT_IN_PURE)?;
    without(&["--no-default-features", "--features", "client"], NOT_IN_CLIENT)?;
    run(cargo(&["check", "-p", "cis-core", "--locked", "--no-default-features"]))?;
    run(cargo(&["check", "-p", "cis-core", "--locked", "--no-default-features", "--features", "client"]))?;
    run(cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
}

/// Fails where `cis-core` with these features has one of `banned` among its dependencies.
fn without(features: &[&str], banned: &[&str]) -> Outcome {
    let mut command =
        cargo(&["tree", "-p", "cis-core", "--locked", "-e", "normal", "--prefix", "none", "-f", "{p}"]);
    command.args(features);
    let tree = stdout_of(command)?;
    let found: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|package| banned.contains(package))
        .collect();
    if found.is_empty() {
        return Ok(());
    }
    Err(format!(
        "cis-core with `{}` depends on {}: the line between pure and io is crossed (ARCHITECTURE.md)",
        features.join(" "),
        found.join(", ")
    ))
}
