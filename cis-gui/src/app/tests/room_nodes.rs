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
    let mut stage = at_the_node();
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

const BUILDER: &str = "did:key:z6MkfYQoWvafVXjazBbaCr9qHUNy7q5VenE6u5gxp5XxXk9M";

/// The node owns the room, and another one waits for rights there, or has these.
fn owned(stage: &mut Stage, owner: bool, may: &serde_json::Value) {
    let row = |did: &str, name: &str, state: &str, owner: bool, may: &serde_json::Value| {
        json!({
            "room_id": "!r:x", "did": did, "name": name, "state": state, "may": may, "version": "0.1.0",
            "user_id": "@builder:x", "owner": owner, "only_tags": if owner { json!([]) } else { json!(["gpu"]) },
            "tags": [], "agents": ["claude"], "slots": 4, "sessions": 0, "load_permille": 0, "tasks": [],
        })
    };
    let state = if may == &json!([]) { "pending" } else { "online" };
    let rows = json!([
        row("did:key:z6Mk", "laptop", "here", owner, &json!(["submit", "coordinate", "execute"])),
        row(BUILDER, "builder", state, false, may),
    ]);
    asked(stage).expect("it is asked for").fill(Ok(serde_json::from_value(rows).unwrap()));
    stage.steps();
}

fn at_the_node() -> Stage {
    let mut stage = stage();
    let node = json!({
        "running": true, "pid": 1, "version": "0.1.0", "socket": "/s", "home": "/h", "did": "did:key:z6Mk",
        "host_pid": 2, "stays": true, "started_ms": 5, "open_runs": 0, "live_sessions": 0, "max_sessions": 9,
        "rooms": ["!r:x"],
    });
    stage.shared.apply(Update::Node(Box::new(serde_json::from_value(node).unwrap())));
    stage.go(Go::Node);
    stage
}

fn admitted(stage: &mut Stage) -> (cis_core::api::AdmitNode, Slot<Vec<RoomNodeView>>) {
    let sent = stage.sent().into_iter().find_map(|command| match command {
        Command::Admit(admit, slot) => Some((*admit, slot)),
        _ => None,
    });
    sent.expect("rights are sent")
}

#[test]
fn an_owner_trusts_a_pending_node_after_its_whole_key_was_shown() {
    let mut stage = at_the_node();
    owned(&mut stage, true, &json!([]));
    assert!(stage.shows("claude") && !stage.shows(BUILDER));
    stage.click("Trust…");
    assert!(stage.sent().is_empty(), "nothing is sent before somebody confirms it");
    for text in [BUILDER, "@builder:x", "cis identity show", "gpu"] {
        assert!(stage.shows(text), "{text}");
    }
    stage.click("coordinate: give all workers commands, and take over runs");
    stage.click("Trust this key");
    let (admit, slot) = admitted(&mut stage);
    let expected = json!({
        "room": "!r:x", "did": BUILDER, "may": ["coordinate", "execute"], "tags": ["gpu"],
    });
    assert_eq!(
        serde_json::to_value(&admit).unwrap(),
        expected,
        "a name that the node gave itself is not passed on"
    );
    stage.click("Trust this key");
    assert!(stage.sent().is_empty(), "what became of the first is not known yet");
    slot.fill(Err(Problem::new(ProblemKind::Denied, "this node does not own room !r:x")));
    stage.steps();
    assert!(stage.shows("this node does not own room !r:x"));
    stage.click("Trust this key");
    admitted(&mut stage).1.fill(Ok(Vec::new()));
    stage.steps();
    assert!(!stage.shows("Trust this key"), "the card is closed");
    asked(&mut stage).expect("the nodes are listed again");
}

#[test]
fn an_owner_distrusts_a_node_with_a_second_click() {
    let mut stage = at_the_node();
    owned(&mut stage, true, &json!(["execute"]));
    stage.click("Change rights…");
    stage.click("Distrust");
    assert!(stage.sent().is_empty());
    stage.click("Really distrust");
    assert!(admitted(&mut stage).0.may.is_empty());
}

#[test]
fn rights_are_changed_by_admins_at_an_owner_alone() {
    let mut stage = at_the_node();
    owned(&mut stage, false, &json!([]));
    assert!(stage.shows("pending") && stage.harness.query_by_label("Trust…").is_none());
    stage.click("Ask again");
    owned(&mut stage, true, &json!([]));
    let (name, role) = ("token:ann".to_owned(), "operator".to_owned());
    stage.gets(Update::Caller(Some(crate::model::Caller { name, role, acts: true })));
    stage.click("Trust…");
    assert!(!stage.shows("Trust this key"));
}
