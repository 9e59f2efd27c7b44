//! `cis dag show`.

use cis_core::api::{HistoryEntry, ReadTime, RunDetail};
use serde::Serialize;

use super::history::read_all;
use super::run_or_newest;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};
use cis_local::now_ms;

/// Show a run, its tasks and who did what with it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag show
  cis dag show --time
  cis dag show 4r1xec --json | jq .tasks")]
pub(crate) struct Args {
    /// The run [default: the newest]
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// Show where the time went: queue, machine and human, per task and on the critical path
    #[arg(long)]
    time: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let run = run_or_newest(&client, args.run.as_deref()).await?;
        if args.time {
            let times = client.run_time(&run, &ReadTime::default()).await?;
            output::show(context.json, &times, human::times)?;
            return Ok(Exit::OK);
        }
        let detail = client.run(&run).await?;
        let history = read_all(&client, &run, None).await?;
        output::show(
            context.json,
            &Shown { detail: &detail, history: &history },
            |Shown { detail, history }| {
                let all = format!("cis dag history {}", detail.run.id.short());
                human::run(detail, now_ms()) + human::recent_history(history, &all).as_str()
            },
        )?;
        Ok(Exit::OK)
    })
}

/// A run with its history, as JSON.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    detail: &'a RunDetail,
    history: &'a [HistoryEntry],
}
