//! `cis dag approve`, and what it shares with `cis dag reject`.

use cis_core::api::{Decide, ListRuns};
use cis_core::client::Client;

use super::newest;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;
use crate::output::clean::clean;

/// Approves a task that waits for it: it starts when it is its turn
///
/// The first decision counts; whoever comes later is told who was first. A task with foreach is approved once for
/// all its items.
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
#[command(after_help = "\
Examples:
  cis dag approve deploy
  cis dag approve 4r1xec deploy --comment \"after the backup\"")]
pub(crate) struct Args {
    /// The run [default: the open one in which that task waits]
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// The task
    #[arg(value_name = "TASK")]
    task: String,
    /// In your words; it stands in the run's history
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let decision = Decide { approve: true, reason: args.comment.clone() };
    decide(context, args.run.as_deref(), &args.task, &decision, "is approved")
}

/// Sends a decision, and says what it did.
pub(super) fn decide(
    context: &Context,
    run: Option<&str>,
    task: &str,
    decision: &Decide,
    what: &str,
) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let run = match run {
            Some(run) => run.to_owned(),
            None => waiting(&client, task).await?,
        };
        let run = client.decide(&run, task, decision).await?;
        output::show(context, &run, |run| {
            let dag = clean(&run.dag);
            format!("Task {task} of run {} ({dag}) {what}.\n", run.id.short())
        })?;
        Ok(Exit::OK)
    })
}

/// The open run in which the task waits for approval; where it waits in none, the newest run, which says
/// how it stands with it.
async fn waiting(client: &Client, task: &str) -> Result<String, CliError> {
    let open = ListRuns { open: true, limit: Some(1000), after: None };
    let runs = client.runs(&open).await?.items;
    let waiting: Vec<_> =
        runs.iter().filter(|run| run.approvals.iter().any(|asked| asked.as_str() == task)).collect();
    match waiting.as_slice() {
        [] => newest(client).await.map(|run| run.id.to_string()),
        [run] => Ok(run.id.to_string()),
        several => {
            let names: Vec<String> = several.iter().map(|run| run.id.short()).collect();
            Err(CliError::bad_input(format!("task `{task}` waits in {} runs", several.len()))
                .hint(format!("name the run: {}", names.join(", "))))
        }
    }
}
