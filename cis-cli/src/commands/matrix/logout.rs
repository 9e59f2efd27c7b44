//! `cis matrix logout`.

use cis_core::api::LogoutMatrix;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Log the node out of its Matrix account
///
/// The homeserver removes the node's device and token. The node removes its files of the login, including its keys of
/// encrypted rooms. Rooms are not changed. If the homeserver is unreachable or has ended the login itself, --forget
/// only removes the files.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis matrix logout
  cis matrix logout --forget")]
pub(crate) struct Args {
    /// Only remove the local files, without a request to the homeserver
    #[arg(long)]
    forget: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        client.logout_matrix(&LogoutMatrix { forget: args.forget }).await?;
        let answer = serde_json::json!({ "logged_out": true });
        output::show(context.json, &answer, |_| "Logged out.\n".to_owned())?;
        Ok(Exit::OK)
    })
}
