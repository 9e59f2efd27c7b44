//! `cis node join`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;
use crate::output::clean::clean;

/// Join a room with a join code
///
/// This node believes the room's owners from now on. It can do nothing there until one of them lets it: `cis identity trust
/// DID --room ROOM`, on the owner's machine.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node join cis1Zm9v…")]
pub(crate) struct Args {
    /// The join code, from `cis node invite`
    #[arg(value_name = "CODE")]
    code: String,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let joined = client.join_nodes(&args.code).await?;
        output::show(context.json, &joined, |joined| {
            let (room, did) = (clean(&joined.room_id), &joined.did);
            format!(
                "This node is in room {room} now, and waits until an owner of the room gives it rights:\n  \
                 cis identity trust {did} --room '{room}' --may execute\n"
            )
        })?;
        Ok(Exit::OK)
    })
}
