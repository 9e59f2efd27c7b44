//! `cis matrix audit`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};

/// Audit what nodes wrote in a room, from its first event to its last
///
/// Checks all signatures, sequence numbers, journals of runs and the files that they name, and compares them with the
/// store. Changes nothing. The exit code is 1 if events of this node or of nodes that it trusts are missing or
/// contradict the store. Events of other nodes, and forged ones, are shown but do not affect the exit code: trust
/// those nodes first with `cis identity trust DID`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis matrix audit '#builds:example.org'
  cis matrix audit '#builds:example.org' --json | jq '.runs[] | select(.lacks)'")]
pub(crate) struct Args {
    /// The room: its id, an alias, or a matrix.to link
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
