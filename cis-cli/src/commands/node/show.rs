//! `cis node show`.

use super::super::dag::place;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{self, human};
use cis_core::api::{Listing, Problem, ProblemKind, RoomNodeView};
use cis_core::dag::diagnose::nearest;

/// Show one node of a room: what it may do and offers, and the tasks that it has
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node show builder
  cis node show did:key:z6MkfYQoWvafVXjazBbaCr9qHUNy7q5VenE6u5gxp5XxXk9M --json")]
pub(crate) struct Args {
    /// The node: its name, its DID, or the last characters of it
    node: String,
    /// Only in this room: its id, alias or link
    #[arg(long, value_name = "ROOM", value_parser = place::room)]
    room: Option<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    let client = context.client()?;
    context.block_on(async {
        let Listing { items, .. } = client.nodes(args.room.as_deref()).await?;
        let found = find(&items, &args.node)?;
        output::show(context.json, &found, |found| human::room_node(&found.items))?;
        Ok(Exit::OK)
    })
}

/// A node may be in several rooms; several nodes are an error.
fn find(nodes: &[RoomNodeView], wanted: &str) -> Result<Listing<RoomNodeView>, CliError> {
    // A DID before names: a node may call itself anything.
    let ways: [fn(&RoomNodeView, &str) -> bool; 3] = [
        |node, wanted| node.did.0 == wanted,
        |node, wanted| node.name == wanted,
        |node, wanted| !wanted.is_empty() && node.did.0.ends_with(wanted),
    ];
    let by = |is_it: &fn(&RoomNodeView, &str) -> bool| -> Vec<RoomNodeView> {
        nodes.iter().filter(|node| is_it(node, wanted)).cloned().collect()
    };
    let found = ways.iter().map(by).find(|found| !found.is_empty()).unwrap_or_default();
    let Some(first) = found.first() else {
        let detail = format!("no node `{wanted}` in the rooms of this node");
        let error = CliError::from(Problem::new(ProblemKind::NotFound, detail));
        let near = nearest(wanted, nodes.iter().map(|node| node.name.as_str()));
        return Err(error.hint(match near.filter(|near| !near.is_empty()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`cis node list` lists them".to_owned(),
        }));
    };
    if let Some(other) = found.iter().find(|node| node.did != first.did) {
        let detail = format!("`{wanted}` fits several nodes: {} and {}", first.did, other.did);
        return Err(CliError::bad_input(detail).hint("name it by its DID"));
    }
    Ok(Listing { items: found, next: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cis_core::api::RoomNodeState;
    use cis_core::ids::NodeDid;

    fn node(room: &str, name: &str, did: &str) -> RoomNodeView {
        let view = RoomNodeView::new(room, NodeDid(format!("did:key:{did}")), RoomNodeState::Online);
        RoomNodeView { name: name.to_owned(), ..view }
    }

    #[test]
    fn a_node_is_found_by_each_of_its_names() {
        let nodes = || {
            vec![
                node("!a", "laptop", "z6MkA1"),
                node("!a", "builder", "z6MkB2"),
                node("!b", "builder", "z6MkB2"),
            ]
        };
        let rooms = |wanted: &str| find(&nodes(), wanted).map(|found| found.items.len());
        assert_eq!(rooms("laptop").unwrap(), 1);
        assert_eq!(
            (rooms("builder").unwrap(), rooms("kB2").unwrap(), rooms("did:key:z6MkB2").unwrap()),
            (2, 2, 2)
        );
        let missing = rooms("biulder").unwrap_err();
        assert!(format!("{missing:?}").contains("did you mean `builder`?"), "{missing:?}");
        let mut two = nodes();
        two.push(node("!b", "laptop", "z6MkC3"));
        assert!(find(&two, "laptop").unwrap_err().detail().contains("fits several nodes"));
    }
}
