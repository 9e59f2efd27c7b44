//! `cis dag history`.

use cis_client::{Client, ClientError};
use cis_core::api::{HistoryAction, HistoryEntry, ProblemKind};

use super::run_or_newest;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};

/// List who did what with a run: decisions, answers, control
///
/// Each entry says who did something, when, over which channel, and with what result: who submitted, cancelled or
/// retried the run, who approved a task with which comment, who answered which question. Entries are kept after the end
/// of the run. What a person types into an attached terminal is not recorded.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag history
  cis dag history 4r1xec --task deploy
  cis dag history 4r1xec --action approved --action rejected
  cis dag history 4r1xec --json | jq -r 'select(.action == \"approved\") | .actor.name'")]
pub(crate) struct Args {
    /// The run [default: the newest]
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// Only actions on this task or on its items
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    /// Only this action; may be given several times
    #[arg(long = "action", value_name = "ACTION", value_parser = action_parser())]
    actions: Vec<HistoryAction>,
}

fn action_parser() -> impl clap::builder::TypedValueParser<Value = HistoryAction> {
    use clap::builder::TypedValueParser as _;
    let names = HistoryAction::ALL.map(HistoryAction::as_str);
    clap::builder::PossibleValuesParser::new(names)
        .map(|name| HistoryAction::parse(&name).unwrap_or(HistoryAction::Created))
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let run = run_or_newest(&client, args.run.as_deref()).await?;
        let mut entries = client.run_history(&run, args.task.as_deref()).await?;
        entries.retain(|entry| args.actions.is_empty() || args.actions.contains(&entry.action));
        if context.json {
            entries.iter().try_for_each(output::json_line)?;
        } else {
            output::print(&human::history(&entries))?;
        }
        Ok(Exit::OK)
    })
}

/// Reads the history of a run or of a task for a command that shows more than the history; empty if the node is too
/// old to have it.
pub(super) async fn read_all(
    client: &Client,
    run: &str,
    task: Option<&str>,
) -> Result<Vec<HistoryEntry>, CliError> {
    match client.run_history(run, task).await {
        Err(ClientError::Problem(problem)) if problem.kind == ProblemKind::NotFound => Ok(Vec::new()),
        history => Ok(history?),
    }
}
