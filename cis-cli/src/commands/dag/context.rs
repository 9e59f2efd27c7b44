//! `cis dag context`.

use super::run_or_newest;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};

/// Show what a task gets from the tasks that it needs
///
/// Shows their current states, outputs, artifacts and the ends of their logs. The task finds these in its environment
/// (CIS_NEEDS, CIS_NEED_TASK_OUTPUT) and in the file CIS_CONTEXT. Secrets are hidden here, but the task gets the real
/// values of outputs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag context deploy
  cis dag context deploy --run 4r1xec --json")]
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
        let found = client.task_context(&run, &args.task).await?;
        output::show(context.json, &found, human::context)?;
        Ok(Exit::OK)
    })
}
