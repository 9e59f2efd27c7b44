//! `cis dag cancel`, `pause` and `resume`: one word to a run.

use cis_client::{Client, ClientError};
use cis_core::api::{CancelRun, RunView};

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Which run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run: its id, the beginning or the last characters of it
    #[arg(value_name = "RUN")]
    run: String,
}

/// Cancel a run: end its sessions and start no more of its tasks
///
/// Tasks with `trigger = "always"` and handlers (`[dag.on]`) still run: they clean up. This is also so if the run is cancelled again, by
/// somebody else or after its `timeout`. With --now, they end as well, and those that have not started are not started.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag cancel 4r1xec
  cis dag cancel 4r1xec --now")]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    which: Args,
    /// Also cancel tasks with the trigger `always` and handlers
    #[arg(long)]
    now: bool,
}

/// What is said to it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Word {
    Cancel(CancelRun),
    Pause,
    Resume,
}

impl Word {
    async fn say(self, client: &Client, run: &str) -> Result<RunView, ClientError> {
        match self {
            Self::Cancel(how) => client.cancel_run(run, how).await,
            Self::Pause => client.pause_run(run).await,
            Self::Resume => client.resume_run(run).await,
        }
    }

    /// What becomes of it.
    fn effect(self) -> &'static str {
        match self {
            Self::Cancel(_) => "is being cancelled",
            Self::Pause => "is paused; `cis dag resume` resumes it",
            Self::Resume => "continues",
        }
    }
}

pub(super) fn cancel(context: &Context, args: &CancelArgs) -> Result<Exit, CliError> {
    run(context, &args.which, Word::Cancel(CancelRun { now: args.now }))
}

pub(super) fn run(context: &Context, args: &Args, word: Word) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let run = word.say(&client, &args.run).await?;
        output::show(context.json, &run, |run| super::said(run, word.effect()))?;
        Ok(Exit::OK)
    })
}
