//! `cis node policy remove`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Remove a rule of the policy
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node policy remove 3")]
pub(crate) struct Args {
    /// Number of the rule; `cis node policy show` lists the numbers
    #[arg(value_name = "N")]
    number: u32,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let removed = client.remove_policy_rule(args.number).await?;
        output::show(context.json, &removed, |removed| {
            format!("Removed rule {}: {}\n", removed.number, output::clean::clean(&removed.rule.to_string()))
        })?;
        Ok(Exit::OK)
    })
}
