//! `cis matrix join`.

use cis_core::api::JoinMatrixRoom;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};

/// Join a public room, or a room that the node's account is invited to
///
/// The ids of new rooms contain no server name. To join a room on another server, use an alias or a link, such as
/// Element's "Share" gives you.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis matrix join '#builds:example.org'
  cis matrix join 'https://matrix.to/#/!aGkO9zfA?via=example.org'")]
pub(crate) struct Args {
    /// The room: its id, an alias, or a matrix.to link
    #[arg(value_name = "ROOM")]
    room: String,
}

pub(super) fn run(context: &Context, args: Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let room = client.join_matrix_room(&JoinMatrixRoom { room: args.room }).await?;
        output::show(context.json, &room, human::matrix_room)?;
        Ok(Exit::OK)
    })
}
