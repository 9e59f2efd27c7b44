//! `cis identity untrust`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Trusts another node no more
///
/// Its key is not void: it may be trusted again. A key that was stolen is revoked instead.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis identity untrust did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK")]
pub(crate) struct Args {
    /// The node
    #[arg(value_name = "DID")]
    did: String,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let view = client.untrust(&args.did).await?;
        output::show(context.json, &view, |_| format!("{} is trusted no more.\n", args.did))?;
        Ok(Exit::OK)
    })
}
