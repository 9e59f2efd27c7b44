//! `cis identity revoke`.

use cis_core::api::RevokeNode;
use cis_core::ids::NodeDid;

use crate::commands::dag::place;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};

/// Revoke the key of another node permanently
///
/// Nothing that this key signed counts any more on this node, not even a change to another key. This cannot be undone: the
/// node needs a new key, which you trust instead.
///
/// With --room, all nodes of the room stop trusting the key: this node has to own the room. What stands in the room before that
/// stays valid, so that runs which the node coordinated can be continued and checked.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis identity revoke did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK
  cis identity revoke did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK --room '#builds:example.org'")]
pub(crate) struct Args {
    /// The node
    #[arg(value_name = "DID")]
    did: String,
    /// The room in which all nodes are to stop trusting the key: an id, an alias, or a matrix.to link
    #[arg(long, value_name = "ROOM", value_parser = place::room)]
    room: Option<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        if let Some(room) = &args.room {
            let revoke = RevokeNode { room: room.clone(), did: NodeDid(args.did.clone()) };
            let nodes = client.revoke_node(&revoke).await?;
            output::show(context.json, &nodes, |nodes| human::room_nodes(&nodes.items, output::columns()))?;
            return Ok(Exit::OK);
        }
        let view = client.revoke(&args.did).await?;
        output::show(context.json, &view, |_| format!("Revoked the key of {}.\n", args.did))?;
        Ok(Exit::OK)
    })
}
