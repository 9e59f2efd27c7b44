//! `cis session terminate`.

use std::time::Duration;

use crate::commands::dag::kill::kill;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::settings;

/// End a session and all of its processes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis session terminate build
  cis session terminate 4r1xec --grace 1s")]
pub(crate) struct Args {
    /// The session: its id or the beginning or last characters of it, its name, or its task
    #[arg(value_name = "SESSION")]
    session: String,
    /// Grace period between SIGTERM and SIGKILL [default: the task's own, or 10s]
    #[arg(long, value_name = "TIME", value_parser = settings::duration)]
    grace: Option<Duration>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    kill(context, &args.session, args.grace)
}
