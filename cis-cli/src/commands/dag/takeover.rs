//! `cis dag takeover`.

use super::said;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Take over a run of another node: this node coordinates it from now on
///
/// Nodes with the role `coordinator` or `both` do this by themselves when the run's node stops answering. The run must have
/// been started with --matrix, and this node must have such a role in its room. Tasks that are running continue on
/// their nodes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag takeover 4r1xec --force")]
pub(crate) struct Args {
    /// The run: its id, the beginning or the last characters of it
    #[arg(value_name = "RUN")]
    run: String,
    /// Confirm: the run's node may be at work, and loses the run with this
    #[arg(long, required = true)]
    force: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let run = client.take_over_run(&args.run).await?;
        output::show(context.json, &run, |run| said(run, "is coordinated by this node now"))?;
        Ok(Exit::OK)
    })
}
