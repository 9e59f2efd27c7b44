//! `cis node list`.

use super::super::dag::place;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};

/// List the nodes of rooms that share tasks with this node
///
/// `pending` nodes joined a room, and nobody let them do anything yet. `silent` nodes have not answered for a minute.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node list
  cis node list --room '!abc:example.org' --json")]
pub(crate) struct Args {
    /// Only the nodes of this room, by its id
    #[arg(long, value_name = "ROOM", value_parser = place::room)]
    room: Option<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let nodes = client.nodes(args.room.as_deref()).await?;
        output::show(context.json, &nodes, |nodes| human::room_nodes(&nodes.items, output::columns()))?;
        Ok(Exit::OK)
    })
}
