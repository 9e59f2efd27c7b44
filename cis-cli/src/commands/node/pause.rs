//! `cis node pause` and `resume`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};
use cis_local::now_ms;

/// Start no more tasks on this node; running tasks continue
///
/// No task starts here, neither of its own runs nor of other nodes, until `cis node resume`. This holds after a restart as
/// well. What runs continues. Sessions without a run can be started. Tasks of runs that this node shares with a room go to other nodes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node pause")]
pub(crate) struct Args {}

/// Start tasks on this node again
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
