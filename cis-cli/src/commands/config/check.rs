//! `cis config check`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, clean::clean};

/// Check the configuration: the file, variables, -c
///
/// Shows all errors. The exit code is 2 if there is one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis config check
  cis config check --json")]
pub(crate) struct Args {}

pub(super) fn run(context: &Context) -> Result<Exit, CliError> {
    let config = context.config()?;
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let unknown = cis_node::config::unknown_variables(names);
    if !unknown.is_empty() {
        return Err(CliError::bad_input(unknown.join("; ")));
    }
    let (path, exists) = (config.path.display().to_string(), config.path.exists());
    let answer = serde_json::json!({ "path": path, "exists": exists, "valid": true });
    output::show(context.json, &answer, |_| {
        let path = clean(&path).into_owned();
        if exists {
            format!("{path} is valid.\n")
        } else {
            format!("{path} does not exist: the defaults apply.\n")
        }
    })?;
    Ok(Exit::OK)
}
