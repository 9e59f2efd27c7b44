//! The nodes of rooms.

use cis_core::api::{RoomNodeState, RoomNodeView};
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
            let may: Vec<&str> = node.may.iter().map(|right| right.word()).collect();
            let tags: Vec<&str> = node.tags.iter().map(String::as_str).collect();
            let works = node.slots > 0;
            table.row(vec![
                cell(&node.name, BOLD),
                state(node.state),
                plain(may.join(",")),
                plain(if works { format!("{}/{}", node.sessions, node.slots) } else { String::new() }),
                plain(if works { load(node.load_permille) } else { String::new() }),
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

fn state(state: RoomNodeState) -> Cell {
    match state {
        RoomNodeState::Here => plain("here"),
        RoomNodeState::Online => plain("online"),
        RoomNodeState::Draining => plain("draining"),
        RoomNodeState::Silent => cell("silent", ATTENTION),
        RoomNodeState::Unheard => cell("unheard", DIM),
        RoomNodeState::Pending => cell("pending", ATTENTION),
    }
}

/// Two digits: more would change with every look.
fn load(permille: u32) -> String {
    format!("{}.{}", permille / 1000, permille % 1000 / 100)
}
