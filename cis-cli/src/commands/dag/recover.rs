//! `cis dag recover`.

use cis_core::api::RecoverRuns;

use super::place;
use crate::context::{Context, current_dir};
use crate::error::{CliError, Exit};
use crate::output::{self, human};

/// Rebuild runs from a room's history, in a store that does not have them
///
/// The room contains the journals of runs: signed events say what happened, who answered what, and how each run
/// ended. Runs that the store already has are not changed. Events of untrusted nodes are ignored: restore the old
/// identity.key first, or trust that node with `cis identity trust DID`. Logs and files are not in a room. Tasks that
/// run again start in the current directory.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis dag recover --room '#builds:example.org'
  cis dag recover --room '#builds:example.org' --json | jq '.runs[] | select(.lacks)'")]
pub(crate) struct Args {
    /// The room: an id, an alias, or a matrix.to link
    #[arg(long, value_name = "ROOM", value_parser = place::room)]
    room: String,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    let workdir = current_dir()?;
    context.block_on(async {
        let report = client.recover_runs(&args.room, &RecoverRuns { workdir }).await?;
        output::show(context.json, &report, human::recovered)?;
        let nothing = report.runs.is_empty() && !report.unknown.is_empty();
        Ok(if nothing { Exit::FAILED } else { Exit::OK })
    })
}
