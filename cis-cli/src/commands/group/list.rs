//! `cis group list`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};

/// List the concurrency groups of the node, of its rooms and of the DAG files of open runs
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis group list
  cis group list --json | jq '.items[] | {name, active, limit}'")]
pub(crate) struct Args {}

pub(super) fn run(context: &Context, _args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let groups = client.groups().await?;
        output::show(context.json, &groups, |groups| human::groups(&groups.items))?;
        Ok(Exit::OK)
    })
}
