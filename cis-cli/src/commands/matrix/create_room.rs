//! `cis matrix create-room`.

use cis_core::api::CreateMatrixRoom;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};

/// Makes a private room
///
/// The node's account owns it. Who is invited has level 50: an operator of what the node does there.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis matrix create-room builds --invite @ann:example.org --invite @bob:example.org
  cis matrix create-room releases --encrypted --topic \"what goes out\"
  room=$(cis matrix create-room nightly --json | jq -r .room_id)")]
pub(crate) struct Args {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    topic: Option<String>,
    /// Encrypt what is said in it; that cannot be undone
    #[arg(long)]
    encrypted: bool,
    /// Invite somebody, as an operator; may be repeated
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
