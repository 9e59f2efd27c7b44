//! `cis session list`.

use cis_core::api::ListSessions;

use crate::commands::dag::sessions::list;
use crate::context::Context;
use crate::error::{CliError, Exit};

/// List sessions, including those of runs
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis session list
  cis session list --all --json")]
pub(crate) struct Args {
    /// Include ended sessions
    #[arg(long)]
    all: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    list(context, &ListSessions { all: args.all, ..ListSessions::default() })
}
