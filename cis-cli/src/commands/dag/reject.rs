//! `cis dag reject`.

use cis_core::api::Decide;

use super::approve::decide;
use crate::context::Context;
use crate::error::{CliError, Exit};

/// Reject a task that waits for approval (it fails without being started), or work that waits for a review
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
#[command(after_help = "\
Examples:
  cis dag reject deploy --reason \"not on a Friday\"
  cis dag reject 4r1xec deploy --reason \"the tests are red\"")]
pub(crate) struct Args {
    /// The run [default: the open run in which the task is waiting]
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// The task
    #[arg(value_name = "TASK")]
    task: String,
    /// Reason, stored in the run's history
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let decision = Decide { approve: false, reason: Some(args.reason.clone()) };
    decide(context, args.run.as_deref(), &args.task, &decision, "is rejected")
}
