//! The documents of the API, as the program prints them.

use crate::Outcome;
use crate::process::{program, stdout_of};
use crate::workspace::target_dir;

/// `cis node schema DOCUMENT`, of the program that [`super::cli::page`] built.
pub(super) fn document(name: &str) -> Outcome<String> {
    let cis = target_dir()?.join("debug/cis");
    let mut command = program(&cis.to_string_lossy(), &["node", "schema", name]);
    // Only where a home would be; nothing of it is read.
    command.env("HOME", "/");
    Ok(format!("{}\n", stdout_of(command)?.trim_end()))
}
