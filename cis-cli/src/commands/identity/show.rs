//! `cis identity show`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};
use cis_local::now_ms;

/// Show the node's identity and the nodes that it trusts
///
/// A DID identifies a node. It contains the public key that verifies what the node sends to rooms. The node obeys
/// requests of the nodes that it trusts; what others send is only shown.
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
