//! `cis node start`.

use std::os::unix::process::CommandExt as _;

use cis_core::api::{NodeView, StopNode};

use super::super::dag::place;
use super::probe::{Probe, probe};
use super::{status, stop};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::node_start::{self, Found};
use crate::output::{self, human};
use cis_local::now_ms;

/// Start a node that runs until it is stopped
///
/// Other commands also start a node if none is running; that node ends when it has nothing to do. This command
/// replaces such a node; its sessions continue.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cis node start --detach
  cis node start --room '#builds:example.org' --role observer
  cis node start --detach --room '#builds:example.org' --role worker --tag gpu --slots 4
  cis node start --detach --room '#builds:example.org' --role both
  cis -c node.max_sessions=50 node start")]
pub(crate) struct Args {
    /// Run in the background [default: this process becomes the node]
    #[arg(long)]
    detach: bool,
    /// The room in which the node has the role; an observer may have several. To make this permanent, set `observe` of
    /// `[matrix]`, or `room` of `[federation]`
    #[arg(long, value_name = "ROOM", value_parser = place::room, requires = "role")]
    room: Vec<String>,
    /// The node's role in those rooms
    #[arg(long, value_name = "ROLE", requires = "room")]
    role: Option<Role>,
    /// Tag of a worker: a task with `tags` runs only on nodes with all of them; may be repeated
    #[arg(long = "tag", value_name = "TAG", requires = "role")]
    tags: Vec<String>,
    /// Of a worker: an agent that tasks of other nodes may use, with its login here; may be repeated
    #[arg(long = "agent", value_name = "NAME", requires = "role")]
    agents: Vec<String>,
    /// Of a worker: sessions that the node runs for the room at a time
    #[arg(long, value_name = "N", requires = "role")]
    slots: Option<u32>,
}

/// What a node is in a room that other nodes use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    /// The node reads what happens there and does not take part
    Observer,
    /// The node executes tasks for the nodes that it trusts to coordinate
    Worker,
    /// The node goes on with runs of other nodes when these stop answering
    Coordinator,
    /// The node does what a worker and a coordinator do
    Both,
}

impl Role {
    /// The value of `federation.role`; none: it only reads.
    fn word(self) -> Option<&'static str> {
        match self {
            Self::Observer => None,
            Self::Worker => Some("worker"),
            Self::Coordinator => Some("coordinator"),
            Self::Both => Some("both"),
        }
    }
}

impl Args {
    /// The settings of the node that they mean.
    fn overrides(&self, context: &Context) -> Vec<String> {
        let rooms = if self.role == Some(Role::Observer) { self.room.as_slice() } else { &[] };
        let mut overrides = overrides(context, rooms);
        if let (Some(role), Some(room)) = (self.role.and_then(Role::word), self.room.first()) {
            overrides.push(format!("federation.room={room}"));
            overrides.push(format!("federation.role={role}"));
            if !self.tags.is_empty() {
                overrides.push(format!("federation.tags={}", serde_json::json!(self.tags)));
            }
            if !self.agents.is_empty() {
                overrides.push(format!("federation.agents={}", serde_json::json!(self.agents)));
            }
            overrides.extend(self.slots.map(|slots| format!("federation.slots={slots}")));
        }
        overrides
    }
}

/// The settings of a node that reads these rooms.
fn overrides(context: &Context, rooms: &[String]) -> Vec<String> {
    let mut overrides = context.overrides.clone();
    if !rooms.is_empty() {
        overrides.push(format!("matrix.observe={}", serde_json::json!(rooms)));
    }
    overrides
}

fn may_start(context: &Context) -> Result<(), CliError> {
    if context.may_start_node() {
        return Ok(());
    }
    Err(CliError::bad_input("cannot start a node inside a session")
        .hint("a node ends with the session that started it: start it outside of sessions"))
}

/// The node that runs, where one does.
fn running(context: &Context) -> Result<Option<NodeView>, CliError> {
    match context.block_on(probe(context))? {
        Probe::Running(node) => Ok(Some(*node)),
        Probe::Absent => Ok(None),
        Probe::Unresponsive(node) => Err(node.problem(&context.home)),
    }
}

/// Rooms by their ids, and by their aliases where they have one.
async fn names_of(context: &Context, ids: Vec<String>) -> Result<Vec<String>, CliError> {
    if ids.is_empty() {
        return Ok(ids);
    }
    let rooms = context.client()?.matrix_rooms().await?.items;
    let aliases = rooms.into_iter().filter(|room| ids.contains(&room.room_id)).filter_map(|room| room.alias);
    let aliases: Vec<String> = aliases.collect();
    Ok(ids.into_iter().chain(aliases).collect())
}

/// Makes sure that a node runs that reads these rooms, and stays.
pub(crate) fn ensure_observer(context: &Context, rooms: &[String]) -> Result<(), CliError> {
    may_start(context)?;
    let running = running(context)?;
    if let Some(node) = running {
        let read = context.block_on(names_of(context, node.observes.clone()))?;
        let Some(unread) = rooms.iter().find(|room| !read.contains(room)) else { return Ok(()) };
        if node.stays {
            return Err(CliError::bad_input(format!("the running node does not read {unread}")).hint(
                "stop it with `cis node stop` and run this command again; to make this permanent, set `observe` of `[matrix]`",
            ));
        }
        context.block_on(async { stop::stop_and_wait(context, &node, &StopNode::default()).await })?;
    }
    // Those that the configuration has are read as well.
    let mut all = context.config()?.settings.matrix.observe;
    all.extend(rooms.iter().filter(|room| !all.contains(room)).cloned().collect::<Vec<_>>());
    match node_start::ensure(&context.home, &overrides(context, &all), true)? {
        Found::Started => Ok(()),
        Found::Running => Err(CliError::unavailable("another command started a node at the same time")
            .hint("it may not read that room: try again")),
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit, CliError> {
    may_start(context)?;
    if let Some(role) = args.role.and_then(Role::word).filter(|_| args.room.len() > 1) {
        return Err(CliError::bad_input(format!("a node with --role {role} has one room"))
            .hint("start the node with one --room"));
    }
    let overrides = args.overrides(context);
    match running(context)? {
        Some(node) if node.stays && args.detach && args.room.is_empty() => {
            context.warn_without_effect();
            output::show(context.json, &node, |node| human::node(node, now_ms()))?;
            return Ok(Exit::OK);
        }
        Some(node) if node.stays => {
            return Err(CliError::bad_input(format!(
                "a node is already running, pid {}",
                node.pid.unwrap_or_default()
            ))
            .hint("stop it with `cis node stop`"));
        }
        Some(node) => {
            context.block_on(async { stop::stop_and_wait(context, &node, &StopNode::default()).await })?
        }
        None => {}
    }
    if args.detach {
        if node_start::ensure(&context.home, &overrides, true)? == Found::Running {
            output::note(
                "Another command started a node at the same time; that node may end when it has nothing to do.\n",
            );
            context.warn_without_effect();
        }
        return status::run(context);
    }
    context.config()?;
    let mut command = node_start::serve_command(&context.home, &overrides, true);
    // On success this process is the node, and Ctrl+C is its own affair.
    Err(CliError::unavailable(format!("cannot start the node: {}", command.exec())))
}
