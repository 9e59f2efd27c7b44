//! `cis dag cancel`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Cancels a run: ends its sessions, starts nothing more of it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag cancel 4r1xec")]
pub(crate) struct Args {
    /// The run: its id, the beginning or the last characters of it
    #[arg(value_name = "RUN")]
    run: String,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let run = client.cancel_run(&args.run).await?;
        output::show(context, &run, |run| super::said(run, "is being cancelled"))?;
        Ok(Exit::OK)
    })
}
