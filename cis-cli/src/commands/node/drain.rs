//! `cis node drain` and `undrain`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};

/// Let this node take no new tasks of other nodes
///
/// Tasks that it works on continue. It stays so after a restart, until `cis node undrain`. Runs that were given to this
/// node are not concerned.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node drain")]
pub(crate) struct Args {}

/// Let this node take tasks of other nodes again
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node undrain")]
pub(crate) struct UndrainArgs {}

pub(super) fn run(context: &Context, draining: bool) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let nodes = client.drain_node(draining).await?;
        output::show(context.json, &nodes, |nodes| human::room_nodes(&nodes.items, output::columns()))?;
        Ok(Exit::OK)
    })
}
