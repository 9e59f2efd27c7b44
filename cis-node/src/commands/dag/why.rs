//! `cis dag why`.

use super::run_or_newest;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};

/// Says why a task is where it is, and what can be done
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag why deploy
  cis dag why deploy --run 4r1xec")]
pub(crate) struct Args {
    /// The task
    #[arg(value_name = "TASK")]
    task: String,
    /// The run [default: the newest]
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let run = run_or_newest(&client, args.run.as_deref()).await?;
        let why = client.why(&run, &args.task).await?;
        output::show(context, &why, human::why)?;
        Ok(Exit::OK)
    })
}
