//! `cis group set`.

use cis_core::api::GroupPlace;
use cis_core::dag::Group;

use crate::commands::dag::place;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Create or change a concurrency group of the node or of a room
///
/// The limit is for the tasks of all runs together. Running tasks are not stopped. The group overrides a group of the
/// same name in the configuration; a group in a DAG file overrides both.
///
/// With --room the limit is for the tasks of all runs with --matrix in that room, on all nodes together. The group
/// overrides the groups of the nodes with the same name for these runs. The node has to own the room.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis group set claude-account --limit 2
  cis group set staging-lock --limit 1
  cis group set gpu --limit 4 --frees-when-blocked
  cis group set license --limit 3 --room '#builds:example.org'")]
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
    /// Make it a group of this room, for the runs of all its nodes
    #[arg(long, value_name = "ROOM", value_parser = place::room)]
    room: Option<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let group = Group { limit: args.limit, frees_when_blocked: args.frees_when_blocked };
    let client = context.client()?;
    context.block_on(async {
        client.set_group(&args.name, &group, &GroupPlace { room: args.room.clone() }).await?;
        output::show(context.json, &group, |group| {
            let s = if group.limit == 1 { "" } else { "s" };
            format!("Group {} has {} place{s}.\n", args.name, group.limit)
        })?;
        Ok(Exit::OK)
    })
}
