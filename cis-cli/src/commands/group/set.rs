//! `cis group set`.

use cis_core::dag::Group;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Makes or changes a concurrency group of the node
///
/// At most so many tasks of all runs that are in it have a session at a time. What runs already is not stopped.
/// It stands above a group of that name in the configuration, and below one in a DAG file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis group set claude-account --limit 2
  cis group set staging-lock --limit 1
  cis group set gpu --limit 4 --frees-when-blocked")]
pub(crate) struct Args {
    /// Its name, as tasks have it in `concurrency = { group = \"NAME\" }`
    #[arg(value_name = "NAME")]
    name: String,
    /// At most so many at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// A session that waits for a human leaves its place to another
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
