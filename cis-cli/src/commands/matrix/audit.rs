//! `cis matrix audit`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};

/// Checks what nodes wrote in a room, from its first event to its last
///
/// Every signature, every number, every journal of a run, the files that they name, and whether what the store has of
/// those runs is the same. Nothing is changed. Ends with 1 where something is missing of what this node and those that it
/// trusts wrote, or contradicts the store. What others wrote or forged is shown, and decides nothing: say first whom you trust
/// (`cis identity trust DID`).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis matrix audit '#builds:example.org'
  cis matrix audit '#builds:example.org' --json | jq '.runs[] | select(.lacks)'")]
pub(crate) struct Args {
    /// The room: its id, an alias, or a link of matrix.to
    #[arg(value_name = "ROOM")]
    room: String,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let report = client.audit_matrix_room(&args.room).await?;
        output::show(context.json, &report, human::audited)?;
        Ok(if report.is_whole() { Exit::OK } else { Exit::FAILED })
    })
}
