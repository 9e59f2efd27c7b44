//! `cis dag execute`.

use cis_client::ClientError;
use cis_core::api::{ProblemKind, SetMode};
use cis_core::event::RunState;

use super::run::{How, Quiet, follow_from_here, follow_new, print_id, request};
use crate::context::Context;
use crate::ctrl_c::CtrlC;
use crate::error::{CliError, Exit};
use crate::follow::Telling;
use crate::{dag_file, follow};

/// Follow a run to its end; start or resume it if necessary
///
/// Starts a created run, resumes a paused one, follows an open one, and shows the outcome of an ended one. The exit
/// code is always the run's outcome. With FILE, the command creates a new run.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  id=$(cis dag run ship.toml --create-only)
  cis dag execute --run-id \"$id\"
  cis dag execute ship.toml --hybrid --room '#builds:example.org'
  cis dag execute ship.toml --use-agent=claude")]
#[command(group = clap::ArgGroup::new("what").required(true).args(["file", "run_id"]))]
pub(crate) struct Args {
    /// The DAG file of a new run; `-` reads it from standard input
    #[arg(value_name = "FILE")]
    file: Option<String>,
    /// The run: its id, the beginning or the last characters of it
    #[arg(long, value_name = "RUN")]
    run_id: Option<String>,
    #[command(flatten)]
    how: How,
    /// Do not follow the run
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    quiet: Quiet,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    if let Some(name) = &args.run_id {
        return existing(context, name, args);
    }
    let file = dag_file::read(args.file.as_deref().unwrap_or("-"))?;
    let request = request(context, file, &args.how, true)?;
    let client = context.client()?;
    context.block_on(async {
        if args.detach {
            return print_id(context, &client.create_run(&request).await?);
        }
        follow_new(context, client, &request, args.quiet.volume()).await
    })
}

fn existing(context: &Context, name: &str, args: &Args) -> Result<Exit, CliError> {
    if !args.how.params.by_name()?.is_empty() {
        return Err(CliError::bad_input("cannot change the parameters of an existing run")
            .hint("omit --param, or give a FILE to create a new run"));
    }
    if args.how.agent.used().is_some() {
        return Err(CliError::bad_input("cannot change the agent of an existing run")
            .hint("omit --use-agent, or give a FILE to create a new run"));
    }
    if args.how.no_cache {
        return Err(CliError::bad_input("cannot change whether an existing run uses cached results")
            .hint("omit --no-cache, or give a FILE to create a new run"));
    }
    let client = context.client()?;
    context.block_on(async {
        let mut before = client.run(name).await?.run;
        let id = before.id.to_string();
        if let Some(mode) = args.how.place.asked().filter(|_| !before.state.is_terminal()) {
            let how = SetMode { mode, room: args.how.place.room() };
            before = client.set_mode(&id, &how).await?.run;
        }
        let run = match before.state {
            RunState::Created => client.start_run(&id).await?,
            RunState::Paused => client.resume_run(&id).await?,
            RunState::Running => match client.resume_run(&id).await {
                // There is nothing to resume: it goes on already.
                Err(ClientError::Problem(problem)) if problem.kind == ProblemKind::Conflict => before.clone(),
                // It cannot go on, and this says why.
                answer => answer?,
            },
            _ => before.clone(),
        };
        if args.detach {
            return print_id(context, &run);
        }
        if before.state == RunState::Created {
            let telling = Telling { history: before.last_offset, volume: args.quiet.volume() };
            return Box::pin(follow::follow(context, client, &run, telling, CtrlC::listen()?)).await;
        }
        follow_from_here(context, client, &run, args.quiet.volume()).await
    })
}
