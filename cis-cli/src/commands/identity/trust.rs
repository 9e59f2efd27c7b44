//! `cis identity trust`.

use crate::commands::dag::place;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};
use cis_core::api::AdmitNode;
use cis_core::identity::Right;
use cis_core::ids::NodeDid;

/// Trust another node: this node obeys its requests
///
/// With --room, all nodes of the room trust it: this node has to own the room (`cis node invite`). Without --room, only
/// this node does, in all rooms, and this list has the last word.
///
/// Compare the DID with the output of `cis identity show` on that node, over a channel that nobody else can write to.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis identity trust did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK
  cis identity trust did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK --name builder --may execute
  cis identity trust did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK --room '#builds:example.org' --may execute,coordinate")]
pub(crate) struct Args {
    /// The node
    #[arg(value_name = "DID")]
    did: String,
    /// Name of the node in listings
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What the node may do in runs with --matrix, besides publishing runs that this node reads: `execute` tasks of this
    /// node's runs, `coordinate` runs whose tasks this node executes [default with --room: execute]
    #[arg(long, value_name = "RIGHT", value_delimiter = ',')]
    may: Option<Vec<Right>>,
    /// The room in which all nodes are to trust it: an id, an alias, or a matrix.to link
    #[arg(long, value_name = "ROOM", value_parser = place::room)]
    room: Option<String>,
    /// Give the node only tasks that ask for some of these tags
    #[arg(long, value_name = "TAG", value_delimiter = ',', requires = "room")]
    tags: Vec<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        if let Some(room) = &args.room {
            let admit = AdmitNode {
                room: room.clone(),
                did: NodeDid(args.did.clone()),
                name: args.name.clone(),
                may: args.may.clone().unwrap_or_else(|| vec![Right::Execute]).into_iter().collect(),
                tags: args.tags.iter().cloned().collect(),
            };
            let nodes = client.admit_node(&admit).await?;
            output::show(context.json, &nodes, |nodes| human::room_nodes(&nodes.items, output::columns()))?;
            return Ok(Exit::OK);
        }
        let view = client.trust(&args.did, args.name.clone(), args.may.clone()).await?;
        output::show(context.json, &view, |_| format!("{} is trusted.\n", args.did))?;
        Ok(Exit::OK)
    })
}
