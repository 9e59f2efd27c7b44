//! `cis dag sessions`.

use cis_core::api::ListSessions;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};
use cis_local::now_ms;

/// List live sessions, or all
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag sessions
  cis dag sessions --all --run 4r1xec
  cis dag sessions --json | jq -r '.items[].pid'")]
pub(crate) struct Args {
    /// Include ended sessions
    #[arg(long)]
    all: bool,
    /// Only sessions of this run
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    list(context, &ListSessions { all: args.all, run: args.run.clone(), ..ListSessions::default() })
}

/// Lists them; `cis session list` does the same for all runs.
pub(crate) fn list(context: &Context, which: &ListSessions) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let listing = client.all_sessions(which).await?;
        output::show(context.json, &listing, |listing| human::sessions(&listing.items, now_ms()))?;
        Ok(Exit::OK)
    })
}
