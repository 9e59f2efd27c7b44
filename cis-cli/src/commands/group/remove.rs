//! `cis group remove`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Remove a concurrency group that `cis group set` created
///
/// If the configuration has a group of the same name, its limit applies again. A group that tasks of open runs use
/// cannot be removed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis group remove staging-lock")]
pub(crate) struct Args {
    /// Name of the group
    #[arg(value_name = "NAME")]
    name: String,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        client.remove_group(&args.name).await?;
        if !context.json {
            output::print(&format!("Removed the group {}.\n", args.name))?;
        }
        Ok(Exit::OK)
    })
}
