//! `cis group set`.

use cis_core::dag::Group;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Create or change a concurrency group of the node
///
/// The limit is for the tasks of all runs together. Running tasks are not stopped. The group overrides a group of the
/// same name in the configuration; a group in a DAG file overrides both.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis group set claude-account --limit 2
  cis group set staging-lock --limit 1
  cis group set gpu --limit 4 --frees-when-blocked")]
pub(crate) struct Args {
    /// Name of the group; tasks use it in `concurrency = { group = "NAME" }`
    #[arg(value_name = "NAME")]
    name: String,
    /// Maximum number of tasks at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Do not count sessions that wait for a human
    #[arg(long)]
    frees_when_blocked: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let group = Group { limit: args.limit, frees_when_blocked: args.frees_when_blocked };
    let client = context.client()?;
    context.block_on(async {
        client.set_group(&args.name, &group).await?;
        output::show(context.json, &group, |group| {
            format!("Group {} has {} places.\n", args.name, group.limit)
        })?;
        Ok(Exit::OK)
    })
}
