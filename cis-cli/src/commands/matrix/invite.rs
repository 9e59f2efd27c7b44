//! `cis matrix invite`.

use cis_core::api::InviteToMatrixRoom;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Invite people to a room
///
/// People who have joined or are already invited are skipped. Invited people get the room's default power level. To
/// make them operators, create the room with `cis matrix create-room --invite`, or raise their level in a Matrix
/// client.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis matrix invite '#builds:example.org' @ann:example.org
  cis matrix invite '!aGkO9zfA' @ann:example.org @bob:example.org")]
pub(crate) struct Args {
    /// The room: its id, an alias, or a matrix.to link
    #[arg(value_name = "ROOM")]
    room: String,
    /// Who
    #[arg(value_name = "@NAME:SERVER", required = true)]
    users: Vec<String>,
}

pub(super) fn run(context: &Context, args: Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let who = InviteToMatrixRoom { users: args.users };
        client.invite_to_matrix_room(&args.room, &who).await?;
        let answer = serde_json::json!({ "room": args.room, "users": who.users, "invited": true });
        output::show(context.json, &answer, |_| "Invited.\n".to_owned())?;
        Ok(Exit::OK)
    })
}
