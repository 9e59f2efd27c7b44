//! `cis matrix whoami`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};

/// Show the node's Matrix account, and whether its homeserver accepts the login
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis matrix whoami
  cis matrix whoami --json | jq -r .user_id")]
pub(crate) struct Args {}

pub(super) fn run(context: &Context, _args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let account = client.matrix_account().await?;
        output::show(context.json, &account, human::matrix_account)?;
        Ok(Exit::OK)
    })
}
