//! `cis matrix create-room`.

use cis_core::api::CreateMatrixRoom;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};

/// Create a private room
///
/// The node's account owns the room. Invited people get power level 50, which makes them operators of the node's runs
/// in it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis matrix create-room builds --invite @ann:example.org --invite @bob:example.org
  cis matrix create-room releases --encrypted --topic \"what goes out\"
  room=$(cis matrix create-room nightly --json | jq -r .room_id)")]
pub(crate) struct Args {
    /// Name of the room
    #[arg(value_name = "NAME")]
    name: String,
    /// Topic of the room
    #[arg(long, value_name = "TEXT")]
    topic: Option<String>,
    /// Encrypt the messages; this cannot be undone
    #[arg(long)]
    encrypted: bool,
    /// Invite a person as an operator; may be repeated
    #[arg(long, value_name = "@NAME:SERVER")]
    invite: Vec<String>,
}

pub(super) fn run(context: &Context, args: Args) -> Result<Exit, CliError> {
    let Args { name, topic, encrypted, invite } = args;
    let client = context.client()?;
    context.block_on(async {
        let room = client.create_matrix_room(&CreateMatrixRoom { name, topic, encrypted, invite }).await?;
        output::show(context.json, &room, human::matrix_room)?;
        Ok(Exit::OK)
    })
}
