//! `cis node token revoke`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Revoke a token immediately; its open streams end
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node token revoke ann@laptop
  cis node token revoke 01JD0V3Z8K6T9W2B5N7Q4R1XEC")]
pub(crate) struct Args {
    /// Name or id of the token
    #[arg(value_name = "TOKEN")]
    token: String,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    // Somebody may take one for the other; it must not become part of a message.
    if args.token.starts_with(cis_core::policy::token::TOKEN_PREFIX) {
        return Err(CliError::bad_input("expected the name or id of a token, not the token itself").hint(
            "`cis node token list` shows both; other users may have seen this token, because it was an argument",
        ));
    }
    let client = context.client()?;
    context.block_on(async {
        let revoked = client.revoke_token(&args.token).await?;
        output::show(context.json, &revoked, |revoked| format!("Revoked the token {}.\n", revoked.name))?;
        Ok(Exit::OK)
    })
}
