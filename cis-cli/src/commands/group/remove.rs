//! `cis group remove`.

use cis_core::api::GroupPlace;

use crate::commands::dag::place;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Remove a concurrency group that `cis group set` created
///
/// If the configuration has a group of the same name, its limit applies again. A group of the node that tasks of open
/// runs use cannot be removed. Tasks of open runs that use a group of a room are in the group of the node with the same
/// name from then on; without such a group they wait.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis group remove staging-lock
  cis group remove staging-lock --room '#builds:example.org'")]
pub(crate) struct Args {
    /// Name of the group
    #[arg(value_name = "NAME")]
    name: String,
    /// Remove the group of this room; the node has to own the room
    #[arg(long, value_name = "ROOM", value_parser = place::room)]
    room: Option<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        client.remove_group(&args.name, &GroupPlace { room: args.room.clone() }).await?;
        let answer = serde_json::json!({ "name": args.name, "room": args.room, "removed": true });
        output::show(context.json, &answer, |_| format!("Removed the group {}.\n", args.name))?;
        Ok(Exit::OK)
    })
}
