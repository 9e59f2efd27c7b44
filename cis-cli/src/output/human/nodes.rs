//! The nodes of rooms.

use std::collections::BTreeSet;

use cis_core::api::{RoomNodeState, RoomNodeView, RoomTaskView};
use cis_core::identity::Right;
use cis_core::text;

use crate::output::clean::clean;
use crate::output::style::{ATTENTION, BOLD, DIM};
use crate::output::table::{Cell, Table, cell, cut, plain};

/// Tasks of a node that its row names, and all characters of that cell, at most.
const TASKS_MAX: usize = 3;
const TASKS_CHARS_MAX: usize = 40;

/// Rights that there are.
const RIGHTS: usize = 3;

/// Characters of a DID in a narrow table: its last ones, by which `cis node show` finds the node.
const DID_CHARS: usize = 8;

/// `cis node list`. `width`: characters of a line; none: any number.
pub(crate) fn room_nodes(nodes: &[RoomNodeView], width: Option<usize>) -> String {
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
        let of_room = || nodes.iter().filter(|node| node.room_id == room);
        let full = table(of_room(), false);
        let Some(width) = width.filter(|width| full.width() > *width) else {
            out.push_str(&full.render());
            continue;
        };
        let mut narrow = table(of_room(), true);
        for head in ["TAGS", "AGENTS", "TASKS"] {
            narrow.drop_empty(head);
        }
        for head in ["VERSION", "LOAD", "HEARD"] {
            if narrow.width() > width {
                narrow.drop_column(head);
            }
        }
        narrow.narrow(&["NAME", "MAY", "TAGS", "AGENTS", "TASKS"], width);
        out.push_str(&narrow.render());
        // An owner needs the whole key of these to give them rights.
        for node in of_room().filter(|node| node.state == RoomNodeState::Pending) {
            out.push_str(&format!("{ATTENTION}pending{ATTENTION:#} {}\n", clean(&node.did.0)));
        }
    }
    out
}

fn table<'a>(nodes: impl Iterator<Item = &'a RoomNodeView>, narrow: bool) -> Table {
    let mut table = Table::new(&[
        "NAME", "STATE", "MAY", "SESSIONS", "LOAD", "TASKS", "AGENTS", "TAGS", "VERSION", "HEARD", "DID",
    ]);
    for node in nodes {
        let words = |words: &BTreeSet<String>| words.iter().cloned().collect::<Vec<_>>().join(",");
        let works = node.slots > 0;
        table.row(vec![
            cell(&node.name, BOLD),
            state(node.state),
            plain(match Right::words(&node.may) {
                may if narrow && may.len() == RIGHTS => "all".to_owned(),
                may => may.join(","),
            }),
            plain(if works { format!("{}/{}", node.sessions, node.slots) } else { String::new() }),
            plain(if works { node.load() } else { String::new() }),
            plain(tasks(&node.tasks)),
            plain(words(&node.agents)),
            plain(words(&node.tags)),
            plain(&node.version),
            plain(node.heard_ms_ago.map(|ms| text::duration(ms) + " ago").unwrap_or_default()),
            plain(if narrow { end_of(&node.did.0) } else { node.did.0.clone() }),
        ]);
    }
    table
}

/// How many tasks, and the names of the first ones: `5: build, lint, test, …`.
fn tasks(tasks: &[RoomTaskView]) -> String {
    if tasks.is_empty() {
        return String::new();
    }
    let mut names: Vec<&str> = tasks.iter().take(TASKS_MAX).map(|task| task.task.as_str()).collect();
    if tasks.len() > TASKS_MAX {
        names.push("…");
    }
    cut(&format!("{}: {}", tasks.len(), names.join(", ")), TASKS_CHARS_MAX)
}

