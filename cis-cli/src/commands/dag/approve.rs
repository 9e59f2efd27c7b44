//! `cis dag approve`, and what it shares with `cis dag reject`.

use std::collections::BTreeSet;

use cis_client::Client;
use cis_core::api::{AnswerWith, Decide, InboxItem, ListInbox, ListRuns, RunView};
use cis_core::event::AskType;
use cis_core::ids::RunId;

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
        let mut held = reviews(&client, run, task).await?;
        let run = match run {
            Some(run) => run.to_owned(),
            None => {
                let waiting = waiting(&client, &held, task).await?;
                held.retain(|item| item.run == Some(waiting));
                waiting.to_string()
            }
        };
        let held = held.first();
        let run = match held {
            Some(held) => answer(&client, held, decision).await?,
            None => client.decide(&run, task, decision).await?,
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
async fn reviews(client: &Client, run: Option<&str>, task: &str) -> Result<Vec<InboxItem>, CliError> {
    let which = ListInbox { run: run.map(str::to_owned), ..ListInbox::default() };
    let mut held = client.whole_inbox(which).await?;
    held.retain(|item| {
        item.ask_type == Some(AskType::Review) && item.task.as_ref().is_some_and(|id| id.as_str() == task)
    });
    Ok(held)
}

async fn answer(client: &Client, held: &InboxItem, decision: &Decide) -> Result<RunView, CliError> {
    let option = if decision.approve { "approve" } else { "reject" }.to_owned();
    give(client, held, AnswerWith::Option { option }, decision.reason.clone(), None).await?;
    let run = held.run.map(|run| run.to_string()).unwrap_or_default();
    Ok(client.run(&run).await?.run)
}

/// The open run in which the task waits for approval, or in which its work is held; where there is none, the newest
/// run, which says how it stands with it.
async fn waiting(client: &Client, held: &[InboxItem], task: &str) -> Result<RunId, CliError> {
    let open = ListRuns { open: true, limit: Some(1000), ..ListRuns::default() };
    let open = client.runs(&open).await?.items;
    let asks = |run: &&RunView| run.approvals.iter().any(|asked| asked.as_str() == task);
    let approvals = open.iter().filter(asks).map(|run| run.id);
    // A set: a run in which several sessions of the task ask counts once.
    let runs: BTreeSet<RunId> = held.iter().filter_map(|item| item.run).chain(approvals).collect();
    let mut several = runs.iter().copied();
    match (several.next(), several.next()) {
        (None, _) => newest(client).await.map(|run| run.id),
        (Some(run), None) => Ok(run),
        (Some(_), Some(_)) => {
            let names: Vec<String> = runs.iter().map(RunId::short).collect();
            Err(CliError::bad_input(format!("task `{task}` waits in {} runs", runs.len()))
                .hint(format!("name the run: {}", names.join(", "))))
        }
    }
}
