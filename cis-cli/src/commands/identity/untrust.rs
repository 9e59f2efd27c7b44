//! `cis identity untrust`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Stop trusting another node
///
/// You can trust its key again later. If the key was stolen, use `cis identity revoke` instead.
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
        output::show(context.json, &view, |_| format!("{} is no longer trusted.\n", args.did))?;
        Ok(Exit::OK)
    })
}
