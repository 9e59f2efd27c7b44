//! `cis group remove`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Removes a concurrency group that `cis group set` made
///
/// Where the configuration has one of that name, that one counts again. A group that tasks of open runs are in
/// is not removed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis group remove staging-lock")]
pub(crate) struct Args {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        client.remove_group(&args.name).await?;
        if !context.json {
            output::print(&format!("Group {} is removed.\n", args.name))?;
        }
        Ok(Exit::OK)
    })
}
