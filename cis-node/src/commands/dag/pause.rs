//! `cis dag pause`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Pauses a run: what runs goes on, nothing new is started
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag pause 4r1xec")]
pub(crate) struct Args {
    /// The run: its id, the beginning or the last characters of it
    #[arg(value_name = "RUN")]
    run: String,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let run = client.pause_run(&args.run).await?;
        output::show(context, &run, |run| super::said(run, "is paused; `cis dag resume` goes on"))?;
        Ok(Exit::OK)
    })
}
