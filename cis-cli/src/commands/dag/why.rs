//! `cis dag why`.

use cis_core::api::{HistoryEntry, WhyView};
use serde::Serialize;

use super::history::read_all;
use super::run_or_newest;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};

/// Explain a task's state, who did what with it, and what you can do about it
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
        let history = read_all(&client, &run, Some(why.task.as_str())).await?;
        output::show(context.json, &Shown { why: &why, history: &history }, |Shown { why, history }| {
            let all = format!("cis dag history {} --task {}", why.run.short(), why.task);
            human::why(why) + human::recent_history(history, &all).as_str()
        })?;
        Ok(Exit::OK)
    })
}

/// The explanation of a task with its history, as JSON.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    why: &'a WhyView,
    history: &'a [HistoryEntry],
}
