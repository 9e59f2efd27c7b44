//! `cis node invite`.

use super::super::dag::place;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Print a join code with which other nodes join a room
///
/// This node becomes the owner of the room, unless it already knows the room's owners. The code holds no secret and gives no
/// rights: it tells the other node who the owners are. Send it over a channel that nobody else can write to.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node invite --room '#builds:example.org'")]
pub(crate) struct Args {
    /// The room: an id, an alias, or a matrix.to link
    #[arg(long, value_name = "ROOM", value_parser = place::room)]
    room: String,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let invitation = client.invite_nodes(&args.room).await?;
        output::show(context.json, &invitation, |invitation| format!("{}\n", invitation.code))?;
        if !context.json {
            output::note("On the other machine: cis node join CODE\n");
        }
        Ok(Exit::OK)
    })
}
