//! `cis dag approve`, and what it shares with `cis dag reject`.

use cis_client::Client;
use cis_core::api::{AnswerWith, Decide, InboxItem, ListInbox, ListRuns, RunView};
use cis_core::event::AskType;

use super::newest;
use crate::commands::answer::give;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;
use crate::output::clean::clean;

/// Approve a task that waits for approval, or the work of a task that asked for a review
///
/// An approved task starts when it leaves the queue. Only the first decision counts; a later one fails and says who
/// decided first. One approval of a task with foreach is for all of its items.
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
#[command(after_help = "\
Examples:
  cis dag approve deploy
  cis dag approve 4r1xec deploy --comment \"after the backup\"")]
pub(crate) struct Args {
    /// The run [default: the open run in which the task is waiting]
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// The task
    #[arg(value_name = "TASK")]
    task: String,
    /// Comment, stored in the run's history
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
        let held = review(&client, run, task).await?;
        let run = match &held {
            Some(held) => answer(&client, held, decision).await?,
            None => {
                let run = match run {
                    Some(run) => run.to_owned(),
                    None => waiting(&client, task).await?,
                };
                client.decide(&run, task, decision).await?
            }
        };
        output::show(context.json, &run, |run| {
            let dag = clean(&run.dag);
            let whose = if held.is_some() { "The work of task" } else { "Task" };
            format!("{whose} {task} of run {} ({dag}) {what}.\n", run.id.short())
        })?;
        Ok(Exit::OK)
    })
}

/// The work of that task that is held for a look at it (`cis task review`), oldest first.
async fn review(client: &Client, run: Option<&str>, task: &str) -> Result<Option<InboxItem>, CliError> {
    let which = ListInbox { run: run.map(str::to_owned), ..ListInbox::default() };
    let mut held = client.whole_inbox(which).await?;
    held.retain(|item| {
        item.ask_type == Some(AskType::Review) && item.task.as_ref().is_some_and(|id| id.as_str() == task)
    });
    let mut runs: Vec<String> = held.iter().filter_map(|item| item.run).map(|run| run.short()).collect();
    runs.dedup();
    if runs.len() > 1 {
        return Err(CliError::bad_input(format!("work of task `{task}` waits in {} runs", runs.len()))
            .hint(format!("name the run: {}", runs.join(", "))));
    }
    Ok(held.into_iter().next())
}

async fn answer(client: &Client, held: &InboxItem, decision: &Decide) -> Result<RunView, CliError> {
    let option = if decision.approve { "approve" } else { "reject" }.to_owned();
    give(client, held, AnswerWith::Option { option }, decision.reason.clone(), None).await?;
    let run = held.run.map(|run| run.to_string()).unwrap_or_default();
    Ok(client.run(&run).await?.run)
}

/// The open run in which the task waits for approval; where it waits in none, the newest run, which says
/// how it stands with it.
async fn waiting(client: &Client, task: &str) -> Result<String, CliError> {
    let open = ListRuns { open: true, limit: Some(1000), ..ListRuns::default() };
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
