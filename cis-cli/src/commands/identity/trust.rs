//! `cis identity trust`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;
use cis_core::identity::Right;

/// Trust another node: this node obeys its requests
///
/// Compare the DID with the output of `cis identity show` on that node, over a channel that nobody else can write to.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis identity trust did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK
  cis identity trust did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK --name builder --may execute")]
pub(crate) struct Args {
    /// The node
    #[arg(value_name = "DID")]
    did: String,
    /// Name of the node in listings
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What the node may do in runs with --matrix, besides publishing runs that this node reads: `execute` tasks of this
    /// node's runs, `coordinate` runs whose tasks this node executes
    #[arg(long, value_name = "RIGHT", value_delimiter = ',')]
    may: Option<Vec<Right>>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let view = client.trust(&args.did, args.name.clone(), args.may.clone()).await?;
        output::show(context.json, &view, |_| format!("{} is trusted.\n", args.did))?;
        Ok(Exit::OK)
    })
}
