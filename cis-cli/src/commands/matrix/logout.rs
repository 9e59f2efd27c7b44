//! `cis matrix logout`.

use cis_core::api::LogoutMatrix;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Ends the node's Matrix login
///
/// The homeserver forgets the node's device and its token, and the node removes its files of it: with them, what it had of
/// keys of encrypted rooms. Rooms stay as they are. Where the homeserver is gone, or has ended the login itself, --forget
/// removes the files alone.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis matrix logout
  cis matrix logout --forget")]
pub(crate) struct Args {
    /// Only remove the files here; the homeserver is not asked
    #[arg(long)]
    forget: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        client.logout_matrix(&LogoutMatrix { forget: args.forget }).await?;
        if !context.json {
            output::print("Logged out.\n")?;
        }
        Ok(Exit::OK)
    })
}
