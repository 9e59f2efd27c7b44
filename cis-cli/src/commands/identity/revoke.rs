//! `cis identity revoke`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Makes the key of another node void, for good
///
/// Nothing that it signed counts any more, a change to another key included. This cannot be taken back: that node
/// needs a new key, and that one is trusted instead.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis identity revoke did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK")]
pub(crate) struct Args {
    /// The node
    #[arg(value_name = "DID")]
    did: String,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let view = client.revoke(&args.did).await?;
        output::show(context.json, &view, |_| format!("The key of {} is void.\n", args.did))?;
        Ok(Exit::OK)
    })
}
