//! `cis node pause` and `resume`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};
use cis_local::now_ms;

/// Let this node start no tasks
///
/// Neither tasks of its own runs nor of other nodes start here until `cis node resume`, also after a restart. What runs
/// continues, and sessions without a run can be started. Of runs that this node shares with a room, tasks go to other nodes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node pause")]
pub(crate) struct Args {}

/// Let this node start tasks again
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node resume")]
pub(crate) struct ResumeArgs {}

pub(super) fn run(context: &Context, paused: bool) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let node = client.pause_node(paused).await?;
        output::show(context.json, &node, |node| human::node(node, now_ms()))?;
        Ok(Exit::OK)
    })
}
