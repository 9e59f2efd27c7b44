//! `docs`: documentation of the code, the links of the written one, and the reference made from the code.

use super::links;
use crate::process::{cargo, run};
use crate::{Outcome, reference};

/// Warnings of rustdoc (missing texts, broken links) are errors.
pub(crate) fn docs() -> Outcome {
    links::check()?;
    reference::check()?;
    let mut command = cargo(&["doc", "--workspace", "--no-deps", "--locked", "--lib"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    run(command)?;
    // The binary's pages would overwrite those of a library with the same name: a pass of its own.
    // With `-p`, the libraries would get other features than in the first pass, and be checked a second time.
    let mut command = cargo(&["doc", "--workspace", "--no-deps", "--locked", "--bin", "cis"]);
    command.arg("--document-private-items");
    command.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links");
    run(command)
}
