//! `cis node token list`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};
use cis_local::now_ms;

/// List tokens that are not revoked, without their secret values
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node token list
  cis node token list --json | jq -r '.items[] | select(.expired) | .id'")]
pub(crate) struct Args {}

pub(super) fn run(context: &Context, _args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let tokens = client.tokens().await?;
        output::show(context.json, &tokens, |tokens| human::tokens(&tokens.items, now_ms()))?;
        Ok(Exit::OK)
    })
}
