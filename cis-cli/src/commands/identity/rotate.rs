//! `cis identity rotate`.

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output;

/// Replace the node's key
///
/// Both keys sign the change, so nodes that trust the old key also trust the new one. The list of trusted nodes does
/// not change. A running node uses the new key after its next start; its sessions continue.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis identity rotate

If the key was stolen, this is not enough: other nodes have to revoke it.")]
pub(crate) struct Args {}

pub(super) fn run(context: &Context, _args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let old = client.identity().await?.did;
        let view = client.rotate_identity(old).await?;
        output::show(context.json, &view, |view| {
            let mut text = format!("This node is {} now.\n", view.did);
            if let Some(running) = &view.running {
                text.push_str(&format!(
                    "The running one is {running} until it starts again: `cis node stop`, then `cis node start`.\n"
                ));
            }
            text
        })?;
        Ok(Exit::OK)
    })
}
