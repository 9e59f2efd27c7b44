//! `cis identity revoke`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Revoke the key of another node permanently
///
/// Nothing that this key signed counts any more, not even a change to another key. This cannot be undone: the node
/// needs a new key, which you trust instead.
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
        output::show(context.json, &view, |_| format!("Revoked the key of {}.\n", args.did))?;
        Ok(Exit::OK)
    })
}
