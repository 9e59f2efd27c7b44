//! `cis node token revoke`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Makes a token void, at once: streams that are open by it end
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node token revoke ann@laptop
  cis node token revoke 01JD0V3Z8K6T9W2B5N7Q4R1XEC")]
pub(crate) struct Args {
    /// Its name, or its id
    #[arg(value_name = "TOKEN")]
    token: String,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    // Somebody may take one for the other; it must not become part of a message.
    if args.token.starts_with(cis_core::policy::token::TOKEN_PREFIX) {
        return Err(CliError::bad_input("this is a token itself: a name or an id is asked for").hint(
            "`cis node token list` shows both; as it stood among arguments, others may have seen that token",
        ));
    }
    let client = context.client()?;
    context.block_on(async {
        let revoked = client.revoke_token(&args.token).await?;
        output::show(context.json, &revoked, |revoked| format!("The token {} is void.\n", revoked.name))?;
        Ok(Exit::OK)
    })
}
