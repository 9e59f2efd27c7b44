//! `cis node policy show`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};
use cis_local::now_ms;

/// Show which tasks of other nodes this node executes
///
/// Tasks of runs that were submitted to this node, and that it runs itself, are not subject to the policy.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node policy show
  cis node policy show --json | jq '.rules[] | {number, effect, command}'")]
pub(crate) struct Args {}

pub(super) fn run(context: &Context, _args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let policy = client.policy().await?;
        output::show(context.json, &policy, |policy| human::policy(policy, now_ms()))?;
        Ok(Exit::OK)
    })
}
