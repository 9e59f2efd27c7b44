//! `cis matrix list-rooms`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};

/// List the rooms that the node's account has joined or is invited to
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis matrix list-rooms
  cis matrix list-rooms --json | jq -r '.items[] | select(.invited) | .room_id'")]
pub(crate) struct Args {}

pub(super) fn run(context: &Context, _args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let rooms = client.matrix_rooms().await?;
        output::show(context.json, &rooms, |rooms| human::matrix_rooms(&rooms.items))?;
        Ok(Exit::OK)
    })
}
