//! `cis dag cancel`, `pause` and `resume`: one word to a run.

use cis_client::{Client, ClientError};
use cis_core::api::RunView;

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

/// What is said to it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Word {
    Cancel,
    Pause,
    Resume,
}

impl Word {
    async fn say(self, client: &Client, run: &str) -> Result<RunView, ClientError> {
        match self {
            Self::Cancel => client.cancel_run(run).await,
            Self::Pause => client.pause_run(run).await,
            Self::Resume => client.resume_run(run).await,
        }
    }

    /// What becomes of it.
    fn effect(self) -> &'static str {
        match self {
            Self::Cancel => "is being cancelled",
            Self::Pause => "is paused; `cis dag resume` resumes it",
            Self::Resume => "continues",
        }
    }
}

pub(super) fn run(context: &Context, args: &Args, word: Word) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let run = word.say(&client, &args.run).await?;
        output::show(context.json, &run, |run| super::said(run, word.effect()))?;
        Ok(Exit::OK)
    })
}
