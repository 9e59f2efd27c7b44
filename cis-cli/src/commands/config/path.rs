//! `cis config path`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, clean::clean};

/// Print the path of the configuration file, whether it exists or not
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis config path
  ${EDITOR:-vi} $(cis config path)")]
pub(crate) struct Args {}

pub(super) fn run(context: &Context) -> Result<Exit, CliError> {
    let path = context.home.config_file();
    let answer = serde_json::json!({ "path": path.display().to_string(), "exists": path.exists() });
    output::show(context.json, &answer, |_| format!("{}\n", clean(&path.display().to_string())))?;
    Ok(Exit::OK)
}
