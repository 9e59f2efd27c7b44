//! `cis identity show`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};
use cis_local::now_ms;

/// Shows who the node is, and whom it trusts
///
/// A node is known by its DID: its public key, which everything that it sends to a room is signed with. It does what
/// it is asked by nodes on its list, and only shows what others say.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis identity show
  cis identity show --json | jq -r .did        # to be trusted elsewhere")]
pub(crate) struct Args {}

pub(super) fn run(context: &Context, _args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        output::show(context.json, &client.identity().await?, |view| human::identity(view, now_ms()))?;
        Ok(Exit::OK)
    })
}
