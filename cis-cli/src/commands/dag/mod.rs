//! `cis dag`: runs, their tasks and sessions.

mod approve;
mod artifacts;
mod attach;
mod context;
mod events;
mod execute;
mod explain;
mod export;
mod graph;
mod history;
pub(crate) mod kill;
mod list;
mod logs;
mod mode;
mod no_session;
mod picker;
pub(super) mod place;
mod recover;
mod reject;
mod retry;
mod run;
mod schema;
pub(crate) mod sessions;
mod show;
mod steer;
mod takeover;
mod unblock;
mod validate;
mod verify;
mod watch;
mod why;

use cis_client::Client;
use cis_core::api::{ListRuns, RunView};
use clap::Subcommand;

use self::steer::Word;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::clean::clean;

/// What can be done with runs, tasks and their sessions.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(run::Args),
    Execute(execute::Args),
    List(list::Args),
    Show(show::Args),
    Validate(validate::Args),
    Graph(graph::Args),
    Schema(schema::Args),
    Cancel(steer::CancelArgs),
    /// Pause a run: its running tasks continue, but no more are started
    #[command(after_help = "Examples:\n  cis dag pause 4r1xec")]
    Pause(steer::Args),
    /// Resume a paused run
    #[command(after_help = "Examples:\n  cis dag resume 4r1xec")]
    Resume(steer::Args),
    Retry(retry::Args),
    Mode(mode::Args),
    Takeover(takeover::Args),
    Recover(recover::Args),
    Why(why::Args),
    History(history::Args),
    Export(export::Args),
    Verify(verify::Args),
    Events(events::Args),
    Explain(explain::Args),
    Approve(approve::Args),
    Reject(reject::Args),
    Context(context::Args),
    Artifacts(artifacts::Args),
    Sessions(sessions::Args),
    Watch(watch::Args),
    Attach(attach::Args),
    Logs(logs::Args),
    Kill(kill::Args),
    Unblock(unblock::Args),
}

pub(crate) fn run(context: &Context, command: Command) -> Result<Exit, CliError> {
    match command {
        Command::Run(args) => run::run(context, &args),
        Command::Execute(args) => execute::run(context, &args),
        Command::List(args) => list::run(context, &args),
        Command::Show(args) => show::run(context, &args),
        Command::Validate(args) => validate::run(context, &args),
        Command::Graph(args) => graph::run(context, &args),
        Command::Schema(args) => schema::run(context, &args),
        Command::Cancel(args) => steer::cancel(context, &args),
        Command::Pause(args) => steer::run(context, &args, Word::Pause),
        Command::Resume(args) => steer::run(context, &args, Word::Resume),
        Command::Retry(args) => retry::run(context, &args),
        Command::Mode(args) => mode::run(context, &args),
        Command::Takeover(args) => takeover::run(context, &args),
        Command::Recover(args) => recover::run(context, &args),
        Command::Why(args) => why::run(context, &args),
        Command::Export(args) => export::run(context, &args),
        Command::Verify(args) => verify::run(context, &args),
        Command::History(args) => history::run(context, &args),
        Command::Events(args) => events::run(context, &args),
        Command::Explain(args) => explain::run(context, &args),
        Command::Approve(args) => approve::run(context, &args),
        Command::Reject(args) => reject::run(context, &args),
        Command::Context(args) => context::run(context, &args),
        Command::Artifacts(args) => artifacts::run(context, &args),
        Command::Sessions(args) => sessions::run(context, &args),
        Command::Watch(args) => watch::run(context, &args),
        Command::Attach(args) => attach::run(context, &args),
        Command::Logs(args) => logs::run(context, &args),
        Command::Kill(args) => kill::run(context, &args),
        Command::Unblock(args) => unblock::run(context, &args),
    }
}

/// The run that was named, or the newest.
async fn run_or_newest(client: &Client, named: Option<&str>) -> Result<String, CliError> {
    match named {
        Some(name) => Ok(name.to_owned()),
        None => newest(client).await.map(|run| run.id.to_string()),
    }
}

async fn newest(client: &Client) -> Result<RunView, CliError> {
    let which = ListRuns { limit: Some(1), ..ListRuns::default() };
    let first = client.runs(&which).await?.items.into_iter().next();
    first.ok_or_else(|| CliError::bad_input("no runs yet").hint("`cis dag run FILE` starts one"))
}

/// One sentence about a run that something was done with; an ended one is said to be that.
fn said(run: &RunView, what: &str) -> String {
    let state = run.state;
    let what = if state.is_terminal() { format!("has ended: {state}") } else { what.to_owned() };
    format!("Run {} ({}) {what}.\n", run.id.short(), clean(&run.dag))
}
