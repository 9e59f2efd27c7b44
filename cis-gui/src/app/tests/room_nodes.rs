//! The nodes of rooms in the node's view.

use cis_core::api::RoomNodeView;

use super::*;
use crate::command::Slot;

fn listing(state: &str, tasks: &serde_json::Value) -> Vec<RoomNodeView> {
    serde_json::from_value(json!([{
        "room_id": "!r:x", "did": "did:key:z6Mkbuilder", "name": "builder", "state": state, "may": ["execute"],
        "version": "0.1.0", "tags": [], "agents": [], "slots": 4, "sessions": 1, "load_permille": 1250,
        "tasks": tasks, "heard_ms_ago": 3_000,
    }]))
    .unwrap()
}

fn asked(stage: &mut Stage) -> Option<Slot<Vec<RoomNodeView>>> {
    stage.sent().into_iter().find_map(|command| match command {
        Command::ListNodes(slot) => Some(slot),
        _ => None,
    })
}

#[test]
fn nodes_of_rooms_are_listed_with_their_tasks_and_asked_for_again() {
    let mut stage = stage();
    let node = json!({
        "running": true, "pid": 1, "version": "0.1.0", "socket": "/s", "home": "/h", "did": "did:key:z6Mk",
        "host_pid": 2, "stays": true, "started_ms": 5, "open_runs": 0, "live_sessions": 0, "max_sessions": 9,
        "rooms": ["!r:x"],
    });
    stage.shared.apply(Update::Node(Box::new(serde_json::from_value(node).unwrap())));
    stage.harness.state_mut().go(Go::Node);
    stage.steps();
    let run = "01JD0V3Z8K6T9W2B5N7Q4R1XEC";
    asked(&mut stage)
        .expect("it is asked for")
        .fill(Ok(listing("online", &json!([{ "run": run, "task": "paint" }]))));
    stage.steps();
    for text in ["builder", "online", "execute", "1 of 4", "1.2", "3.0s ago", "paint"] {
        assert!(stage.shows(text), "{text}");
    }
    assert!(asked(&mut stage).is_none(), "it is fresh");
    stage.click("Ask again");
    let slot = asked(&mut stage).expect("it is asked for again");
    slot.fill(Ok(listing("silent", &json!([]))));
    stage.steps();
    assert!(stage.shows("silent") && !stage.shows("paint"));
}
