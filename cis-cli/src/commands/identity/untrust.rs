//! `cis identity untrust`.

use std::collections::BTreeSet;

use cis_core::api::AdmitNode;
use cis_core::ids::NodeDid;

use crate::commands::dag::place;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};

/// Stop trusting another node
///
/// With --room, all nodes of the room stop: this node has to own the room. You can trust its key again later. If the key was stolen, use `cis identity revoke` instead.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis identity untrust did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK
  cis identity untrust did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK --room '#builds:example.org'")]
pub(crate) struct Args {
    /// The node
    #[arg(value_name = "DID")]
    did: String,
    /// The room in which all nodes are to stop trusting it: an id, an alias, or a matrix.to link
    #[arg(long, value_name = "ROOM", value_parser = place::room)]
    room: Option<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        if let Some(room) = &args.room {
            let (room, did) = (room.clone(), NodeDid(args.did.clone()));
            let nobody = AdmitNode { room, did, name: None, may: BTreeSet::new(), tags: BTreeSet::new() };
            let nodes = client.admit_node(&nobody).await?;
            output::show(context.json, &nodes, |nodes| human::room_nodes(&nodes.items, output::columns()))?;
            return Ok(Exit::OK);
        }
        let view = client.untrust(&args.did).await?;
        output::show(context.json, &view, |_| format!("{} is no longer trusted.\n", args.did))?;
        Ok(Exit::OK)
    })
}
