//! The nodes of rooms.

use std::collections::BTreeSet;

use cis_core::api::{RoomNodeState, RoomNodeView};
use cis_core::identity::Right;
use cis_core::text;

use crate::output::clean::clean;
use crate::output::style::{ATTENTION, BOLD, DIM};
use crate::output::table::{Cell, Table, cell, plain};

/// `cis node list`.
pub(crate) fn room_nodes(nodes: &[RoomNodeView]) -> String {
    if nodes.is_empty() {
        return "This node shares tasks in no room. `cis node invite --room ROOM` and `cis node join CODE` change that.\n"
            .to_owned();
    }
    let mut out = String::new();
    let mut rooms: Vec<&str> = nodes.iter().map(|node| node.room_id.as_str()).collect();
    rooms.dedup();
    for room in rooms {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&format!("{DIM}{}{DIM:#}\n", clean(room)));
        let mut table =
            Table::new(&["NAME", "STATE", "MAY", "SESSIONS", "LOAD", "TAGS", "VERSION", "HEARD", "DID"]);
        for node in nodes.iter().filter(|node| node.room_id == room) {
            let may = Right::words(&node.may);
            let tags: Vec<&str> = node.tags.iter().map(String::as_str).collect();
            let works = node.slots > 0;
            table.row(vec![
                cell(&node.name, BOLD),
                state(node.state),
                plain(may.join(",")),
                plain(if works { format!("{}/{}", node.sessions, node.slots) } else { String::new() }),
                plain(if works { node.load() } else { String::new() }),
                plain(tags.join(",")),
                plain(&node.version),
                plain(node.heard_ms_ago.map(|ms| text::duration(ms) + " ago").unwrap_or_default()),
                plain(&node.did.0),
            ]);
        }
        out.push_str(&table.render());
    }
    out
}

/// `cis node show`: one node, in each of its rooms.
pub(crate) fn room_node(views: &[RoomNodeView]) -> String {
    let mut out = String::new();
    for node in views {
        let may = Right::words(&node.may);
        let words = |words: &BTreeSet<String>| words.iter().cloned().collect::<Vec<_>>().join(", ");
        let heard = node.heard_ms_ago.map(|ms| format!(", heard {} ago", text::duration(ms)));
        let works = match node.slots {
            0 => "executes no tasks of others".to_owned(),
            slots => format!("{} of {slots} sessions, load {}", node.sessions, node.load()),
        };
        let tasks: Vec<String> =
            node.tasks.iter().map(|task| format!("{} of run {}", task.task, task.run.short())).collect();
        let facts = [
            ("did", node.did.0.clone()),
            ("room", node.room_id.clone()),
            ("state", format!("{}{}", node.state.as_str(), heard.unwrap_or_default())),
            ("may", if may.is_empty() { "nothing yet".to_owned() } else { may.join(", ") }),
            ("account", node.user_id.clone().unwrap_or_default()),
            ("version", node.version.clone()),
            ("works", works),
            ("tags", words(&node.tags)),
            ("agents", words(&node.agents)),
            ("tasks", tasks.join(", ")),
        ];
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&format!("{BOLD}{}{BOLD:#}\n", clean(&node.name)));
        for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
            out.push_str(&format!("  {DIM}{name:<8}{DIM:#} {}\n", clean(value)));
        }
    }
    out
}

fn state(state: RoomNodeState) -> Cell {
    match state {
        RoomNodeState::Here | RoomNodeState::Online | RoomNodeState::Draining | RoomNodeState::Paused => {
            plain(state.as_str())
        }
        RoomNodeState::Unheard | RoomNodeState::Revoked | RoomNodeState::Other => cell(state.as_str(), DIM),
        RoomNodeState::Silent | RoomNodeState::Pending => cell(state.as_str(), ATTENTION),
    }
}