fn end_of(did: &str) -> String {
    match did.char_indices().rev().nth(DID_CHARS - 1) {
        Some((at, _)) if at > 0 => format!("…{}", &did[at..]),
        _ => did.to_owned(),
    }
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
        let tasks = match tasks.len() {
            0 => String::new(),
            count => format!("{count}: {}", tasks.join(", ")),
        };
        let facts = [
            ("did", node.did.0.clone()),
            ("room", format!("{}{}", node.room_id, if node.owner { " (an owner)" } else { "" })),
            ("state", format!("{}{}", node.state.as_str(), heard.unwrap_or_default())),
            ("may", if may.is_empty() { "nothing yet".to_owned() } else { may.join(", ") }),
            ("gets", gets(node)),
            ("account", node.user_id.clone().unwrap_or_default()),
            ("version", node.version.clone()),
            ("works", works),
            ("tags", words(&node.tags)),
            ("agents", words(&node.agents)),
            ("tasks", tasks),
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

/// The limit that owners of the room set; empty: none.
fn gets(node: &RoomNodeView) -> String {
    if node.only_tags.is_empty() {
        return String::new();
    }
    let tags: Vec<&str> = node.only_tags.iter().map(String::as_str).collect();
    format!("only tasks that ask for a tag of: {}", tags.join(", "))
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

#[cfg(test)]
mod tests {
    use cis_core::ids::{NodeDid, RunId, TaskId};

    use super::*;

    fn a_node(name: &str, did: &str, state: RoomNodeState) -> RoomNodeView {
        let did = NodeDid(format!("did:key:z6MkfYQoWvafVXjazBbaCr9qHUNy7q5VenE6u5gxp5X{did}"));
        RoomNodeView { name: name.to_owned(), ..RoomNodeView::new("!builds:example.org", did, state) }
    }

    fn some_nodes() -> Vec<RoomNodeView> {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<BTreeSet<_>>();
        let task = |n: u32| RoomTaskView {
            run: RunId::from_parts(1_700_000_000_000, 1),
            task: TaskId::new(&format!("compile-{n}")).unwrap(),
        };
        let all = [Right::Submit, Right::Coordinate, Right::Execute];
        vec![
            RoomNodeView {
                may: [Right::Execute].into(),
                version: "0.1.0".to_owned(),
                only_tags: words(&["gpu"]),
                owner: true,
                tags: words(&["cuda", "gpu", "linux"]),
                agents: words(&["claude", "codex"]),
                slots: 8,
                sessions: 6,
                load_permille: 1250,
                tasks: (1..=5).map(task).collect(),
                heard_ms_ago: Some(3_000),
                ..a_node("builder", "aaaaa", RoomNodeState::Online)
            },
            RoomNodeView {
                may: all.into(),
                version: "0.1.0".to_owned(),
                ..a_node("laptop", "bbbbb", RoomNodeState::Here)
            },
            RoomNodeView {
                may: [Right::Coordinate, Right::Execute].into(),
                version: "0.1.0".to_owned(),
                slots: 2,
                sessions: 1,
                tasks: vec![task(9)],
                heard_ms_ago: Some(61_000),
                ..a_node("tester", "ccccc", RoomNodeState::Silent)
            },
            a_node("stranger", "ddddd", RoomNodeState::Pending),
        ]
    }

    fn lines_of(width: Option<usize>) -> String {
        anstream::adapter::strip_str(&room_nodes(&some_nodes(), width)).to_string()
    }

    #[test]
    fn nodes_with_their_agents_and_tasks() {
        insta::assert_snapshot!("room_nodes", lines_of(None));
    }

    #[test]
    fn nodes_on_a_narrow_terminal() {
        insta::assert_snapshot!("room_nodes_in_100_columns", lines_of(Some(100)));
        for width in [70, 80, 100, 120, 150] {
            let lines = lines_of(Some(width));
            let rows = lines.lines().filter(|line| !line.starts_with("pending "));
            assert!(rows.map(|row| row.chars().count()).all(|chars| chars <= width), "{width}: {lines}");
        }
    }

    #[test]
    fn one_node_with_its_agents_and_tasks() {
        let text = room_node(&some_nodes()[..1]);
        insta::assert_snapshot!("room_node", anstream::adapter::strip_str(&text).to_string());
    }
}
