//! `cis dag retry`.

use cis_core::api::RetryRun;
use cis_core::event::RetryScope;
use cis_core::ids::TaskId;

use super::run::Quiet;
use crate::context::Context;
use crate::ctrl_c::CtrlC;
use crate::error::{CliError, Exit};
use crate::follow::Telling;
use crate::{follow, output};

/// Run tasks of an ended run again
///
/// Without an option, all tasks run again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag retry 4r1xec --failed --follow
  cis dag retry 4r1xec --from build
  cis dag retry 4r1xec --from compile --from fetch")]
pub(crate) struct Args {
    /// The run: its id, the beginning or the last characters of it
    #[arg(value_name = "RUN")]
    run: String,
    /// Only tasks that did not succeed, and those that need them
    #[arg(long, conflicts_with = "from")]
    failed: bool,
    /// Only this task and the tasks that need it; may be given several times
    #[arg(long, value_name = "TASK")]
    from: Vec<TaskId>,
    /// Follow the run to its end
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    quiet: Quiet,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let scope = match args.from.split_first() {
        Some((task, also)) => RetryScope::From { task: task.clone(), also: also.to_vec() },
        None if args.failed => RetryScope::Failed,
        None => RetryScope::All,
    };
    let client = context.client()?;
    context.block_on(async {
        // Everything up to here is history: also an end of the run that came before.
        let before = client.run(&args.run).await?.run;
        let (id, request) = (before.id.to_string(), RetryRun { scope });
        if args.follow {
            let mut ctrl_c = CtrlC::listen()?;
            let run = ctrl_c.during(client.retry_run(&id, &request)).await?;
            let telling = Telling { history: before.last_offset, volume: args.quiet.volume() };
            return Box::pin(follow::follow(context, client, &run, telling, ctrl_c)).await;
        }
        let run = client.retry_run(&id, &request).await?;
        output::show(context.json, &run, |run| super::said(run, "runs again"))?;
        Ok(Exit::OK)
    })
}
