//! `cis identity trust`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Trusts another node: what it asks for may be done
///
/// Compare the DID with what `cis identity show` prints on that node, by a way that nobody else writes to.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis identity trust did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK
  cis identity trust did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK --name builder")]
pub(crate) struct Args {
    /// The node
    #[arg(value_name = "DID")]
    did: String,
    /// What you call it, for listings
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let view = client.trust(&args.did, args.name.clone()).await?;
        output::show(context.json, &view, |_| format!("{} is trusted.\n", args.did))?;
        Ok(Exit::OK)
    })
}
